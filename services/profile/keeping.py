"""Events into the leaves that are kept: load, fold, save."""

from __future__ import annotations

from collections.abc import Sequence

from services.kernel.fold.leaf import decode, encode
from services.kernel.ids import LeafId
from services.profile import store
from services.profile.domain.facts import Entry
from services.profile.domain.leaves import Folding, fold, touched_leaves
from services.profile.domain.model import Catalogues, as_int, leaf_share
from services.profile.store import Connection, LeafRow


async def fold_leaves(
    conn: Connection, shard: int, entries: Sequence[Entry], catalogues: Catalogues
) -> tuple[Folding, dict[str, int]]:
    """Take the events of a shard into its leaves; what that adds to the digest of each workspace.

    Nobody else may write leaves of the shard meanwhile.
    """
    leaves = touched_leaves(entries)
    known = await store.load_leaves(conn, shard, leaves) if leaves else {}
    states = {leaf: decode(state) for leaf, (state, _) in known.items()}
    folding = fold(entries, states, catalogues)
    return folding, await _save(conn, shard, folding, known)


async def _save(
    conn: Connection, shard: int, folding: Folding, known: dict[LeafId, tuple[bytes, bytes]]
) -> dict[str, int]:
    added: list[LeafRow] = []
    changed: list[LeafRow] = []
    deltas: dict[str, int] = {}
    for leaf_id, state in folding.states.items():
        workspace_id, raw, before = folding.workspaces[leaf_id], encode(state), known.get(leaf_id)
        share = leaf_share(leaf_id, raw)
        rows, delta = (
            (added, as_int(share))
            if before is None
            else (changed, as_int(share) - as_int(before[1]))
        )
        rows.append(LeafRow(leaf_id, workspace_id, raw, share))
        deltas[workspace_id] = deltas.get(workspace_id, 0) + delta
    await store.add_leaves(conn, shard, added)
    await store.save_leaves(conn, shard, changed)
    return deltas
