"""Renews the plans of a connection while the tables that it writes grow."""

from __future__ import annotations

import asyncpg

#: The number of facts after which plans are renewed for the first time.
FIRST_RENEWAL = 1_000


class PlanRenewal:
    """Discards the plans of a connection each time the number of facts that it folded has doubled.

    The planner looks at the size of a table when it makes a plan. In one that is nearly empty all
    indexes cost the same, so the plan may read all rows of a shard or a workspace for each lookup,
    and a connection keeps it until the server has new statistics, half a minute later.
    """

    def __init__(self, conn: asyncpg.Connection, *, first: int = FIRST_RENEWAL) -> None:
        self._conn = conn
        self._folded = 0
        self._renew_at = first

    async def note_folded(self, facts: int) -> None:
        """Count facts that were folded, and discard the plans where it is time.

        Call it outside of transactions.
        """
        self._folded += facts
        if self._folded >= self._renew_at:
            self._renew_at = 2 * self._folded
            await self._conn.execute("DISCARD PLANS")
