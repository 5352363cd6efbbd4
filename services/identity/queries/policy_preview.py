"""Reads the policy, and previews another one by resolving a whole workspace in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from services.chassis.projection.backfill import is_backfilling
from services.identity.domain.policy import Policy
from services.identity.domain.preview import PreviewTotals, Regrouping, regroupings, totals
from services.identity.domain.resolution import resolve
from services.identity.projection.reader import StateReader
from services.identity.store.assignments import has_unpublished
from services.identity.store.policy import ROLLOUT, newest_policy
from services.identity.store.profiles import WorkspaceGraph, load_workspace
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

#: Identifiers and edges of a workspace that is previewed: some gigabytes of memory.
MAX_PREVIEWED = 3_000_000


class PolicyState(NamedTuple):
    """The policy of a workspace."""

    policy: Policy
    #: Whether its rollout has finished: all profiles follow from it, and all assignments that it
    #: changed are published.
    is_live: bool


class PolicyQueries:
    """Reads and previews policies."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        #: Of the memory that a preview may take, this process has no second one.
        self._one_at_a_time = asyncio.Lock()

    async def policy(self, workspace_id: WorkspaceId) -> PolicyState:
        """Return the policy of a workspace, and whether its rollout has finished."""
        async with self._reader.snapshot() as conn:
            policy = await newest_policy(conn, workspace_id)
            is_rolling_out = await is_backfilling(conn, ROLLOUT, workspace_id)
            is_live = not is_rolling_out and not await has_unpublished(conn, workspace_id)
            return PolicyState(policy, is_live)

    async def preview(
        self, workspace_id: WorkspaceId, policy: Policy
    ) -> AsyncGenerator[tuple[Token, Regrouping | PreviewTotals]]:
        """Yield the profiles that a policy would group differently, and the totals last; each with
        the state of the log that was read, which is the same for all.

        Raises TooLarge where the workspace has more than can be resolved in memory.
        """
        async with self._one_at_a_time:
            async with self._reader.snapshot_at_token() as (conn, token):
                graph = await load_workspace(conn, workspace_id, MAX_PREVIEWED)
            # Large workspaces take seconds; the shards of this process are folded in that time.
            regrouped, total = await asyncio.to_thread(_compare, graph, policy)
            del graph
        for part in regrouped:
            yield token, part
        yield token, total


def _compare(graph: WorkspaceGraph, policy: Policy) -> tuple[list[Regrouping], PreviewTotals]:
    resolution = resolve(graph.nodes, graph.edges, graph.separated, policy)
    total = totals(graph.profiles, resolution.profiles, graph.held_edges, len(resolution.held))
    return list(regroupings(graph.profiles, resolution.profiles)), total
