"""Shows the timeline of a person, filtered by kinds, names, sources and times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.segment.v1.segment_service_pb2 import Stay
from onefold.segment.v1.segment_stream_pb2 import MembershipCause

from services.cli.output import Tree, format_json, format_time
from services.cli.values import instant_of, word_of
from services.cli.view_forms import kind_of, kind_word
from services.client.client import Client
from services.kernel.time import DAY_US

#: The most entries of one request.
_PAGE = 1_000
#: How the ids of stages begin among those of memberships.
_STAGE = "stage:"


@dataclass(frozen=True, slots=True)
class TimelineOptions:
    """What the options of a command select."""

    kinds: Sequence[str] = ()
    events: Sequence[str] = ()
    sources: Sequence[str] = ()
    since: str = ""
    before: str = ""
    #: The most entries that are shown.
    limit: int = 20

    def request(self, profile_id: str) -> pb.ListTimelineRequest:
        """Return the request of the first page. Raises InvalidField, which names the option."""
        return pb.ListTimelineRequest(
            profile_id=profile_id,
            page_size=min(self.limit, _PAGE),
            kinds=[kind_of(word, "--kind") for word in self.kinds],
            events=self.events,
            source_ids=self.sources,
            since_us=instant_of(self.since, "--since"),
            before_us=instant_of(self.before, "--before"),
        )


class TimedLine(NamedTuple):
    """A line of a timeline, and its instant in Unix microseconds."""

    at_us: int
    text: str


async def add_timeline(
    branch: Tree, client: Client, request: pb.ListTimelineRequest, stays: Iterable[Stay] = ()
) -> None:
    """Add the entries of a request to a branch, newest first, as many as its page size.

    A page of filters that match rarely may be empty, so the next ones are read too. `stays`: of the
    same profile; the changes of stages are marked between events, unless the request selects some.
    """
    is_filtered = request.kinds or request.events or request.source_ids
    marks = [] if is_filtered else stage_changes(stays)
    left, oldest_us, lines = request.page_size, request.since_us, list[TimedLine]()
    while left:
        request.page_size = left
        response = await client.profile.ListTimeline(request)
        lines += [TimedLine(entry.occurred_at_us, _line(entry)) for entry in response.entries]
        left -= len(response.entries)
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
    else:
        oldest_us = lines[-1].at_us
    end_us = request.before_us or marks[-1].at_us + 1 if marks else 0
    within = [mark for mark in marks if oldest_us <= mark.at_us < end_us]
    # A change follows the event of its instant.
    for line in sorted([*reversed(within), *lines], key=lambda line: -line.at_us):
        branch.add(line.text)


def stage_changes(stays: Iterable[Stay]) -> list[TimedLine]:
    """Return the entries into stages, oldest first: with the stage before, the time in it, the
    cause, and the version of the set."""
    found, before = list[TimedLine](), dict[str, tuple[str, int]]()
    for stay in sorted(stays, key=lambda stay: stay.entered_at_us):
        if not stay.segment_id.startswith(_STAGE):
            continue
        set_id, _, stage = stay.segment_id.removeprefix(_STAGE).partition("=")
        earlier, duration_us = before.get(set_id, ("", 0))
        after = f" after {duration_us / DAY_US:,.1f} days of {earlier}" if earlier else ""
        cause = word_of(MembershipCause, "MEMBERSHIP_CAUSE_", stay.entered_cause)
        what = f"{set_id} = {stage} [stage]{after} ({cause}, version {stay.segment_version})"
        found.append(TimedLine(stay.entered_at_us, f"{format_time(stay.entered_at_us)} {what}"))
        before[set_id] = stage, stay.duration_us
    return found


def _line(entry: pb.TimelineEntry) -> str:
    time, name = format_time(entry.occurred_at_us), entry.name or entry.type or entry.kind
    kind = kind_word(entry.timeline_kind)
    if entry.HasField("correction"):
        return f"{time} {_correction_text(entry)}"
    if entry.HasField("score"):
        score = entry.score
        return f"{time} {name} scored {score.score:g} ({score.model_version})"
    document = format_json(entry.properties or entry.traits)
    parts = (time, entry.channel, name, "" if kind == "other" else f"[{kind}]", document)
    return " ".join(part for part in parts if part)


def _correction_text(entry: pb.TimelineEntry) -> str:
    correction = entry.correction
    value = "withdrawn" if correction.withdrawn else f"= {format_json(correction.value)}"
    return f"{correction.trait} corrected {value} ({entry.actor}: {correction.reason})"
