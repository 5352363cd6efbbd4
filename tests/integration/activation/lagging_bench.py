"""Folds what segment has published later than it did so, in the order of each shard alone."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from integration.activation.journey_fixture import JourneyBench, leaf
from integration.activation.journey_machine import LEAVES, Begun, Machine, Step
from integration.activation.ledger_fixture import SHARDS, Ledger, W
from onefold.profile.v1.profile_stream_pb2 import LeafMove
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged


class LaggingBench(JourneyBench):
    """Keeps messages until their shard delivers them; each has the instant of its publication."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.lags = True
        self._waiting: list[deque[MembershipsChanged]] = [deque() for _ in range(SHARDS)]

    async def fold(self, shard: int, message: MembershipsChanged) -> None:
        """Let a shard publish a message at the present instant."""
        message.log_time_us = self.now_us
        self._waiting[shard].append(message)
        if not self.lags:
            await self.deliver(shard)

    async def deliver(self, shard: int, at_most: int = 1_000) -> None:
        """Fold the oldest messages of a shard."""
        waiting = self._waiting[shard]
        while waiting and at_most:
            message = waiting.popleft()
            self._published.append((shard, message))
            await self._fold(shard, message)
            at_most -= 1

    async def deliver_all(self) -> None:
        """Fold everything that was published."""
        for shard in range(self.shards):
            await self.deliver(shard)

    async def move(self, of: int, to: int, version: int) -> None:
        """Move a leaf; the shard that says so is that of any leaf."""
        move = LeafMove(workspace_id=W, leaf_id=leaf(of), profile_id=leaf(to), version=version)
        await self.fold((version + of) % SHARDS, MembershipsChanged(leaf_moves=[move]))


class LaggingMachine(Machine):
    """A machine whose shards deliver late."""

    bench: LaggingBench

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, LaggingBench(ledger))

    async def begin(self, *journeys: dict[str, Any]) -> None:
        self.bench.lags = False
        await super().begin(*journeys)
        self.bench.lags = True

    async def take(self, step: Step) -> None:
        """Let something happen; a pause counts once a shard has delivered it."""
        if step.what == "deliver":
            self.taken.append(step)
            await self.bench.deliver(step.of, 1 + step.halves)
            return
        if step.what == "mirror":
            # The test says by all moves which members a purchase removes.
            await self.bench.deliver_all()
        await super().take(step)
        if step.what in ("pause", "resume"):
            await self.bench.deliver(step.of)

    async def lag_no_more(self) -> None:
        """Deliver everything from now on at once."""
        await self.bench.deliver_all()
        self.bench.lags = False

    async def _faults_at_begin(self, new: Begun) -> AsyncIterator[str]:
        rows = await self.pool.fetch(
            "SELECT DISTINCT ON (leaf_id) leaf_id, profile_id FROM leaf_profile"
            " ORDER BY leaf_id, version DESC"
        )
        person = {leaf(n): leaf(n) for n in LEAVES} | {row[0]: row[1] for row in rows}
        key = new.row["journey_id"], new.row["step_id"]
        repeated = any(
            person[each.row["leaf_id"]] == person[new.row["leaf_id"]]
            and (each.row["journey_id"], each.row["step_id"]) == key
            for each in self.begun
        )
        async for fault in super()._faults_at_begin(new):
            # What no shard has delivered of a merge is not known.
            if repeated or not fault.startswith("I7"):
                yield fault
