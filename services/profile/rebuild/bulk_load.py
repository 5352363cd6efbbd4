"""A state from nothing, fast: all leaves, all assignments, then everybody settled once.

States are folded in memory and joined to what is kept now and then: they are monoids, so nothing
has to be read before it is folded, and the memory needed does not grow with the log.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

import asyncpg

from services.chassis.postgres.database import acquire, transaction
from services.chassis.projection.checkpoint import add_digest
from services.kernel.fold.leaf import LeafState, combine, decode, encode, fold_event, view_of
from services.kernel.ids import LeafId, WorkspaceId, shard_of
from services.profile.domain.backfill import Past
from services.profile.domain.evaluation import evaluate
from services.profile.domain.facts import Assignment
from services.profile.domain.model import (
    NOTHING_ASKED,
    Catalogues,
    Standing,
    as_int,
    assignment_share,
    leaf_share,
    standing_share,
)
from services.profile.store import postgres as store
from services.profile.store.accounts import AccountRow, account_row, save_accounts
from services.profile.store.postgres import Connection, HeldLeaf, LeafRow

#: Leaves in memory before they are joined to what is kept.
MOST_LEAVES = 100_000
#: Profiles in one transaction of the last step.
PAGE = 5_000


class Bulk:
    """Writes a state into an empty generation; `shards` as if the log were cut into so many."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        catalogues: Catalogues,
        shards: int,
        *,
        most_leaves: int = MOST_LEAVES,
    ) -> None:
        self._pool = pool
        self._catalogues = catalogues
        self._shards = shards
        self._most_leaves = most_leaves
        self._states: dict[LeafId, tuple[WorkspaceId, LeafState]] = {}
        self._writing = asyncio.Lock()

    async def take(self, events: Iterable[Past]) -> None:
        """Fold events, each of which must come once, in any order."""
        states = self._states
        for _, workspace_id, leaf_id, event in events:
            held = states.get(leaf_id)
            if held is None:
                held = states[leaf_id] = (workspace_id, LeafState())
            fold_event(held[1], event, self._catalogues.get(workspace_id, NOTHING_ASKED))
        if len(states) > self._most_leaves:
            await self.flush()

    async def flush(self) -> None:
        """Join what is in memory to what is kept."""
        states, self._states = self._states, {}
        by_shard: dict[int, list[LeafId]] = defaultdict(list)
        for leaf_id in states:
            by_shard[shard_of(leaf_id, self._shards)].append(leaf_id)
        async with self._writing:
            for shard, leaves in by_shard.items():
                for start in range(0, len(leaves), PAGE):
                    page = {leaf: states[leaf] for leaf in leaves[start : start + PAGE]}
                    async with transaction(self._pool) as conn:
                        await self._join(conn, shard, page)

    async def _join(
        self, conn: Connection, shard: int, page: dict[LeafId, tuple[WorkspaceId, LeafState]]
    ) -> None:
        known = await store.load_leaves(conn, shard, page.keys())
        added: list[LeafRow] = []
        changed: list[LeafRow] = []
        accounts: list[AccountRow] = []
        deltas: dict[str, int] = {}
        for leaf_id, (workspace_id, more) in page.items():
            before = known.get(leaf_id)
            state = more if before is None else combine(decode(before), more)
            raw = encode(state)
            if state.members:
                accounts.append(account_row(leaf_id, workspace_id, state))
            (added if before is None else changed).append(LeafRow(leaf_id, workspace_id, raw))
            delta = as_int(leaf_share(leaf_id, raw))
            if before is not None:
                delta -= as_int(leaf_share(leaf_id, before))
            deltas[workspace_id] = deltas.get(workspace_id, 0) + delta
        await store.copy_leaves(conn, shard, added)
        await store.save_leaves(conn, shard, changed)
        await save_accounts(conn, shard, accounts)
        await add_digest(conn, 0, deltas)

    async def assign(self, assignments: Sequence[Assignment]) -> None:
        """Keep whose identifiers are; each must come once."""
        deltas: dict[str, int] = {}
        for told in assignments:
            share = assignment_share(told.identifier_id, told.profile_id)
            deltas[told.workspace_id] = deltas.get(told.workspace_id, 0) + share
        async with transaction(self._pool) as conn:
            await store.copy_assignments(conn, assignments, self._shards)
            await add_digest(conn, 0, deltas)

    async def settle(self, at_us: int) -> None:
        """Find how everybody stands as of an instant (Unix microseconds)."""
        async with acquire(self._pool) as reading, reading.transaction():
            version = await store.next_version(reading)
            page: list[Standing] = []
            async for held in _profiles(reading):
                standing = self._stand(held, version, at_us)
                if standing is None:
                    continue
                page.append(standing)
                if len(page) == PAGE:
                    await self._save(page)
                    page = []
            await self._save(page)

    def _stand(self, held: Sequence[HeldLeaf], version: int, at_us: int) -> Standing | None:
        """How a person stands; None where it is an account."""
        profile_id, workspace_id = held[0].profile_id, held[0].workspace_id
        catalogue = self._catalogues.get(workspace_id, NOTHING_ASKED)
        view = view_of(decode(leaf.state) for leaf in held)
        if view.is_account:
            return None
        holds, due_us = evaluate(catalogue.predicates, view, catalogue, at_us)
        return Standing(profile_id, workspace_id, version, holds, due_us, at_us)

    async def _save(self, page: Sequence[Standing]) -> None:
        deltas: dict[str, int] = {}
        for standing in page:
            share = standing_share(standing)
            deltas[standing.workspace_id] = deltas.get(standing.workspace_id, 0) + share
        async with transaction(self._pool) as conn:
            await store.copy_standings(conn, page, self._shards)
            await add_digest(conn, 0, deltas)


async def _profiles(conn: Connection) -> AsyncIterator[list[HeldLeaf]]:
    """The leaves of every profile."""
    held: list[HeldLeaf] = []
    async for leaf in store.everybody(conn, prefetch=PAGE):
        if held and leaf.profile_id != held[0].profile_id:
            yield held
            held = []
        held.append(leaf)
    if held:
        yield held
