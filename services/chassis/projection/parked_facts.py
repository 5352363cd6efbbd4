"""Folds the decisions of operators to park facts, and to take them back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

import asyncpg
import structlog
from onefold.log.v1.log_pb2 import Fact, FactParked, FactUnparked

from services.chassis.postgres.database import transaction
from services.chassis.projection.failed_facts import Q
from services.kernel.tokens import Token

log = structlog.get_logger(__name__)

FACT_PARKED = FactParked.DESCRIPTOR.full_name
FACT_UNPARKED = FactUnparked.DESCRIPTOR.full_name
PARKING_KINDS = (FACT_PARKED, FACT_UNPARKED)


class ParkedFactsLog(Protocol):
    """Reads the log, as `LogClient` does."""

    def read(
        self, shard: int, first: int, end: int, *, kinds: Sequence[str]
    ) -> AsyncIterator[Sequence[Fact]]: ...


async def fold_parked_facts(
    conn: asyncpg.Connection,
    service: str,
    shard: int,
    facts: Iterable[Fact],
    *,
    counts_in_offsets: bool = False,
) -> None:
    """Park and unpark facts of a shard, as far as `facts` name the service.

    A failed fact is not retried while it is parked. A fact that the state includes stays in it
    until the service is rebuilt; it is found where the units of the service are offsets of the log.
    """
    for fact in facts:
        if fact.kind not in PARKING_KINDS:
            continue
        place = _place(fact)
        if place.shard != shard or service not in place.services:
            continue
        if fact.kind == FACT_UNPARKED:
            await conn.execute(Q.unpark_folded, shard, place.offset)
            await conn.execute(Q.unpark, shard, place.offset)
        elif not await conn.fetch(Q.park, shard, place.offset, place.reason):
            if not counts_in_offsets:
                log.warning("parked_fact_unknown", shard=shard, sequence=place.offset)
                continue
            args = (shard, place.offset, fact.workspace_id, place.reason, True)
            await conn.execute(Q.park_folded, *args)
        log.info("parking_changed", kind=fact.kind, shard=shard, sequence=place.offset)


async def add_parked_facts(
    pool: asyncpg.Pool, service: str, end: Token, log_reader: ParkedFactsLog
) -> None:
    """Make a new state leave out every fact that is parked in the log before `end`."""
    for shard, offset in enumerate(end.offsets):
        if not offset:
            continue
        parked: dict[int, Fact] = {}
        async for facts in log_reader.read(shard, 0, offset, kinds=PARKING_KINDS):
            for fact in facts:
                place = _place(fact)
                if place.shard != shard or service not in place.services:
                    continue
                parked.pop(place.offset, None)
                if fact.kind == FACT_PARKED:
                    parked[place.offset] = fact
        async with transaction(pool) as conn:
            for at, fact in parked.items():
                args = (shard, at, fact.workspace_id, _place(fact).reason, False)
                await conn.execute(Q.park_folded, *args)


def _place(fact: Fact) -> FactParked | FactUnparked:
    kind = FactParked if fact.kind == FACT_PARKED else FactUnparked
    return kind.FromString(fact.payload)
