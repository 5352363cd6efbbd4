"""Learning from evidence: look, lock what is at stake, look again, decide, save.

Workers of several shards learn about the same people at once. Whoever changes anything about a
profile holds the lock on its id, and whoever adds an identifier holds the lock on that one's id;
since a profile's id may change while one waits, what was locked is read again under the lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.identity import metrics
from services.identity.domain.decide import at_stake, decide, news
from services.identity.domain.digest import deltas
from services.identity.domain.facts import Edge, First, Name
from services.identity.domain.model import Assignment, Evidence, Known, Moved, Outcome
from services.identity.ports import Tables
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import IdentifierId

#: Each one more means that somebody else merged the same people meanwhile.
_TRIES = 50


@dataclass(frozen=True, slots=True)
class _Held:
    """What is known about people while nobody else can change it."""

    known: dict[IdentifierId, Known]
    edges: dict[Edge, First]


async def learn(
    tables: Tables,
    evidence: Evidence,
    known: Mapping[IdentifierId, Known],
    known_edges: Mapping[Edge, First],
) -> tuple[Assignment, ...]:
    """Takes in evidence, and answers which identifiers belong elsewhere now.

    `known` and `known_edges` were just read, without locks. Raises StoreUnavailable.
    """
    fresh = news(evidence, known, known_edges)
    if not fresh:
        return ()
    held = await _hold(tables, fresh, at_stake(fresh, known))
    fresh = news(fresh, held.known, held.edges)
    return await _save(tables, decide(fresh, held.known, held.edges), fresh.names, held)


async def _hold(tables: Tables, fresh: Evidence, stake: set[bytes]) -> _Held:
    for _ in range(_TRIES):
        async with tables.savepoint() as savepoint:
            everything = await tables.lock(stake)
            known = await tables.identifiers(fresh.names)
            needed = at_stake(fresh, known)
            if everything or needed <= stake:
                return await _complete(tables, fresh, known)
            savepoint.give_up()
        metrics.LOCK_RETRIES.inc()
        stake = needed
    raise StoreUnavailable("the same people are being merged elsewhere; try again")


async def _complete(tables: Tables, fresh: Evidence, known: dict[IdentifierId, Known]) -> _Held:
    naming = {row.profile_id for row in known.values()} - known.keys()
    if naming:
        known |= await tables.identifiers(naming)
    return _Held(known, await tables.edges(fresh.edges))


async def _save(
    tables: Tables, outcome: Outcome, names: Mapping[IdentifierId, Name], held: _Held
) -> tuple[Assignment, ...]:
    version = await tables.next_version() if outcome.added or outcome.moved else 0
    await tables.keep(outcome, names, version)
    moved = await tables.move(outcome, version)
    await tables.add_digest(deltas(outcome, names, held.known, held.edges, moved))
    metrics.IDENTIFIERS.inc(len(outcome.added))
    metrics.MOVES.inc(len(moved))
    return _assignments(outcome, names, moved, version)


def _assignments(
    outcome: Outcome, names: Mapping[IdentifierId, Name], moved: list[Moved], version: int
) -> tuple[Assignment, ...]:
    added = [Assignment(i, outcome.profiles[i], version, names[i]) for i in outcome.added]
    again = [Assignment(row.identifier_id, row.after, version, row.name) for row in moved]
    return (*added, *again)
