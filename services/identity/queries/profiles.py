"""Looks up profiles by identifiers, lists identifiers, and streams assignments and outputs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from services.chassis.messaging.stream import StreamMessage
from services.identity.domain.explain import IdentityGraph
from services.identity.domain.rows import AssignedProfile, IdentifierAssignment, ResolvedProfile
from services.identity.projection.reader import StateReader
from services.identity.queries.probable import join_probable
from services.identity.store import assignments, profiles
from services.identity.store.decisions import list_decisions
from services.kernel.errors import InvalidField
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.tokens import Token

#: The identifiers and the decisions of a graph, and the edges of each identifier in it.
MOST_SHOWN, MOST_EDGES = 200, 100
#: Assignments in one message.
ASSIGNMENTS_PAGE = 2_000


class IdentityQueries:
    """Reads profiles; the public queries see only the workspace of the caller's key."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader

    async def lookup(
        self, workspace_id: WorkspaceId, ids: Sequence[bytes], purpose: str = ""
    ) -> dict[IdentifierId, AssignedProfile]:
        """Return the profiles of the identifiers and former profile ids that are stored.

        With a purpose, profiles are joined by the probable matches accepted for it, never against a
        limit or a decision; the joined profile has the id of its first seen identifier. Raises
        TooLarge.
        """
        async with self._reader.snapshot() as conn:
            found = await profiles.lookup_assignments(conn, workspace_id, ids)
            if not (purpose and found):
                return found
            own = {id_: assigned.profile_id for id_, assigned in found.items()}
            joined = await join_probable(conn, workspace_id, own, purpose)
            return {id_: found[id_]._replace(profile_id=joined[id_]) for id_ in found}

    async def profile(
        self, workspace_id: WorkspaceId, profile_id: ProfileId
    ) -> ResolvedProfile | None:
        """Return a profile by its id or a former one; None where the workspace has none."""
        async with self._reader.snapshot() as conn:
            return await profiles.load_profile(conn, workspace_id, profile_id)

    async def graph(self, workspace_id: WorkspaceId, profile_id: ProfileId) -> IdentityGraph | None:
        """Return a profile with the evidence about it; None where the workspace has none."""
        async with self._reader.snapshot() as conn:
            profile = await profiles.load_profile(conn, workspace_id, profile_id)
            if profile is None:
                return None
            shown = profile.identifiers[:MOST_SHOWN]
            ids = [one.identifier_id for one in shown]
            edges = await profiles.list_edges(conn, workspace_id, ids, MOST_EDGES)
            decided = await list_decisions(conn, workspace_id, ids, MOST_SHOWN)
            return IdentityGraph(profile, shown, edges, decided)

    async def read_outbox(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncGenerator[StreamMessage]:
        """Yield published messages; `end` 0 = all, `life` as in `Outbox.check_start`.

        Raises InvalidField, RangeExpired, UpstreamWentBack.
        """
        shards = self._reader.runner.shards
        if shard >= shards:
            raise InvalidField(f"there are {shards} shards", field="shard")
        outbox = self._reader.runner.outbox
        await outbox.check_start(shard, first, life)
        async for message in outbox.stream(shard, first, end):
            yield message

    async def read_assignments(self) -> AsyncGenerator[tuple[Token, list[IdentifierAssignment]]]:
        """Yield the assignments of all workspaces in pages, in one state of the log; at least one
        page, so that the state is known even where there are none."""
        everything = self._reader.snapshot_at_token(of_all_workspaces=True)
        async with everything as (conn, token):
            page: list[IdentifierAssignment] = []
            rows = assignments.read_assignments(conn, prefetch=ASSIGNMENTS_PAGE)
            async for assignment in rows:
                page.append(assignment)
                if len(page) == ASSIGNMENTS_PAGE:
                    yield token, page
                    page = []
            yield token, page

    async def partition_digest(self, workspace_id: WorkspaceId) -> int:
        """Return the digest of the profiles alone, whatever the evidence for them."""
        async with self._reader.snapshot() as conn:
            return await profiles.partition_digest(conn, workspace_id)
