"""The demo's report, for people."""

from __future__ import annotations

from typing import Any

from rich.tree import Tree

from services.cli import output as show
from services.cli.demo.scenario import Report
from services.kernel.time import to_rfc3339

SHOWN = 12


def tell(report: Report) -> None:
    """Print the report."""
    _doors(report)
    found, planted = report.profiles
    ids, planted_ids = report.identifiers
    show.out.print(
        f"\n{ids:,} identifiers are {found:,} profiles (planted: {planted_ids:,} and {planted:,})"
    )
    if report.likeness is not None:
        precision, recall, pairs = report.likeness
        show.out.print(
            f"of {pairs:,} pairs of identifiers that are one person: precision {precision:.4f}, "
            f"recall {recall:.4f}\n"
        )
    if report.story:
        show.out.print(_story(report.story))
    show.table(
        "\n高意向试听用户 as time passes",
        ("clock", "members", "planted truth", "same people"),
        [(k.after, k.members, k.planted, _word(k.equal)) for k in report.looks],
    )
    _deliveries(report)
    show.table(
        "\nRebuilt from the log beside the live state",
        ("projection", "log cut into", "digest", "equal"),
        [
            (s, "1 shard" if n == 1 else "4 shards", digest, _word(equal))
            for s, n, digest, equal in report.proofs
        ],
    )
    for fault in report.faults:
        show.out.print(f"[bold red]WRONG[/] {fault}")
    if not report.faults:
        show.out.print("\n[bold green]All of it is as it was planted.[/]")


def _doors(report: Report) -> None:
    rows = [(d.door, d.sent, d.in_log, d.duplicates) for d in report.doors]
    rows.append(("together", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    show.table(
        f"Events sent through four doors at once, in {report.seconds:.0f} s",
        ("door", "sent", "in the log", "repeats dropped"),
        rows,
    )


def _deliveries(report: Report) -> None:
    received = sum(report.received.values())
    states = ", ".join(f"{n:,} {state.lower()}" for state, n in sorted(report.deliveries.items()))
    show.out.print(
        f"\nCoupons: {states}. {received:,} webhooks came with {len(report.received):,} different "
        f"keys, {report.forged} with a wrong signature. A suppressed coupon is one whose person "
        "was told under an earlier profile."
    )


def _story(story: dict[str, Any]) -> Tree:
    """One person's whole story, and why the person is in the segment."""
    profile = story["profile"]
    tree = Tree(f"One person: {profile.profile_id}")
    known = tree.add("known as")
    for each in story["identifiers"]:
        seen = to_rfc3339(each.first_seen_us)[:16]
        known.add(f"{each.identifier.namespace}: {each.identifier.value} (since {seen})")
    traits = ", ".join(f"{t.name} = {show.readable(t.value)}" for t in profile.traits)
    tree.add(f"traits: {traits}")
    tree.add(f"tags: {', '.join(profile.tags)}")
    events = tree.add(f"did {profile.event_count} things; the last of them")
    for entry in story["timeline"][:SHOWN]:
        when = to_rfc3339(entry.occurred_at_us)[:16]
        what = entry.name or entry.type or entry.kind.rpartition(".")[2]
        events.add(f"{when} {entry.channel:<12} {what} {show.readable(entry.properties)[:60]}")
    why = tree.add(f"is in 高意向试听用户, because {story['why'].rule_text}")
    for verdict in story["why"].predicates:
        actual = show.readable(verdict.actual)
        held = "holds" if verdict.holds else "does not hold"
        why.add(f"{verdict.predicate} {held}: it is {actual}")
    for change in story["history"]:
        word = "entered" if change.entered else "left"
        tree.add(f"{word} {change.segment_id} at {to_rfc3339(change.at_us)[:19]}")
    return tree


def _word(holds: bool) -> str:
    return "yes" if holds else "no"
