"""Collects the results of the demo, and prints them as tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from onefold.identity.v1.identity_service_pb2 import ListIdentifiersResponse
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.segment.v1.segment_service_pb2 import ListMembershipsResponse

from services.cli import output
from services.cli.commands.profiles import add_changes, add_identifiers, tag_text
from services.cli.demo.expected import PairwiseScores
from services.cli.output import Tree, format_json, format_time

#: The segment that is checked, and its display name.
SEGMENT, TITLE = "high-intent-trial", "高意向试听用户 (high-intent trial users)"
#: The journey that is run, and how many days pass in it, one by one.
JOURNEY_TITLE = "高意向试听用户精准催付 (an offer after the trial lesson)"
JOURNEY_DAYS = 3
#: The most timeline entries that are shown, and the width of their properties.
SHOWN, PROPERTIES_WIDTH = 10, 56
#: The meaning of effect states that need an explanation.
_STATE_NOTES = {"SUPPRESSED": " as the same person got one under an earlier profile id"}


class ExpectedFigure(NamedTuple):
    """A figure of the system and the correct one."""

    found: int = 0
    expected: int = 0


@dataclass(slots=True)
class JourneyReport:
    """What became of the people of the journey."""

    #: By group: its title, its people, the mails that they got, the correct number, whether each of
    #: them got as many as is correct.
    groups: list[tuple[str, int, int, int, bool]] = field(default_factory=list)
    #: The mails of which a link was clicked, the runs, and those that reached the goal.
    clicked: int = 0
    runs: int = 0
    converted: int = 0
    #: How many transitions of the runs follow from the log.
    transitions: int = 0
    failures: list[str] = field(default_factory=list)

    def expect(self, name: str, found: int, expected: int) -> None:
        """Add a failure where a figure is not the correct one."""
        if found != expected:
            self.failures.append(f"journey: {found} {name}, {expected} expected")


@dataclass(slots=True)
class DemoReport:
    """The results of the demo; `failures` is empty where all are correct."""

    #: Endpoints: the name, the events sent, and those in the log.
    endpoints: list[tuple[str, int, int]] = field(default_factory=list)
    #: From the first event sent until every service has folded the last one.
    seconds: float = 0.0
    profiles: ExpectedFigure = field(default_factory=ExpectedFigure)
    identifiers: ExpectedFigure = field(default_factory=ExpectedFigure)
    scores: PairwiseScores = field(default_factory=PairwiseScores)
    #: A member of the segment, and why it is one.
    example: Tree | None = None
    #: Checks of the segment: the clock such as `+1d`, members, expected members, whether equal.
    checks: list[tuple[str, int, int, bool]] = field(default_factory=list)
    #: Effects by state.
    deliveries: dict[str, int] = field(default_factory=dict)
    #: How often each webhook was received, by its id.
    received: Counter[str] = field(default_factory=Counter)
    #: Webhooks with a wrong signature.
    forged: int = 0
    #: None = the time that it needs does not pass.
    journey: JourneyReport | None = None
    #: Rebuilds: the projection, its shards, the digest, whether it is that of the live state.
    rebuilds: list[tuple[str, str, str, bool]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def expect(self, holds: bool, failure: str) -> None:
        """Add a failure where a condition does not hold."""
        if not holds:
            self.failures.append(failure)


def print_report(report: DemoReport) -> None:
    """Print the report."""
    _print_endpoints(report)
    identifiers, profiles, scores = report.identifiers, report.profiles, report.scores
    output.out.print()
    output.out.print(
        f"{identifiers.found:,} identifiers belong to {profiles.found:,} profiles "
        f"(expected: {identifiers.expected:,} and {profiles.expected:,})."
    )
    output.out.print(
        f"Of {scores.pairs:,} pairs of identifiers of one person: "
        f"precision {scores.precision:.4f}, recall {scores.recall:.4f}."
    )
    output.out.print()
    if report.example:
        output.out.print(report.example)
    output.out.print()
    title = f"The segment {TITLE} while time passes without events"
    rows = [(*row, _yes(equal)) for *row, equal in report.checks]
    output.print_table(("clock", "members", "expected", "same members"), rows, title)
    _print_deliveries(report)
    if report.journey is not None:
        _print_journey(report.journey)
    print_end(report)


def print_end(report: DemoReport) -> None:
    """Print the rebuilds, and what is wrong."""
    output.out.print()
    title = "Every projection, rebuilt from the log beside the live one"
    columns = ("projection", "rebuilt in", "digest", "same as live")
    output.print_table(columns, [(*row, _yes(equal)) for *row, equal in report.rebuilds], title)
    output.out.print()
    for failure in report.failures:
        output.out.print_labelled("WRONG", failure)
    if not report.failures:
        output.out.print("All figures are as expected.", style="bold green")


def _print_endpoints(report: DemoReport) -> None:
    sent = sum(sent for _, sent, _ in report.endpoints)
    in_log = sum(in_log for _, _, in_log in report.endpoints)
    counts = [*report.endpoints, ("total", sent, in_log)]
    rows = [(name, sent, in_log, sent - in_log) for name, sent, in_log in counts]
    title = f"Events sent through four endpoints at once, processed in {report.seconds:.0f} s"
    output.print_table(("endpoint", "sent", "in the log", "repeats dropped"), rows, title)


def _print_deliveries(report: DemoReport) -> None:
    states = ", ".join(
        f"{count:,} {state.lower()}{_STATE_NOTES.get(state, '')}"
        for state, count in sorted(report.deliveries.items())
    )
    output.out.print()
    output.out.print(f"Coupons: {states}.")
    output.out.print(
        f"Webhooks received: {report.received.total():,} with {len(report.received):,} different "
        f"ids, {report.forged} with a wrong signature."
    )


def _print_journey(report: JourneyReport) -> None:
    """Print what became of the people of the journey."""
    output.out.print()
    title = f"The journey {JOURNEY_TITLE} in {JOURNEY_DAYS} days, with a local mail server"
    rows = [(*row, _yes(is_equal)) for *row, is_equal in report.groups]
    heads = ("people who", "people", "mails", "expected", "each as expected")
    output.print_table(heads, rows, title)
    output.out.print(
        f"{report.converted} of {report.runs} runs reached the goal; {report.clicked} mail was"
        f" clicked; {report.transitions:,} transitions of all runs follow from the log."
    )


def example_tree(
    *,
    profile: profile_pb.GetProfileResponse,
    identifiers: ListIdentifiersResponse,
    timeline: profile_pb.ListTimelineResponse,
    memberships: ListMembershipsResponse,
    explanation: profile_pb.ExplainRuleResponse,
) -> Tree:
    """Return a member of the segment, and why it is one."""
    found, entries = profile.profile, timeline.entries
    tree = Tree(f"A member of the segment: profile {found.profile_id}")
    add_identifiers(tree, identifiers.identifiers)
    traits = (f"{t.name} = {format_json(t.value)}" for t in found.traits)
    tree.add(f"traits: {', '.join(traits)}")
    tree.add(f"tags: {', '.join(map(tag_text, found.tags))}")
    events = tree.add(f"timeline of {found.event_count:,} events, newest first")
    for entry in entries[:SHOWN]:
        name = entry.name or entry.type or entry.kind.rpartition(".")[2]
        properties = format_json(entry.properties or entry.traits)[:PROPERTIES_WIDTH]
        time = format_time(entry.occurred_at_us)
        events.add(f"{time} {entry.channel or '-':<12} {name} {properties}".rstrip())
    if len(entries) > SHOWN:
        events.add(f"… {len(entries) - SHOWN:,} more")
    add_changes(tree.add("segments"), memberships.history)
    rule = tree.add(f"why {SEGMENT}: {explanation.rule_text}")
    for predicate in explanation.predicates:
        result = "true" if predicate.holds else "false"
        rule.add(f"{predicate.predicate}: {result} (the value is {format_json(predicate.actual)})")
    return tree


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
