"""Folds events into leaves: load, fold, save."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple, TypeAlias

from asyncpg import Connection

from services.chassis.runtime.cpu import UNCOUNTED, ItemWatch
from services.kernel.fold.leaf import LeafState, decode, encode
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.profile.domain.evaluation import PredicateIndexes
from services.profile.domain.facts import AttributedFact
from services.profile.domain.leaves import LeafFold, fold_events, leaf_share
from services.profile.domain.names import forms_of_leaf
from services.profile.projection import metrics
from services.profile.store.profiles import (
    AccountRow,
    LeafRow,
    NameRow,
    account_row,
    add_leaves,
    load_leaves,
    save_accounts,
    save_leaves,
    save_names,
)

#: The largest encoded state that is cached, bytes.
MAX_CACHED_BYTES = 64 * 1024


class CacheVersion(NamedTuple):
    """Identifies one state of a shard's leaves, which follows from the facts folded so far."""

    #: The offset of the next fact.
    next: int
    #: Changes with every page of a backfill.
    leaves_version: int


class CachedLeaf(NamedTuple):
    """A stored leaf."""

    state: LeafState
    #: Its share of the digest, 16 bytes.
    share: bytes


CachedLeaves: TypeAlias = dict[LeafId, CachedLeaf]


class LeafCache:
    """The most recently folded leaves of each shard, which need not be loaded again.

    A cached leaf equals the stored one if both are of one version. They are not where the
    transaction of the cached one was rolled back, or where another replica has worked the shard
    since.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity`: leaves of all shards together; 0 = nothing is cached."""
        self._capacity = capacity
        self._shards: dict[int, tuple[CacheVersion, CachedLeaves]] = {}

    def take(self, shard: int, version: CacheVersion) -> CachedLeaves:
        """Remove and return the leaves of a shard; empty where they are of another version.

        Folding changes states in place, so they stay out of the cache until `put` returns them.
        """
        cached = self._shards.pop(shard, None)
        return cached[1] if cached is not None and cached[0] == version else {}

    def put(self, shard: int, version: CacheVersion, leaves: CachedLeaves) -> None:
        """Cache leaves, the most recently used ones last, for a later `take` of this version."""
        for leaf_id in list(leaves)[: max(0, len(leaves) - self._shard_capacity(shard))]:
            del leaves[leaf_id]
        self._shards[shard] = (version, leaves)

    def forget(self, shard: int) -> None:
        """Drop the leaves of a shard: its next lease may show an earlier state of the database."""
        self._shards.pop(shard, None)

    def _shard_capacity(self, shard: int) -> int:
        return self._capacity // len(self._shards.keys() | {shard})


async def fold_leaves(
    conn: Connection,
    shard: int,
    facts: Sequence[AttributedFact],
    indexes: PredicateIndexes,
    index_key: IndexKey,
    cached: CachedLeaves | None = None,
    watch: ItemWatch = UNCOUNTED,
    apart: Set[LeafId] = frozenset(),
) -> tuple[LeafFold, dict[str, int]]:
    """Fold the events of a shard into its leaves; return the fold and the digests' changes.

    The caller is the only writer of the shard's leaves. Updates `cached`. `apart`: the leaves
    whose events are traced.
    """
    leaves = cached if cached is not None else {}
    touched = {fact.leaf_id for fact in facts if fact.event is not None}
    before = await _load(conn, shard, touched, leaves)
    watched = watch.each(facts, "event", lambda fact: _place(shard, fact))
    states = {leaf: one.state for leaf, one in before.items()}
    result = fold_events(watched, states, indexes, apart)
    metrics.OVER_TRAIT_LIMIT.inc(sum(s.dropped_traits for s in result.states.values()))
    return result, await _save(conn, shard, result, before, leaves, index_key)


def _place(shard: int, fact: AttributedFact) -> dict[str, object]:
    return {"workspace": fact.workspace_id, "shard": shard, "offset": fact.offset}


async def _load(
    conn: Connection, shard: int, touched: Iterable[LeafId], cached: CachedLeaves
) -> CachedLeaves:
    """Return the touched leaves that exist; remove them from `cached`."""
    found: CachedLeaves = {}
    missing: list[LeafId] = []
    for leaf_id in touched:
        leaf = cached.pop(leaf_id, None)
        if leaf is None:
            missing.append(leaf_id)
        else:
            found[leaf_id] = leaf
    if missing:
        loaded = await load_leaves(conn, shard, missing)
        for leaf_id, state in loaded.items():
            found[leaf_id] = CachedLeaf(decode(state), leaf_share(leaf_id, state))
    return found


async def _save(
    conn: Connection,
    shard: int,
    result: LeafFold,
    before: CachedLeaves,
    cached: CachedLeaves,
    index_key: IndexKey,
) -> dict[str, int]:
    added: list[LeafRow] = []
    changed: list[LeafRow] = []
    new: dict[WorkspaceId, list[bytes]] = defaultdict(list)
    old: dict[WorkspaceId, list[bytes]] = defaultdict(list)
    accounts: list[AccountRow] = []
    names: list[NameRow] = []
    for leaf_id, state in result.states.items():
        workspace_id, raw, existing = result.workspaces[leaf_id], encode(state), before.get(leaf_id)
        share = leaf_share(leaf_id, raw)
        new[workspace_id].append(share)
        if existing is None:
            added.append(LeafRow(leaf_id, workspace_id, raw))
        else:
            old[workspace_id].append(existing.share)
            changed.append(LeafRow(leaf_id, workspace_id, raw))
        # A large state is loaded again: a few of them would fill the memory of all the others.
        if len(raw) <= MAX_CACHED_BYTES:
            cached[leaf_id] = CachedLeaf(state, share)
        if state.members:
            accounts.append(account_row(leaf_id, workspace_id, state, index_key))
        elif leaf_id in result.named:
            names.append(NameRow(leaf_id, workspace_id, forms_of_leaf(state)))
    await add_leaves(conn, shard, added)
    await save_leaves(conn, shard, changed)
    await save_accounts(conn, shard, accounts)
    await save_names(conn, shard, names)
    return {w: _sum(shares) - _sum(old[w]) for w, shares in new.items()}


def _sum(shares: Iterable[bytes]) -> int:
    return sum(map(int.from_bytes, shares))
