"""Checks the rows that an engine has computed before a new state begins with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg

from services.chassis.postgres.database import acquire
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.failed_facts import load_left_out
from services.chassis.projection.row_files import RowsManifest, read_manifest
from services.kernel.errors import Conflict
from services.kernel.tokens import Token


async def check_rows(pool: asyncpg.Pool, folder: Path, service: str, end: Token) -> RowsManifest:
    """Return the manifest of rows that a new state of a service can begin with.

    Raises InvalidField where there are none, and Conflict where they are beyond `end` or leave out
    other facts than the state does.
    """
    manifest = read_manifest(folder, service)
    if len(manifest.offsets) != len(end.offsets) or not end.includes(manifest.end):
        raise Conflict(f"{service} has not reached the log that was exported; try again later")
    async with acquire(pool) as conn:
        left_out = {
            shard: {unit.sequence for unit in await load_left_out(conn, shard, 0, offset)}
            for shard, offset in enumerate(manifest.offsets)
        }
    manifest.check_left_out(left_out)
    return manifest


def checkpoints_of(manifest: RowsManifest) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a state that has the rows."""
    ends = zip(manifest.offsets, manifest.times_us, strict=True)
    for shard, (offset, time_us) in enumerate(ends):
        yield Checkpoint(shard, offset, 0, offset, time_us)
