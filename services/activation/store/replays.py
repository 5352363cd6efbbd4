"""Reads what replays of journeys need: all that is stored of persons, group by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import asyncpg

from services.activation.codec.journey_runs import (
    answers_from_bytes,
    stored_transitions,
    transition_from_proto,
)
from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.looks import JourneyFact, LeafMoved
from services.activation.domain.journeys.replays import LeafGroup
from services.activation.domain.journeys.run import Question
from services.activation.domain.journeys.verified import BegunEffect, KnownTransition
from services.activation.store import run_reads, runs
from services.activation.store.coupons import load_coupons_of_leaves
from services.chassis.postgres.database import Queries
from services.kernel.ids import LeafId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "replays.sql")
#: Before all leaves.
FIRST_LEAF = LeafId(b"")


class GroupPage(NamedTuple):
    """Some groups of leaves, and the leaf after which the next page begins; None = no page."""

    groups: list[LeafGroup]
    after: LeafId | None


async def load_group_page(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, journey_id: str, after: LeafId, size: int
) -> GroupPage:
    """Return the groups whose first leaf with facts or runs of a journey is among the next ones."""
    rows = await conn.fetch(Q.list_leaves, workspace_id, journey_id, after, size)
    page = [LeafId(row["leaf_id"]) for row in rows]
    if not page:
        return GroupPage([], None)
    near = await conn.fetch(Q.list_group_leaves, workspace_id, page)
    leaves = sorted({*page, *(LeafId(row["leaf_id"]) for row in near)})
    moves = await load_moves(conn, workspace_id, leaves)
    columns = [workspace_id] * len(leaves), leaves
    facts: defaultdict[LeafId, list[JourneyFact]] = defaultdict(list)
    for row in await conn.fetch(runs.Q.load_facts, *columns):
        facts[LeafId(row["leaf_id"])].append(runs.fact_of(row))
    transitions: defaultdict[LeafId, list[KnownTransition]] = defaultdict(list)
    for row in await conn.fetch(runs.Q.load_runs, *columns):
        if row["journey_id"] == journey_id:
            transitions[LeafId(row["leaf_id"])] += _transitions(row["transitions"])
    answers: dict[LeafId, Mapping[Question, bool]] = {
        LeafId(row["leaf_id"]): answers_from_bytes(row["answers"])
        for row in await conn.fetch(runs.Q.load_answers, *columns)
        if row["journey_id"] == journey_id
    }
    begun = await _load_begun(conn, workspace_id, leaves)
    coupons: defaultdict[LeafId, list[Coupon]] = defaultdict(list)
    for coupon in await load_coupons_of_leaves(conn, *columns):
        coupons[coupon.leaf_id].append(coupon)
    known, on_page = facts.keys() | transitions.keys(), set(page)
    groups = [
        LeafGroup(
            workspace_id,
            own,
            [fact for leaf_id in own for fact in facts.get(leaf_id, ())],
            [move for move in moves if move.leaf_id in own],
            [coupon for leaf_id in own for coupon in coupons.get(leaf_id, ())],
            [each for leaf_id in own for each in transitions.get(leaf_id, ())],
            [each for leaf_id in own for each in begun.get(leaf_id, ())],
            {leaf_id: answers[leaf_id] for leaf_id in own & answers.keys()},
        )
        for own in grouped(leaves, moves)
        if min(own & known, default=None) in on_page
    ]
    return GroupPage(groups, page[-1] if len(page) == size else None)


async def load_moves(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, leaves: Collection[LeafId]
) -> list[LeafMoved]:
    """Return to which profiles leaves have moved, and when."""
    return [
        LeafMoved(
            workspace_id,
            LeafId(row["leaf_id"]),
            ProfileId(row["profile_id"]),
            row["version"],
            row["since_us"],
        )
        for row in await conn.fetch(Q.load_moves, workspace_id, leaves)
    ]


def grouped(leaves: Iterable[LeafId], moves: Iterable[LeafMoved]) -> list[frozenset[LeafId]]:
    """Return the leaves in groups that were never one person with a leaf of another group."""
    group_of = {leaf_id: {leaf_id} for leaf_id in leaves}
    by_profile: dict[ProfileId, LeafId] = {ProfileId(leaf_id): leaf_id for leaf_id in group_of}
    for move in moves:
        near = by_profile.setdefault(move.profile_id, move.leaf_id)
        one, other = group_of[near], group_of[move.leaf_id]
        if one is not other:
            one |= other
            group_of |= dict.fromkeys(other, one)
    return [frozenset(own) for own in {id(own): own for own in group_of.values()}.values()]


async def _load_begun(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, leaves: Sequence[LeafId]
) -> dict[LeafId, list[BegunEffect]]:
    found: defaultdict[LeafId, list[BegunEffect]] = defaultdict(list)
    for row in await conn.fetch(run_reads.Q.load_run_effects, workspace_id, leaves):
        if row["begun_at_us"] is not None:
            key = row["step_id"], row["visit"]
            found[LeafId(row["leaf_id"])].append(
                BegunEffect(row["begun_at_us"], row["run_id"], key)
            )
    return found


def _transitions(stored: bytes) -> list[KnownTransition]:
    return [
        KnownTransition(each.known_at_us, transition_from_proto(each))
        for each in stored_transitions(stored)
    ]
