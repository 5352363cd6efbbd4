"""Loads the leaves that an engine has computed into an empty generation."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from onefold.log.v1.log_pb2 import Fact

from services.chassis.postgres.database import acquire
from services.chassis.projection.row_files import read_rows
from services.kernel.fold.leaf import decode
from services.profile.codec.log import decode_broadcast_facts
from services.profile.domain.bulk_fold import FoldedLeaf
from services.profile.rebuild.bulk_load import BulkLoader
from services.profile.store.definitions import save_broadcast_facts


async def load_rows(loader: BulkLoader, folder: Path) -> None:
    """Copy the leaves, with their digest, and the broadcast facts."""
    for rows in read_rows(folder, "leaf"):
        leaves = {
            leaf_id: FoldedLeaf(workspace_id, decode(state))
            for leaf_id, workspace_id, state in rows
        }
        await loader.save(leaves)
    for rows in read_rows(folder, "broadcast_fact"):
        by_shard: dict[int, list[Fact]] = defaultdict(list)
        for fact in map(Fact.FromString, rows):
            by_shard[fact.shard].append(fact)
        for shard, facts in by_shard.items():
            async with acquire(loader.pool) as conn:
                await save_broadcast_facts(conn, shard, decode_broadcast_facts(facts))
