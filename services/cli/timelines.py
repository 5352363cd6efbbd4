"""Shows the timeline of a person, filtered by kinds, names, sources and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onefold.profile.v1 import profile_service_pb2 as pb

from services.cli.output import Tree, format_json, format_time
from services.cli.view_forms import kind_of, kind_word
from services.client.client import Client
from services.kernel.errors import InvalidField
from services.kernel.time import parse_rfc3339

#: The most entries of one request.
_PAGE = 1_000


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
            since_us=_instant(self.since, "--since"),
            before_us=_instant(self.before, "--before"),
        )


async def add_timeline(branch: Tree, client: Client, request: pb.ListTimelineRequest) -> None:
    """Add the entries of a request to a branch, newest first, as many as its page size.

    A page of filters that match rarely may be empty, so the next ones are read too.
    """
    left = request.page_size
    while left:
        request.page_size = left
        response = await client.profile.ListTimeline(request)
        for entry in response.entries:
            branch.add(_line(entry))
        left -= len(response.entries)
        if not response.next_page_token:
            return
        request.page_token = response.next_page_token


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


def _instant(text: str, option: str) -> int:
    if not text:
        return 0
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise InvalidField("write an instant such as 2026-11-21T08:30:00Z", field=option) from None
