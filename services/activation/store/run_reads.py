"""Reads runs of journeys for callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import asyncpg

from services.activation.domain.journeys.looks import RunState
from services.chassis.postgres.database import Queries
from services.kernel.ids import LeafId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "run_reads.sql")
#: The sort key before which the first page begins: (begun_at_us, run_id).
NEWEST: Final = (2**63 - 1, b"\xff" * 16)
#: The most runs of a person that are explained.
MAX_RUNS: Final = 100


async def load_known_us(conn: asyncpg.Connection) -> int:
    """Return the instant up to which every shard has taken in the log, Unix microseconds; 1 = none.

    What is read after it follows from at least that much, see `LogClient.append`.
    """
    return max(1, await conn.fetchval(Q.load_known_us) or 0)


async def leaves_of_profile(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, profile_id: ProfileId
) -> list[LeafId]:
    """Return the leaves of a profile that may have runs."""
    rows = await conn.fetch(Q.leaves_of_profile, workspace_id, profile_id)
    return sorted({LeafId(profile_id), *(LeafId(row["leaf_id"]) for row in rows)})


async def count_open_runs(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, journey_id: str
) -> Counter[str]:
    """Return how many runs of a journey have not ended, by the step before which they stand."""
    found = Counter[str]()
    for row in await conn.fetch(Q.count_runs, workspace_id, journey_id):
        if row["state"] != RunState.ENDED:
            found[row["step_id"]] += row["count"]
    return found


def begun_of(effects: Mapping[bytes, Iterable[Any]]) -> dict[bytes, set[tuple[str, int]]]:
    """Return the steps and visits of effects whose attempts have begun, by run."""
    return {
        run_id: {(row["step_id"], row["visit"]) for row in rows if row["begun_at_us"] is not None}
        for run_id, rows in effects.items()
    }
