"""Stores the runs of journeys, the facts that they wait for, and when they go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from services.activation.codec.journey_runs import (
    RUN_ENDS,
    answers_from_bytes,
    answers_to_bytes,
    known_record_from_bytes,
    transitions_to_bytes,
)
from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.looks import JourneyFact, LeafMoved, Look, RunLook
from services.activation.domain.journeys.program import Subject
from services.activation.domain.journeys.run import Question
from services.activation.domain.journeys.transitions import RunRecord
from services.activation.store.coupons import load_coupons_of_leaves
from services.activation.store.journeys import FOREVER_US
from services.chassis.postgres.database import Queries
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "runs.sql")
OWN = Queries.load(__package__, "own_effects.sql")
#: Seconds after which a look is repeated for which an answer was missing.
RETRY_S = 5.0
_FACT_COLUMNS: Final = (
    *("leaf_id", "fact_id", "occurred_at_us", "recorded_at_us"),
    *("subjects", "properties", "caused_at_us"),
)
#: Stands for all leaves that have runs of a journey, where the journey has changed.
EVERY_LEAF: Final = LeafId(b"")
#: Stands for all journeys in which the persons of a leaf that has moved have runs or entries.
EVERY_JOURNEY: Final = ""


class DueKey(NamedTuple):
    """Names the looks at one leaf in one journey."""

    workspace_id: WorkspaceId
    journey_id: str
    leaf_id: LeafId


class PersonKey(NamedTuple):
    """Names a person in one journey."""

    workspace_id: WorkspaceId
    journey_id: str
    profile_id: ProfileId


@dataclass(frozen=True)
class StoredRun:
    """A run as it is stored."""

    record: RunRecord
    #: The serialised RunTransitions.
    transitions: bytes
    #: What else a look may change: its state, its step and its due.
    shown: tuple[int, str, int | None]
    closed: bool
    #: Up to when facts were known to the look that has changed it last, Unix microseconds.
    known_us: int


@dataclass(frozen=True)
class StoredPerson:
    """What is stored of a person for one journey."""

    facts: Sequence[JourneyFact]
    runs: Mapping[bytes, StoredRun]
    answers: Mapping[Question, bool]
    coupons: Sequence[Coupon] = ()

    @property
    def known_us(self) -> int:
        """What the last look that has changed a run knew, Unix microseconds; 0 = there is none."""
        return max((run.known_us for run in self.runs.values()), default=0)


async def add_facts(
    conn: asyncpg.Connection, facts: Mapping[tuple[WorkspaceId, FactId], JourneyFact]
) -> None:
    """Add facts of persons; one that is there already gets its new subjects besides."""
    if facts:
        own = list(facts.values())
        await conn.execute(
            Q.add_facts,
            [workspace_id for workspace_id, _ in facts],
            [fact.leaf_id for fact in own],
            [fact.fact_id for fact in own],
            [fact.occurred_at_us for fact in own],
            [fact.recorded_at_us for fact in own],
            ["\n".join(msgspec.json.encode(s).decode() for s in fact.subjects) for fact in own],
            [msgspec.json.encode(fact.properties, order="sorted") for fact in own],
            [fact.caused_at_us for fact in own],
        )


class ConcernedByMoves(NamedTuple):
    """What the moves of leaves concern."""

    #: Where the persons have runs that can still change.
    runs: Sequence[DueKey] = ()
    #: What happened to the persons, which can begin runs.
    happened: Sequence[tuple[WorkspaceId, LeafId, Subject]] = ()


async def move_leaves(
    conn: asyncpg.Connection, moves: Collection[LeafMoved]
) -> list[tuple[DueKey, int]]:
    """Record the profiles of leaves; return the leaves whose persons are to be looked at, and when.

    Beside the leaf these are the ones after which its profiles are named, so that each person has
    one of them. A move may be learnt after a later one of its leaf: both are looked at then.
    """
    moves = sorted(set(moves), key=lambda move: (move.workspace_id, move.leaf_id, move.version))
    if not moves:
        return []
    leaves = sorted({(move.workspace_id, move.leaf_id) for move in moves})
    rows = await conn.fetch(Q.newest_of, *_columns(leaves))
    newest = {tuple(row[:2]): LeafMoved(*row) for row in rows}
    await conn.execute(Q.move_leaves, *_columns(moves))
    found: list[tuple[DueKey, int]] = []
    for move in moves:
        own = move.workspace_id, move.leaf_id
        known = newest.get(own) or move._replace(profile_id=ProfileId(move.leaf_id), version=-1)
        if known.profile_id != move.profile_id:
            for leaf_id in (move.leaf_id, LeafId(known.profile_id), LeafId(move.profile_id)):
                key = DueKey(move.workspace_id, EVERY_JOURNEY, leaf_id)
                found += [(key, move.since_us), (key, max(move.since_us, known.since_us))]
        newest[own] = max(known, move, key=lambda each: each.version)
    return found


async def claim_moves(conn: asyncpg.Connection, known_us: int, limit: int) -> list[DueKey]:
    """Lock leaves of one workspace that have moved until an instant that every shard has passed."""
    return [DueKey(*row) for row in await conn.fetch(Q.claim_moves, known_us, limit)]


async def concerned_by_moves(
    conn: asyncpg.Connection, moved: Collection[DueKey]
) -> ConcernedByMoves:
    """Return what moves of leaves concern: all that is known of any profile that they have had."""
    leaves = sorted({(key.workspace_id, key.leaf_id) for key in moved})
    profiles = [tuple(row) for row in await conn.fetch(Q.all_profiles_of, *_columns(leaves))]
    rows = await conn.fetch(Q.runs_of_profiles, *_columns(profiles))
    runs = [DueKey(row["workspace_id"], row["journey_id"], row["leaf_id"]) for row in rows]
    rows = await conn.fetch(Q.subjects_of_profiles, *_columns(profiles))
    happened = [
        (row["workspace_id"], row["leaf_id"], tuple(msgspec.json.decode(row["subject"])))
        for row in rows
    ]
    return ConcernedByMoves(runs, happened)


async def add_dues(
    conn: asyncpg.Connection,
    dues: Iterable[tuple[DueKey, int]],
    unseen: Iterable[tuple[DueKey, int]] = (),
) -> None:
    """Ask for looks at the latest at some instants.

    `unseen`: looks that are repeated until these instants are known. A fact of the person needs no
    such look, as the look before it says when the fact counts; what else a person changes by does.
    """
    rows: list[Sequence[Any]] = [(*key, due_us, None) for key, due_us in dues]
    rows += [(*key, due_us, due_us) for key, due_us in unseen]
    if rows:
        await conn.execute(Q.add_dues, *_columns(rows))


async def claim_due(
    conn: asyncpg.Connection, known_us: int, limit: int, keys: Collection[DueKey] = ()
) -> list[DueKey]:
    """Lock what is due until an instant, the earliest first; `keys`: no others than these."""
    if keys:
        rows = await conn.fetch(Q.claim_keys, *_columns(sorted(keys)))
    else:
        rows = await conn.fetch(Q.claim_due, known_us, limit)
    return [DueKey(*row[:3]) for row in rows]


async def profiles_of(
    conn: asyncpg.Connection, leaves: Iterable[tuple[WorkspaceId, LeafId]], at_us: int
) -> dict[tuple[WorkspaceId, LeafId], ProfileId]:
    """Return the profiles at an instant of those leaves that had moved to one."""
    if not (own := sorted(set(leaves))):
        return {}
    rows = await conn.fetch(Q.profiles_of, *_columns(own), at_us)
    return {(workspace_id, leaf_id): profile_id for workspace_id, leaf_id, profile_id in rows}


async def leaves_of_persons(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, leaves: Collection[LeafId]
) -> dict[LeafId, list[LeafId]]:
    """Return all leaves of the person of each leaf, as they are known by now."""
    if not leaves:
        return {}
    moved = await profiles_of(conn, [(workspace_id, leaf_id) for leaf_id in leaves], FOREVER_US)
    owner = {id_: moved.get((workspace_id, id_), ProfileId(id_)) for id_ in leaves}
    profiles = sorted({(workspace_id, profile_id) for profile_id in owner.values()})
    # The id of a profile is that of a leaf, too, which has never moved where it is not stored.
    own: defaultdict[ProfileId, set[LeafId]] = defaultdict(set)
    for leaf_id, profile_id in owner.items():
        own[profile_id] |= {leaf_id, LeafId(profile_id)}
    for row in await conn.fetch(Q.leaves_of, *_columns(profiles), FOREVER_US):
        own[ProfileId(row["profile_id"])].add(LeafId(row["leaf_id"]))
    return {leaf_id: sorted(own[profile_id]) for leaf_id, profile_id in owner.items()}


async def load_persons(
    conn: asyncpg.Connection, keys: Collection[PersonKey], at_us: int
) -> dict[PersonKey, StoredPerson]:
    """Return what is stored of persons for their journeys, with their leaves at an instant."""
    profiles = sorted({(key.workspace_id, key.profile_id) for key in keys})
    rows = await conn.fetch(Q.leaves_of, *_columns(profiles), at_us)
    owner = {(workspace_id, leaf_id): profile_id for workspace_id, leaf_id, profile_id in rows}
    # A leaf that has never moved is its own profile.
    own = [(w, LeafId(id_)) for w, id_ in profiles if (w, id_) not in owner]
    moved = await profiles_of(conn, own, at_us)
    owner |= {(w, id_): id_ for w, id_ in own if (w, id_) not in moved}
    leaves = _columns(sorted(owner))
    facts: defaultdict[tuple[str, bytes], list[JourneyFact]] = defaultdict(list)
    for workspace_id, *columns in await conn.fetch(Q.load_facts, *leaves):
        fact = _fact(*columns)
        facts[workspace_id, owner[workspace_id, fact.leaf_id]].append(fact)
    runs: defaultdict[PersonKey, dict[bytes, StoredRun]] = defaultdict(dict)
    for workspace_id, run_id, journey_id, leaf_id, *shown in await conn.fetch(Q.load_runs, *leaves):
        profile_id = owner[workspace_id, leaf_id]
        person = PersonKey(workspace_id, journey_id, ProfileId(profile_id))
        if person in keys:
            runs[person][run_id] = _run(*shown)
    answers: defaultdict[PersonKey, dict[Question, bool]] = defaultdict(dict)
    for row in await conn.fetch(Q.load_answers, *leaves):
        profile_id = owner[row["workspace_id"], row["leaf_id"]]
        person = PersonKey(row["workspace_id"], row["journey_id"], ProfileId(profile_id))
        answers[person] |= answers_from_bytes(row["answers"])
    coupons: defaultdict[tuple[str, bytes], list[Coupon]] = defaultdict(list)
    for coupon in await load_coupons_of_leaves(conn, *leaves):
        coupons[coupon.workspace_id, owner[coupon.workspace_id, coupon.leaf_id]].append(coupon)
    return {
        key: StoredPerson(
            facts[key.workspace_id, key.profile_id],
            runs.get(key, {}),
            answers.get(key, {}),
            coupons[key.workspace_id, key.profile_id],
        )
        for key in keys
    }


async def save_runs(
    conn: asyncpg.Connection,
    found: Iterable[tuple[PersonKey, RunLook, StoredRun | None]],
    known_us: int,
) -> None:
    """Save the runs that a look has changed; their persons are locked."""
    rows, unpublished = [], []
    for person, look, stored in found:
        shown = look.state.value, look.position.step_id, look.due_us
        if not look.transitions and stored is not None and stored.shown == shown:
            continue
        record, before = look.record, stored.transitions if stored else b""
        new = transitions_to_bytes(look.transitions, person.journey_id, known_us)
        ending, leaf_id = record.ending, record.first.leaf_id
        if look.transitions:
            numbers = record.number - len(look.transitions), record.number
            unpublished.append((person.workspace_id, record.run_id, leaf_id, *numbers, new))
        rows.append(
            (
                *(person.workspace_id, record.run_id, person.journey_id, record.version),
                *(leaf_id, record.first.occurred_at_us, record.number),
                *(before + new, look.state.value),
                *(0 if ending is None else RUN_ENDS.to_proto(ending.reason),),
                *(look.position.step_id, look.due_us, False, record.first.fact_id),
                *(None if ending is None else ending.at_us,),
            )
        )
    if rows:
        await _save_rows(conn, rows, are_logged=False)
    if unpublished:
        unpublished.sort(key=lambda row: row[1])
        await conn.execute(Q.add_unpublished, *_columns(unpublished))


async def save_restored(conn: asyncpg.Connection, rows: Collection[Sequence[Any]]) -> None:
    """Save runs as the log has them, whatever is stored: the columns of `save_runs`."""
    await _save_rows(conn, rows, are_logged=True)
    await conn.execute(Q.delete_unpublished, *_columns([row[:2] for row in rows]))


async def _save_rows(
    conn: asyncpg.Connection, rows: Iterable[Sequence[Any]], *, are_logged: bool
) -> None:
    # Runs are locked in the order of their ids.
    ordered = sorted(rows, key=lambda row: (row[0], row[1]))
    await conn.execute(Q.save_runs, *_columns(ordered), are_logged)


async def save_dues(
    conn: asyncpg.Connection, dues: Mapping[DueKey, int | None], known_us: int
) -> None:
    """Say when leaves are looked at next, after a look with what was known at an instant.

    None = when something is learnt.
    """
    later = [(*key, due_us) for key, due_us in dues.items() if due_us is not None]
    done = [key for key, due_us in dues.items() if due_us is None]
    if later:
        await conn.execute(Q.save_dues, *_columns(later), known_us)
    if done:
        deleted = await conn.execute(Q.delete_dues, *_columns(done), known_us)
        if deleted != f"DELETE {len(done)}":
            again = [(*key, known_us + 1) for key in done]
            await conn.execute(Q.save_dues, *_columns(again), known_us)


async def postpone_dues(conn: asyncpg.Connection, keys: Collection[DueKey]) -> None:
    """Look at leaves after a while, unless what they wait for is there before."""
    if keys:
        await conn.execute(Q.postpone_dues, *_columns(keys), RETRY_S)


async def save_answers(
    conn: asyncpg.Connection, looks: Iterable[tuple[DueKey, Look, StoredPerson]]
) -> None:
    """Save the answers that have refused entries, where there are new ones."""
    rows = [
        (*key, answers_to_bytes(look.answers))
        for key, look, stored in looks
        if look.answers and not look.answers.items() <= stored.answers.items()
    ]
    if rows:
        await conn.execute(Q.save_answers, *_columns(rows))


def _columns(rows: Collection[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return the columns of rows of one width; they are not empty."""
    return list(zip(*rows, strict=True))


def fact_of(row: Any) -> JourneyFact:
    """Return the fact of a row."""
    return _fact(*(row[name] for name in _FACT_COLUMNS))


def _fact(
    leaf_id: LeafId,
    fact_id: FactId,
    occurred_at_us: int,
    recorded_at_us: int,
    subjects: Sequence[str],
    properties: bytes,
    caused_at_us: int | None,
) -> JourneyFact:
    return JourneyFact(
        leaf_id,
        fact_id,
        occurred_at_us,
        recorded_at_us,
        tuple(map(_subject, subjects)),
        msgspec.json.decode(properties),
        caused_at_us,
    )


@lru_cache(maxsize=16_384)
def _subject(text: str) -> Subject:
    """Return the subject of its stored text; cached, as facts share few of them."""
    return tuple(msgspec.json.decode(text))


def _run(
    transitions: bytes, state: int, step_id: str, due_us: int | None, closed: bool
) -> StoredRun:
    shown = state, step_id, due_us
    record, known_us = known_record_from_bytes(transitions)
    return StoredRun(record, transitions, shown, closed, known_us)
