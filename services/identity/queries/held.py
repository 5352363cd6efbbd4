"""Lists the edges that are held."""

from __future__ import annotations

from collections.abc import Collection

from services.identity.domain.evidence import Edge
from services.identity.domain.explain import HeldEdgeView
from services.identity.domain.resolution import DECIDABLE
from services.identity.projection.reader import StateReader
from services.identity.store.clashes import with_clashes
from services.identity.store.policy import newest_policy
from services.identity.store.profiles import list_held
from services.kernel.ids import IdentifierId, WorkspaceId

_BEFORE_ALL = Edge(IdentifierId(b""), IdentifierId(b""), 0)


class HeldEdgeQueries:
    """Lists the held edges of a workspace."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader

    async def list_held(
        self,
        workspace_id: WorkspaceId,
        reasons: Collection[int] = DECIDABLE,
        after: Edge | None = None,
        limit: int = 50,
    ) -> list[HeldEdgeView]:
        """Return the edges held for some reasons, after an edge, in order."""
        async with self._reader.snapshot() as conn:
            held = await list_held(conn, workspace_id, reasons, after or _BEFORE_ALL, limit)
            return await with_clashes(conn, held, await newest_policy(conn, workspace_id))
