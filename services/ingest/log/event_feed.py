"""Follows the newest events of a workspace, for a person who watches what sources send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from services.ingest.domain.facts import FactRow
from services.ingest.log.codec import EVENT, decode_event
from services.ingest.log.event_log import EventLog
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

#: Seconds between two reads, facts of a shard that a read looks at, and events that it shows.
INTERVAL_S, LOOKED_AT, SHOWN = 0.5, 2_000, 200
#: Feeds of all callers of a process, and filters in a request.
MOST_FEEDS, MOST_FILTERS = 32, 50


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The events that were recorded since the page before."""

    #: The facts, each with the event that it is.
    events: Sequence[tuple[FactRow, Any]]
    has_skipped: bool
    #: The end of the page: the next one follows.
    token: Token


class EventFeed:
    """Reads the ends of the shards; what is too much for a person is left out."""

    def __init__(self, event_log: EventLog) -> None:
        self._log = event_log
        self._open = 0

    async def watch(
        self,
        workspace_id: WorkspaceId,
        sources: Sequence[str],
        names: Sequence[str],
        after: Token | None = None,
    ) -> AsyncGenerator[FeedPage]:
        """Yield the events from now on, or since a token, a page in each interval.

        Raises InvalidField, TooLarge.
        """
        if max(len(sources), len(names)) > MOST_FILTERS:
            raise InvalidField(f"name at most {MOST_FILTERS}", field="names")
        if self._open >= MOST_FEEDS:
            text = f"{MOST_FEEDS} callers watch events already: try again when one has ended"
            raise TooLarge(text, limit=str(MOST_FEEDS))
        self._open += 1
        try:
            head = (await self._log.heads()).token
            at = head.offsets
            if after is not None:
                at = tuple(min(after.offset(shard), end) for shard, end in enumerate(at))
            yield FeedPage((), False, Token(at))
            while True:
                await asyncio.sleep(INTERVAL_S)
                head = (await self._log.heads()).token
                end = head.offsets
                first = [max(a, b - LOOKED_AT) for a, b in zip(at, end, strict=True)]
                rows = await self._log.reader.newest(
                    workspace_id, EVENT, first, end, sources, SHOWN + 1
                )
                has_skipped = list(at) != first or len(rows) > SHOWN
                events = [(row, decode_event(row)) for row in rows]
                # Of a group event the fact of the person is shown, and not that of the account.
                found = [
                    (row, event)
                    for row, event in events
                    if not event.member_leaf_id and (not names or event.name in names)
                ]
                yield FeedPage(found[-SHOWN:], has_skipped, head)
                at = end
        finally:
            self._open -= 1
