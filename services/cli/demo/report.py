"""Prints the results of the demo for people."""

from __future__ import annotations

from rich.text import Text
from rich.tree import Tree

from services.cli import output
from services.cli.demo.scenario import SEGMENT, DemoReport, ExampleProfile
from services.cli.output import format_json, format_time

TITLE = "高意向试听用户 (high-intent trial users)"
#: The most timeline entries that are shown, and the width of their properties.
SHOWN, PROPERTIES_WIDTH = 10, 56


def print_report(report: DemoReport) -> None:
    """Print the report."""
    _print_endpoints(report)
    _print_identity(report)
    if report.example:
        output.out.print(_example_tree(report.example))
    output.out.print()
    output.print_table(
        f"The segment {TITLE} while time passes without events",
        ("clock", "members", "expected", "same people"),
        [(c.clock, c.members.found, c.members.expected, _yes(c.equal)) for c in report.checks],
    )
    _print_deliveries(report)
    output.out.print()
    output.print_table(
        "Every projection, rebuilt from the log beside the live one",
        ("projection", "rebuilt in", "digest", "same as live"),
        [
            (r.service, f"{r.shards} shard{'s' * (r.shards > 1)}", r.digest, _yes(r.equal))
            for r in report.rebuilds
        ],
    )
    output.out.print()
    for failure in report.failures:
        output.out.print(Text.assemble(("WRONG", "bold red"), " ", failure))
    if not report.failures:
        output.out.print("All figures are as expected.", style="bold green")


def _print_endpoints(report: DemoReport) -> None:
    counts = report.endpoints
    rows = [(c.endpoint, c.sent, c.in_log, c.sent - c.in_log) for c in counts]
    sent, in_log = sum(c.sent for c in counts), sum(c.in_log for c in counts)
    rows.append(("total", sent, in_log, sent - in_log))
    output.print_table(
        f"Events sent through four endpoints at once, processed in {report.seconds:.0f} s",
        ("endpoint", "sent", "in the log", "repeats dropped"),
        rows,
    )


def _print_identity(report: DemoReport) -> None:
    identifiers, profiles, scores = report.identifiers, report.profiles, report.scores
    if identifiers is None or profiles is None or scores is None:
        return
    output.out.print(
        f"\n{identifiers.found:,} identifiers belong to {profiles.found:,} profiles "
        f"(expected: {identifiers.expected:,} and {profiles.expected:,}).\n"
        f"Of {scores.pairs:,} pairs of identifiers of one person: "
        f"precision {scores.precision:.4f}, recall {scores.recall:.4f}.\n"
    )


#: What a state of an effect means, where it needs an explanation.
_STATE_NOTES = {"SUPPRESSED": " as the same person got one under an earlier profile id"}


def _print_deliveries(report: DemoReport) -> None:
    states = ", ".join(
        f"{count:,} {state.lower()}{_STATE_NOTES.get(state, '')}"
        for state, count in sorted(report.deliveries.items())
    )
    output.out.print(
        f"\nCoupons: {states}.\n"
        f"Webhooks received: {report.received.total():,} with {len(report.received):,} different "
        f"ids, {report.forged} with a wrong signature."
    )


def _example_tree(example: ExampleProfile) -> Tree:
    profile = example.profile
    tree = Tree(f"A member of the segment: profile {profile.profile_id}")
    identifiers = tree.add("identifiers")
    for each in example.identifiers:
        first_seen = format_time(each.first_seen_us)
        name = f"{each.identifier.namespace}: {each.identifier.value}"
        identifiers.add(f"{name} (first seen {first_seen})")
    traits = (f"{t.name} = {format_json(t.value)}" for t in profile.traits)
    tree.add(f"traits: {', '.join(traits)}")
    tree.add(f"tags: {', '.join(profile.tags)}")
    events = tree.add(f"timeline of {profile.event_count:,} events, newest first")
    for entry in example.timeline[:SHOWN]:
        name = entry.name or entry.type or entry.kind.rpartition(".")[2]
        properties = format_json(entry.properties or entry.traits)[:PROPERTIES_WIDTH]
        time = format_time(entry.occurred_at_us)
        events.add(f"{time} {entry.channel or '-':<12} {name} {properties}".rstrip())
    if len(example.timeline) > SHOWN:
        events.add(f"… {len(example.timeline) - SHOWN:,} more")
    history = tree.add("segments")
    for change in example.history:
        verb = "entered" if change.entered else "left"
        history.add(f"{format_time(change.changed_at_us)} {verb} {change.segment_id}")
    rule = tree.add(f"why {SEGMENT}: {example.explanation.rule_text}")
    for predicate in example.explanation.predicates:
        result = "true" if predicate.holds else "false"
        rule.add(f"{predicate.predicate}: {result} (the value is {format_json(predicate.actual)})")
    return tree


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
