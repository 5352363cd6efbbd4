"""What-if: who would enter and leave if profiles stood otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.kernel.ids import WorkspaceId
from services.segment.domain.membership import changes
from services.segment.domain.model import Change, Standing
from services.segment.store import postgres as store


class Previews:
    """Decides on standings that nobody told; writes nothing."""

    def __init__(self, database: Database, runner: ProjectionRunner) -> None:
        self._database = database
        self._runner = runner

    async def memberships(
        self, workspace_id: WorkspaceId, standings: Sequence[Standing]
    ) -> list[Change]:
        """What would be announced if these profiles stood so."""
        heirs = {s.merged_into for s in standings if s.merged_into is not None}
        profiles = sorted({s.profile_id for s in standings} | heirs)
        async with (
            acquire(self._database.pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            rulebook = await store.load_rulebook(conn, self._runner.shards)
            known = await store.load_standings(conn, profiles)
            mine = [p for p, standing in known.items() if standing.workspace_id == workspace_id]
            present = await store.load_memberships(conn, mine)
        return changes(standings, present, rulebook)
