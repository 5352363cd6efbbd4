"""Learning from evidence: look, lock what is at stake, look again, decide, save.

Workers of several shards learn about the same people at once. Whoever changes anything about a
profile holds the lock on its id, and whoever adds an identifier holds the lock on that one's id;
since a profile's id may change while one waits, what was locked is read again under the lock.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.identity import metrics
from services.identity.domain.decide import at_stake, decide, news
from services.identity.domain.digest import deltas
from services.identity.domain.facts import Name
from services.identity.domain.model import Assignment, Evidence, Kept, Learnt, Moved, Outcome
from services.identity.ports import Tables
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import IdentifierId

#: Each one more means that somebody else merged the same people meanwhile.
_TRIES = 50


async def learn(tables: Tables, evidence: Evidence, kept: Kept) -> Learnt:
    """Takes in evidence, and answers what came of it.

    `kept` was just read, without locks. Raises StoreUnavailable.
    """
    fresh = news(evidence, kept.known, kept.edges)
    if not fresh:
        return Learnt()
    held, version = await _hold(tables, fresh, at_stake(fresh, kept.known))
    fresh = news(fresh, held.known, held.edges)
    outcome = decide(fresh, held.known, held.edges)
    return await _save(tables, outcome, fresh.names, held, version)


async def _hold(tables: Tables, fresh: Evidence, stake: set[bytes]) -> tuple[Kept, int]:
    """What is known about people while nobody else can change it, and the version of the change."""
    for _ in range(_TRIES):
        everything = await tables.hold(stake)
        kept, version = await tables.look_again(fresh)
        needed = at_stake(fresh, kept.known)
        if everything or needed <= stake:
            return kept, version
        await tables.let_go()
        metrics.LOCK_RETRIES.inc()
        stake = needed
    raise StoreUnavailable("the same people are being merged elsewhere; try again")


async def _save(
    tables: Tables,
    outcome: Outcome,
    names: Mapping[IdentifierId, Name],
    held: Kept,
    version: int,
) -> Learnt:
    await tables.keep(outcome, names, version)
    moved = await tables.move(outcome, version)
    metrics.IDENTIFIERS.inc(len(outcome.added))
    metrics.MOVES.inc(len(moved))
    return Learnt(
        _assignments(outcome, names, moved, version),
        outcome.profiles,
        outcome.moved,
        deltas(outcome, names, held.known, held.edges, moved),
    )


def _assignments(
    outcome: Outcome, names: Mapping[IdentifierId, Name], moved: list[Moved], version: int
) -> tuple[Assignment, ...]:
    added = [Assignment(i, outcome.profiles[i], version, names[i]) for i in outcome.added]
    again = [Assignment(row.identifier_id, row.after, version, row.name) for row in moved]
    return (*added, *again)
