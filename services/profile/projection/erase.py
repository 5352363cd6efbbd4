"""Deletes what profile has of erased persons: leaves, names, evaluations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncpg import Connection

from services.chassis.projection.erased_rows import save_erased_rows
from services.kernel.erasures import PersonErasure
from services.kernel.fold.id_sets import replace_ids
from services.kernel.fold.leaf import decode, encode
from services.kernel.ids import NO_ID, LeafId, ProfileId
from services.profile.domain.evaluation import ALL_PREDICATES, Evaluation, EvaluationChanges
from services.profile.domain.leaves import leaf_delta, leaf_share
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.projection.leaves import CachedLeaves
from services.profile.store.erasure import bury, delete_leaves, end_erasure, pass_shard
from services.profile.store.profiles import LeafRow, load_leaves, save_leaves


@dataclass(slots=True)
class ErasedPersons:
    """What the erasure of persons in one shard has changed."""

    #: Empty evaluations to publish. Every shard publishes them, as an older one of another shard
    #: may be on its way.
    buried: list[Evaluation] = field(default_factory=list)
    #: By workspace, the change of the digest.
    deltas: Counter[str] = field(default_factory=Counter)
    #: The profiles that are evaluated again, if they have leaves of a new life.
    again: list[ProfileId] = field(default_factory=list)


async def erase_persons(
    conn: Connection,
    shard: int,
    shards: int,
    erasures: Sequence[PersonErasure],
    cached: CachedLeaves,
) -> ErasedPersons:
    """Delete the leaves of persons in a shard, and empty the evaluations of their profiles.

    The ids of the persons are locked, see `ProfileEvaluator.lock`. Until all shards have done so,
    the evaluator leaves these profiles out.
    """
    found = ErasedPersons()
    for erasure in erasures:
        for leaf_id in (*erasure.ids, *erasure.account_ids):
            cached.pop(LeafId(leaf_id), None)
        deltas = found.deltas
        leaves = await delete_leaves(conn, erasure, shard)
        for leaf_id, state in leaves.items():
            deltas[erasure.workspace_id] -= int.from_bytes(leaf_share(leaf_id, state))
        deltas[erasure.workspace_id] += await _leave_accounts(conn, shard, erasure)
        passed = await pass_shard(conn, erasure, shard)
        buried = await bury(conn, erasure, erasure.recorded_at_us)
        for before, after in buried:
            deltas[erasure.workspace_id] -= before.digest_share
            found.buried.append(after)
        emptied = sum(before.merged_into != NO_ID for before, _ in buried)
        rows = {"leaves": len(leaves), "evaluations": emptied}
        await save_erased_rows(conn, erasure, shard, rows)
        if passed == shards:
            await end_erasure(conn, erasure)
            found.again += map(ProfileId, erasure.ids)
    return found


async def _leave_accounts(conn: Connection, shard: int, erasure: PersonErasure) -> int:
    """Take the leaves of a person out of the members of accounts; return the digest's change.

    One zero id stands for all members that were erased, as it does in the facts.
    """
    if not erasure.account_ids:
        return 0
    change = 0
    rows: list[LeafRow] = []
    accounts = list(map(LeafId, erasure.account_ids))
    for leaf_id, before in (await load_leaves(conn, shard, accounts)).items():
        state = decode(before)
        state.members = replace_ids(state.members, erasure.ids, NO_ID)
        after = encode(state)
        if after != before:
            change += leaf_delta(leaf_id, before, after)
            rows.append(LeafRow(leaf_id, erasure.workspace_id, after))
    await save_leaves(conn, shard, rows)
    return change


async def evaluate_again(
    conn: Connection,
    shard: int,
    evaluator: ProfileEvaluator,
    profiles: Sequence[ProfileId],
    at_us: int,
) -> EvaluationChanges:
    """Evaluate the profiles that may have leaves of a new life."""
    scopes = dict.fromkeys(profiles, ALL_PREDICATES)
    return await evaluator.evaluate(conn, shard, EvaluationRequest(profile_scopes=scopes), at_us)
