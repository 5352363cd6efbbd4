"""Loads a whole state in bulk: all leaves, all assignments, then one evaluation of each profile.

States are folded in memory and combined with the stored ones from time to time. They form a monoid,
so no state is read before it is folded, and the memory needed does not grow with the log.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from asyncpg import Connection, Pool

from services.chassis.postgres.database import acquire, transaction
from services.chassis.projection.checkpoint import add_digest
from services.kernel.fold.leaf import decode, encode, view_of
from services.kernel.ids import IdentifierId, LeafId, ProfileId, shard_of
from services.kernel.index_key import IndexKey
from services.profile.domain.bulk_fold import BulkFold, FoldedLeaf, first_evaluation, with_stored
from services.profile.domain.evaluation import Evaluation, PredicateIndexes, ProfileState
from services.profile.domain.facts import LogEvent, ProfileAssignment, assignment_share
from services.profile.domain.leaves import leaf_delta
from services.profile.domain.names import forms_of_leaf
from services.profile.domain.objects import object_leaves
from services.profile.store import profiles as profile_store
from services.profile.store.evaluations import copy_evaluations, next_version
from services.profile.store.profiles import (
    AccountRow,
    LeafRow,
    NameRow,
    ProfileLeaf,
    account_row,
    copy_assignments,
    save_accounts,
    save_names,
)

#: Profiles in one transaction.
PAGE = 5_000
#: Profiles whose states are in memory at a time.
STATES = 500


@dataclass(slots=True)
class BulkLoader:
    """Writes a state into an empty generation, as if the log had `shards` shards."""

    pool: Pool
    indexes: PredicateIndexes
    shards: int
    index_key: IndexKey
    #: Leaves in memory before they are combined with the stored ones.
    max_leaves: int = 100_000
    _fold: BulkFold = field(init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        self._fold = BulkFold(self.indexes)

    async def add_events(self, events: Iterable[LogEvent]) -> None:
        """Fold events; add each event once, in any order."""
        self._fold.add(events)
        if len(self._fold) > self.max_leaves:
            await self.flush()

    async def flush(self) -> None:
        """Combine the leaves in memory with the stored ones."""
        await self.save(self._fold.take())

    async def save(self, leaves: Mapping[LeafId, FoldedLeaf]) -> None:
        """Combine leaves with the stored ones."""
        by_shard: dict[int, list[LeafId]] = defaultdict(list)
        for leaf_id in leaves:
            by_shard[shard_of(leaf_id, self.shards)].append(leaf_id)
        async with self._writing:
            for shard, ids in by_shard.items():
                for start in range(0, len(ids), PAGE):
                    page = {leaf: leaves[leaf] for leaf in ids[start : start + PAGE]}
                    async with transaction(self.pool) as conn:
                        await self._combine(conn, shard, page)

    async def _combine(
        self, conn: Connection, shard: int, page: Mapping[LeafId, FoldedLeaf]
    ) -> None:
        stored = await profile_store.load_leaves(conn, shard, page.keys())
        added: list[LeafRow] = []
        changed: list[LeafRow] = []
        accounts: list[AccountRow] = []
        names: list[NameRow] = []
        deltas = Counter[str]()
        for leaf_id, (workspace_id, more) in page.items():
            before = stored.get(leaf_id)
            state = with_stored(before, more)
            raw = encode(state)
            if state.members:
                accounts.append(account_row(leaf_id, workspace_id, state, self.index_key))
            elif forms := forms_of_leaf(state):
                names.append(NameRow(leaf_id, workspace_id, forms))
            (added if before is None else changed).append(LeafRow(leaf_id, workspace_id, raw))
            deltas[workspace_id] += leaf_delta(leaf_id, before, raw)
        await profile_store.copy_leaves(conn, shard, added)
        await profile_store.save_leaves(conn, shard, changed)
        await save_accounts(conn, shard, accounts)
        await save_names(conn, shard, names)
        await add_digest(conn, 0, deltas)

    async def add_assignments(self, assignments: Sequence[ProfileAssignment]) -> None:
        """Insert assignments; add each identifier once."""
        deltas = Counter[str]()
        for a in assignments:
            deltas[a.workspace_id] += assignment_share(a.identifier_id, a.profile_id)
        async with transaction(self.pool) as conn:
            await copy_assignments(conn, assignments, self.shards)
            await add_digest(conn, 0, deltas)

    async def assign_lone_leaves(self) -> None:
        """Make leaves without an assignment profiles of their own.

        Identity lacks the evidence of a failed fact, and publishes it with its leaf as the profile.
        """
        deltas = Counter[str]()
        async with transaction(self.pool) as conn:
            for leaf_id, workspace_id in await profile_store.assign_lone_leaves(conn):
                deltas[workspace_id] += assignment_share(IdentifierId(leaf_id), ProfileId(leaf_id))
            await add_digest(conn, 0, deltas)

    async def evaluate(self, at_us: int) -> None:
        """Evaluate all profiles as of an instant (Unix microseconds)."""
        async with acquire(self.pool) as reading, reading.transaction():
            version = await next_version(reading)
            page: list[Evaluation] = []
            async for profiles in _pages(reading):
                page += await self._evaluate(profiles, version, at_us)
                if len(page) >= PAGE:
                    await self._save(page)
                    page = []
            await self._save(page)

    async def _evaluate(
        self, profiles: Sequence[ProfileState], version: int, at_us: int
    ) -> list[Evaluation]:
        """Evaluate the profiles that are persons."""
        if read := object_leaves(profiles, self.indexes):
            async with acquire(self.pool) as conn:
                objects = await profile_store.load_objects(conn, read)
            profiles = [objects.add_to(profile) for profile in profiles]
        found = (first_evaluation(one, self.indexes, version, at_us) for one in profiles)
        return [evaluation for evaluation in found if evaluation is not None]

    async def _save(self, page: Sequence[Evaluation]) -> None:
        deltas = Counter[str]()
        for evaluation in page:
            deltas[evaluation.workspace_id] += evaluation.digest_share
        async with transaction(self.pool) as conn:
            await copy_evaluations(conn, page, self.shards)
            await add_digest(conn, 0, deltas)


async def _pages(conn: Connection) -> AsyncIterator[list[ProfileState]]:
    """Yield all profiles, in pages whose states fit into memory."""
    page: list[ProfileState] = []
    leaves: list[ProfileLeaf] = []
    async for leaf in profile_store.all_profile_leaves(conn, prefetch=PAGE):
        if leaves and leaf.profile_id != leaves[0].profile_id:
            page.append(_profile(leaves))
            leaves = []
            if len(page) == STATES:
                yield page
                page = []
        leaves.append(leaf)
    if leaves:
        page.append(_profile(leaves))
    yield page


def _profile(leaves: Sequence[ProfileLeaf]) -> ProfileState:
    view = view_of(decode(leaf.state) for leaf in leaves)
    return ProfileState(leaves[0].profile_id, leaves[0].workspace_id, None, view)
