"""The reading side: what the doors ask of this room."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import StreamMessage
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.checkpoint import load_checkpoints, token_of
from services.chassis.projection.runner import ProjectionRunner
from services.identity.domain.evidence import DecisionKind, Edge, Pair
from services.identity.domain.explain import Explanation, HeldEdgeView
from services.identity.domain.linking import CROSS_PROFILE
from services.identity.domain.policy import Policy
from services.identity.domain.preview import PreviewTotals, Regrouping
from services.identity.domain.rows import IdentifierAssignment, ResolvedProfile
from services.identity.projection.matches import join_probable
from services.identity.projection.policy_rollout import is_resettling
from services.identity.queries.explain import Log, Past, explain_now, newest_policy
from services.identity.queries.merge_feed import Moves, watch
from services.identity.queries.policy_preview import load_everybody, preview
from services.identity.store import postgres as store
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId
from services.kernel.tokens import Token

#: Assignments in one message.
PAGE = 2_000
_NO_PAIR = Pair(IdentifierId(b""), IdentifierId(b""))
_BEFORE_ALL = Edge(*_NO_PAIR, 0)


class PolicyState(NamedTuple):
    """What holds, or will when all people have been looked at."""

    policy: Policy
    #: Whether they have been.
    live: bool


class IdentityQueries:
    """Reads of the live state; those for people are bound to a workspace by the caller's key."""

    def __init__(self, database: Database, runner: ProjectionRunner, log: Log) -> None:
        self._database = database
        self._runner = runner
        self._log = log

    async def reach(self, token: Token | None, timeout: float) -> Token:
        """The state that reads see now, once it includes `token`. Raises TokenNotReached."""
        if token is None:
            return await self._runner.token()
        return await self._runner.wait_for(token, timeout)

    async def profiles(
        self, workspace_id: WorkspaceId, ids: Sequence[bytes], purpose: str = ""
    ) -> dict[IdentifierId, ProfileId]:
        """The profiles that hold those of `ids` that are known; any old profile id is one.

        With a purpose, people are joined by the probable matches that were accepted for it too,
        never against a limit or a decision; they are named by the one first seen.
        """
        async with self._one_state() as conn:
            found = await store.resolve(conn, workspace_id, ids)
            if purpose and found:
                return await join_probable(conn, workspace_id, found, purpose)
            return found

    async def person(
        self, workspace_id: WorkspaceId, profile_id: ProfileId
    ) -> ResolvedProfile | None:
        """The profile that this id leads to, with its identifiers; None where it leads nowhere."""
        async with acquire(self._database.pool) as conn:
            return await store.load_person(conn, workspace_id, profile_id)

    async def said(self, shard: int, first: int, until: int) -> AsyncGenerator[StreamMessage]:
        """What was said on the bus. Raises InvalidField, RangeGone."""
        if shard >= self._runner.shards:
            raise InvalidField(f"there are {self._runner.shards} shards", field="shard")
        outbox = Outbox(self._database.pool)
        async for message in outbox.stream(shard, first, until):
            yield message

    async def assignments(self) -> AsyncGenerator[tuple[Token, list[IdentifierAssignment]]]:
        """Which profile every identifier of all workspaces belongs to, in one state.

        At least one page is told, so that the state is known even where there are none.
        """
        async with self._one_state() as conn:
            token = token_of(await load_checkpoints(conn))
            page: list[IdentifierAssignment] = []
            async for assignment in store.read_assignments(conn, prefetch=PAGE):
                page.append(assignment)
                if len(page) == PAGE:
                    yield token, page
                    page = []
            yield token, page

    async def explain(
        self,
        workspace_id: WorkspaceId,
        a: IdentifierId,
        b: IdentifierId,
        as_of: Token | None = None,
    ) -> Explanation:
        """Why two identifiers are one person, or why not; `as_of`: as the log knew it then.

        Raises TooLarge where they were named together with too many others to look back.
        """
        async with self._one_state() as conn:
            if as_of is None:
                return await explain_now(conn, workspace_id, a, b)
            return await Past(conn, self._log, workspace_id, as_of).explain(a, b)

    async def held(
        self,
        workspace_id: WorkspaceId,
        reasons: Collection[int] = CROSS_PROFILE,
        after: Edge | None = None,
        limit: int = 50,
    ) -> list[HeldEdgeView]:
        """What is held back for some reasons, in the order of its edges, after one of them."""
        async with self._one_state() as conn:
            return await store.list_held(conn, workspace_id, reasons, after or _BEFORE_ALL, limit)

    async def policy(self, workspace_id: WorkspaceId) -> PolicyState:
        """The policy of a workspace, and whether all people have been looked at by it."""
        async with self._one_state() as conn:
            policy = await newest_policy(conn, workspace_id)
            return PolicyState(policy, not await is_resettling(conn, workspace_id))

    async def preview(
        self, workspace_id: WorkspaceId, policy: Policy
    ) -> AsyncGenerator[tuple[Token, Regrouping | PreviewTotals]]:
        """What a policy would come to: who would be grouped otherwise, and the sums last; each
        with the state that was read, the same in all."""
        async with self._one_state() as conn:
            token = token_of(await load_checkpoints(conn))
            everybody = await load_everybody(conn, workspace_id)
        async for part in preview(everybody, policy):
            yield token, part

    async def watch(self, workspace_id: WorkspaceId, since: Token | None) -> AsyncGenerator[Moves]:
        """Merges and splits from a state on (None = from now on), until the caller leaves.

        Parts come without moves too, so that it can be seen how far the watching is. Raises
        InvalidField, RangeGone.
        """
        shards = self._runner.shards
        if since is not None and len(since.offsets) > shards:
            raise InvalidField(f"there are {shards} shards", field="from_token")
        at = since if since is not None else await self._runner.token()
        outbox = Outbox(self._database.pool)
        async for moves in watch(outbox, workspace_id, [at.offset(s) for s in range(shards)]):
            yield moves

    async def matches(
        self,
        workspace_id: WorkspaceId,
        judgement: int | None = None,
        after: Pair | None = None,
        limit: int = 50,
    ) -> list[tuple[Pair, bytes]]:
        """Probable matches (serialised MatchAssessed) in the order of their ids, after one of them;
        of one judgement, or of all."""
        async with self._one_state() as conn:
            return await store.list_matches(conn, workspace_id, judgement, after or _NO_PAIR, limit)

    async def decision_on(
        self, workspace_id: WorkspaceId, pair: Pair
    ) -> tuple[FactId, DecisionKind] | None:
        """The decision on two identifiers that counts now: its fact and what was decided."""
        async with self._one_state() as conn:
            return await store.decision_on(conn, workspace_id, pair)

    async def judgements(
        self, workspace_id: WorkspaceId, pairs: Sequence[Pair]
    ) -> dict[Pair, tuple[FactId, bytes]]:
        """Of pairs that were judged: the fact that counts now, and the serialised MatchAssessed."""
        async with self._one_state() as conn:
            return await store.judgements(conn, workspace_id, pairs)

    async def partition_digest(self, workspace_id: WorkspaceId) -> int:
        """The digest of who is whom alone, whatever the evidence for it."""
        async with self._one_state() as conn:
            return await store.partition_digest(conn, workspace_id)

    @asynccontextmanager
    async def _one_state(self) -> AsyncIterator[asyncpg.Connection]:
        async with (
            acquire(self._database.pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield conn
