"""Measures how soon facts are visible in profiles, and counts those that exceed the limit."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from asyncpg import Connection

from services.chassis.projection.grpc import Counts
from services.kernel.ids import NO_ID
from services.profile.domain.facts import AttributedFact
from services.profile.projection import metrics


class Visibility:
    """The seconds from recording a fact in the log to the commit of its profile.

    A transaction is measured once, by its oldest fact, so an event costs next to nothing.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.time) -> None:
        """`limit_s`: the declared limit, seconds; `clock`: the time in seconds since 1970."""
        self._limit_s = limit_s
        self._clock = clock
        #: By shard, the facts of its open transaction.
        self._uncommitted: dict[int, Sequence[AttributedFact]] = {}
        self._visible = self._late = 0
        metrics.PROFILE_LIMIT.set(limit_s)

    def folded(self, shard: int, facts: Sequence[AttributedFact]) -> None:
        """Note the facts of a transaction, in the order of the log."""
        self._uncommitted[shard] = facts

    def committed(self, shard: int) -> None:
        """Measure the facts of a shard whose transaction is committed."""
        facts = [f for f in self._uncommitted.pop(shard, ()) if f.leaf_id != NO_ID]
        if not facts:
            return
        now_us = int(self._clock() * 1e6)
        # The facts of a shard are in the order of the log's clock. One that is ahead of this
        # machine's, as in a demo, makes no fact late.
        before_us = now_us - int(self._limit_s * 1e6)
        late = bisect_left(facts, before_us, key=lambda fact: fact.recorded_at_us)
        if facts[0].recorded_at_us <= now_us:
            metrics.EVENT_TO_PROFILE.observe((now_us - facts[0].recorded_at_us) / 1e6)
        metrics.LATE_FACTS.inc(late)
        self._visible += len(facts)
        self._late += late

    def counts(self) -> dict[str, int]:
        """Return how many facts this process has made visible, and how many of them too late."""
        return {"facts_visible": self._visible, "facts_visible_late": self._late}

    def adding_to(self, load: Counts) -> Counts:
        """Return `load` with these counts added to what it returns."""

        async def counts(conn: Connection) -> Mapping[str, int]:
            return {**await load(conn), **self.counts()}

        return counts
