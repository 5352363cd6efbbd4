"""Lists the edges that are held."""

from __future__ import annotations

from collections.abc import Collection

from services.identity.domain.evidence import Edge, EvidenceKind
from services.identity.domain.explain import HeldCount, HeldEdgeView
from services.identity.domain.held import DECIDABLE
from services.identity.projection.reader import StateReader
from services.identity.store.clashes import with_clashes
from services.identity.store.policy import newest_policy
from services.identity.store.profiles import count_held, list_held
from services.kernel.ids import IdentifierId, WorkspaceId

#: Counting ends here, so that a flood of claims does not make it slow.
MAX_COUNTED = 10_000
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
        weakest: int = EvidenceKind.CLAIMED,
    ) -> list[HeldEdgeView]:
        """Return the edges held for some reasons, no weaker than a kind, after an edge: the
        strongest kind first, then in the order of their ids."""
        after = after or _BEFORE_ALL
        async with self._reader.snapshot() as conn:
            held = await list_held(conn, workspace_id, reasons, weakest, after, limit)
            return await with_clashes(conn, held, await newest_policy(conn, workspace_id))

    async def counts(
        self, workspace_id: WorkspaceId, reasons: Collection[int] = DECIDABLE
    ) -> list[HeldCount]:
        """Return how many edges are held for some reasons, each counted up to MAX_COUNTED."""
        async with self._reader.snapshot() as conn:
            return await count_held(conn, workspace_id, reasons, MAX_COUNTED)
