"""The reading side: what the doors ask of this room."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from services.chassis.database import Database, acquire
from services.chassis.position import load_positions, token_of
from services.chassis.projection import ProjectionRunner
from services.chassis.relay import Outbox
from services.chassis.stream import Message
from services.identity import store
from services.identity.domain.model import Assignment, Person
from services.kernel.errors import InvalidField
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.tokens import Token

#: Assignments in one message.
PAGE = 2_000


class IdentityQueries:
    """Reads of the live state; those for people are bound to a workspace by the caller's key."""

    def __init__(self, database: Database, runner: ProjectionRunner) -> None:
        self._database = database
        self._runner = runner

    async def reach(self, token: Token | None, timeout: float) -> Token:
        """The state that reads see now, once it includes `token`. Raises TokenNotReached."""
        if token is None:
            return await self._runner.token()
        return await self._runner.wait_for(token, timeout)

    async def profiles(
        self, workspace_id: WorkspaceId, ids: Sequence[bytes]
    ) -> dict[IdentifierId, ProfileId]:
        """The profiles that hold those of `ids` that are known; any old profile id is one."""
        async with acquire(self._database.pool) as conn:
            return await store.resolve(conn, workspace_id, ids)

    async def person(self, workspace_id: WorkspaceId, profile_id: ProfileId) -> Person | None:
        """The profile that this id leads to, with its identifiers; None where it leads nowhere."""
        async with acquire(self._database.pool) as conn:
            return await store.load_person(conn, workspace_id, profile_id)

    async def said(self, shard: int, first: int, until: int) -> AsyncGenerator[Message]:
        """What was said on the bus. Raises InvalidField, RangeGone."""
        if shard >= self._runner.shards:
            raise InvalidField(f"there are {self._runner.shards} shards", field="shard")
        outbox = Outbox(self._database.pool)
        async for message in outbox.stream(shard, first, until):
            yield message

    async def assignments(self) -> AsyncGenerator[tuple[Token, list[Assignment]]]:
        """Which profile every identifier of all workspaces belongs to, in one state.

        At least one page is told, so that the state is known even where there are none.
        """
        async with (
            acquire(self._database.pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            token = token_of(await load_positions(conn))
            page: list[Assignment] = []
            async for assignment in store.read_assignments(conn, prefetch=PAGE):
                page.append(assignment)
                if len(page) == PAGE:
                    yield token, page
                    page = []
            yield token, page
