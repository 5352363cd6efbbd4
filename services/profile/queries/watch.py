"""Watches the persons of a workspace: each one that changes, as it is after the change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.chassis.messaging.stream import Upstream
from services.kernel.errors import RangeExpired, UpstreamWentBack
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.tokens import Token
from services.profile.codec.bus import profiles_in
from services.profile.domain.profile import Profile
from services.profile.queries.profiles import ProfileQueries
from services.profile.store.profiles import profiles_found, profiles_of

#: Profiles in one page, of up to 1,000 traits and identifiers each.
PAGE = 200
#: Facts of a shard that are read at a time.
STEP = 5_000
#: Seconds between two looks at how far profile has come.
POLL_INTERVAL_S = 0.2
#: Where nothing changes, a page without profiles comes after so many seconds at most: a subscriber
#: must not fall behind the messages that identity still has.
IDLE_PAGE_S = 30.0
_EXPIRED = (
    "the changes since this state of the log are not stored any more: read all profiles with"
    " ListProfiles, and watch from the token of its first page"
)


@dataclass(frozen=True, slots=True)
class WatchedPage:
    """Persons after their changes, and the state from which to watch on."""

    token: Token
    persons: Sequence[Profile] = ()
    #: The profiles that others were merged into, by the profiles that they took over.
    merged: Mapping[ProfileId, ProfileId] = field(default_factory=dict)
    #: Other profiles that are no persons: those without an event, and accounts.
    others: Sequence[ProfileId] = ()


@dataclass(frozen=True, slots=True)
class ProfileWatch:
    """Follows identity's stream as far as profile has folded it, on behalf of one caller.

    Nothing is stored for subscribers, and nothing is computed where there are none.
    """

    queries: ProfileQueries
    #: Identity's stream, which counts in offsets of the log.
    upstream: Upstream

    async def pages(
        self, workspace_id: WorkspaceId, start: Token | None
    ) -> AsyncGenerator[WatchedPage]:
        """Yield the changes after `start` (None = from now on), without end.

        Raises InvalidField, TokenNotReached, RangeExpired.
        """
        runner = self.queries.runner
        at = start or await runner.token()
        await runner.reach(at)
        yield WatchedPage(at)
        clock, lives = asyncio.get_running_loop().time, dict[int, int]()
        sent_at = clock()
        while True:
            reached = await runner.token()
            end = _step(at, reached)
            ids = list(await self._changed(workspace_id, at, end, lives))
            for begin in range(0, len(ids), PAGE):
                token = end if begin + PAGE >= len(ids) else at
                yield await self._page(workspace_id, ids[begin : begin + PAGE], token)
            if not ids and end != at and clock() - sent_at >= IDLE_PAGE_S:
                yield WatchedPage(end)
                sent_at = clock()
            elif ids:
                sent_at = clock()
            at = end
            if end.includes(reached):
                await asyncio.sleep(POLL_INTERVAL_S)

    async def _changed(
        self, workspace_id: WorkspaceId, begin: Token, end: Token, lives: dict[int, int]
    ) -> dict[ProfileId, None]:
        """Return the profiles that facts concern, in their order.

        `lives`: that of the stream of each shard as it was read last; brought up to date.
        """
        found: dict[ProfileId, None] = {}
        for shard in range(self.queries.runner.shards):
            first, last = begin.offset(shard), end.offset(shard)
            if first < last:
                messages = self.upstream.read(shard, first, last, lives.get(shard, 0))
                try:
                    async for message in messages:
                        found.update(dict.fromkeys(profiles_in(message, workspace_id)))
                        lives[shard] = message.life
                except (RangeExpired, UpstreamWentBack):
                    raise RangeExpired(_EXPIRED) from None
        return found

    async def _page(
        self, workspace_id: WorkspaceId, ids: Collection[ProfileId], token: Token
    ) -> WatchedPage:
        """Return the profiles of these ids as they are now, which is not before `token`."""
        async with self.queries.snapshot() as at:
            found = await profiles_of(at.conn, workspace_id, ids)
            merged = {id_: found[id_] for id_ in ids if found.get(id_, id_) != id_}
            own = [id_ for id_ in ids if id_ not in merged]
            wanted = profiles_found(workspace_id, own, "", len(own))
            persons, *_ = await self.queries.page_in(at.conn, workspace_id, wanted, len(own))
            others = [*{*own} - {person.profile_id for person in persons}]
            return WatchedPage(token, persons, merged, others)


def _step(at: Token, reached: Token) -> Token:
    """Return the next state to read up to: not all of a day at once."""
    return Token(
        tuple(
            max(at.offset(shard), min(offset, at.offset(shard) + STEP))
            for shard, offset in enumerate(reached.offsets)
        )
    )
