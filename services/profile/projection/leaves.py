"""Events into the leaves that are kept: load, fold, save."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from services.kernel.fold.leaf import LeafState, decode, encode
from services.kernel.ids import LeafId, WorkspaceId
from services.profile.domain.facts import Entry
from services.profile.domain.leaves import Folding, fold, touched_leaves
from services.profile.domain.model import Catalogues, leaf_share
from services.profile.store import postgres as store
from services.profile.store.accounts import AccountRow, account_row, save_accounts
from services.profile.store.postgres import Connection, LeafRow

#: Where a shard stands; no two states of its leaves have the same.
Mark: TypeAlias = tuple[int, ...]


class Kept(NamedTuple):
    """A leaf as it is kept."""

    state: LeafState
    #: Its share of the digest, 16 bytes.
    share: bytes


class Memory:
    """The leaves that were folded last, so that they need not be loaded again.

    A shard's leaves have one writer, so what it wrote is what is there: as long as its transaction
    was committed and nobody else had the shard since. Both show in where the shard stands.
    """

    def __init__(self, most: int) -> None:
        """`most`: leaves of all shards together; 0 = nothing is remembered."""
        self._most = most
        self._shards: dict[int, tuple[Mark, dict[LeafId, Kept]]] = {}

    def open(self, shard: int, mark: Mark) -> dict[LeafId, Kept]:
        """What is remembered of a shard that stands at `mark`. It is forgotten unless `close` is
        called, for states are changed in place."""
        known_at, leaves = self._shards.pop(shard, ((), {}))
        return leaves if known_at == mark else {}

    def close(self, shard: int, mark: Mark, leaves: dict[LeafId, Kept]) -> None:
        """Remember leaves, the last used ones last, for when the shard stands at `mark`."""
        for leaf_id in list(leaves)[: max(0, len(leaves) - self._room(shard))]:
            del leaves[leaf_id]
        self._shards[shard] = (mark, leaves)

    def _room(self, shard: int) -> int:
        return self._most // len(self._shards.keys() | {shard})


async def fold_leaves(
    conn: Connection,
    shard: int,
    entries: Sequence[Entry],
    catalogues: Catalogues,
    remembered: dict[LeafId, Kept] | None = None,
) -> tuple[Folding, dict[str, int]]:
    """Take the events of a shard into its leaves; what that adds to the digest of each workspace.

    Nobody else may write leaves of the shard meanwhile. `remembered` is brought up to date.
    """
    leaves = remembered if remembered is not None else {}
    known = await _load(conn, shard, touched_leaves(entries), leaves)
    folding = fold(entries, {leaf: kept.state for leaf, kept in known.items()}, catalogues)
    return folding, await _save(conn, shard, folding, known, leaves)


async def _load(
    conn: Connection, shard: int, touched: Iterable[LeafId], remembered: dict[LeafId, Kept]
) -> dict[LeafId, Kept]:
    """Those of the touched leaves that are there, taken out of what is remembered."""
    known: dict[LeafId, Kept] = {}
    missing: list[LeafId] = []
    for leaf_id in touched:
        kept = remembered.pop(leaf_id, None)
        if kept is None:
            missing.append(leaf_id)
        else:
            known[leaf_id] = kept
    if missing:
        loaded = await store.load_leaves(conn, shard, missing)
        for leaf_id, state in loaded.items():
            known[leaf_id] = Kept(decode(state), leaf_share(leaf_id, state))
    return known


async def _save(
    conn: Connection,
    shard: int,
    folding: Folding,
    known: dict[LeafId, Kept],
    remembered: dict[LeafId, Kept],
) -> dict[str, int]:
    added: list[LeafRow] = []
    changed: list[LeafRow] = []
    new: dict[WorkspaceId, list[bytes]] = defaultdict(list)
    old: dict[WorkspaceId, list[bytes]] = defaultdict(list)
    accounts: list[AccountRow] = []
    for leaf_id, state in folding.states.items():
        workspace_id, raw, before = folding.workspaces[leaf_id], encode(state), known.get(leaf_id)
        share = leaf_share(leaf_id, raw)
        new[workspace_id].append(share)
        if before is None:
            added.append(LeafRow(leaf_id, workspace_id, raw))
        else:
            old[workspace_id].append(before.share)
            changed.append(LeafRow(leaf_id, workspace_id, raw))
        remembered[leaf_id] = Kept(state, share)
        if state.members:
            accounts.append(account_row(leaf_id, workspace_id, state))
    await store.add_leaves(conn, shard, added)
    await store.save_leaves(conn, shard, changed)
    await save_accounts(conn, shard, accounts)
    return {w: _sum(shares) - _sum(old[w]) for w, shares in new.items()}


def _sum(shares: Iterable[bytes]) -> int:
    return sum(map(int.from_bytes, shares))
