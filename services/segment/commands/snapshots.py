"""Takes and removes snapshots: appends a fact with the expression and the token, no members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import Conflict, InvalidField, NotFound
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token
from services.segment.codec.sets import snapshot_to_fact_message
from services.segment.domain.sets import MemberSnapshot, check_snapshot, segments_in
from services.segment.store.definitions import load_followed
from services.segment.store.sets import load_snapshot


@dataclass(frozen=True)
class SnapshotCommands:
    """Takes and removes snapshots."""

    database: Database
    runner: ProjectionRunner
    log: LogClient

    async def take(self, desired: MemberSnapshot, *, at: Token | None) -> Defined[MemberSnapshot]:
        """Take a snapshot; `at` None = now. Its own token and version are ignored.

        Raises InvalidField, Conflict, RetryableError.
        """
        check_snapshot(desired)
        if at is not None and len(at.offsets) > self.runner.shards:
            raise InvalidField("`at` is a token of an earlier response", field="at")
        token = at if at is not None else await self.log.head()
        # An offset of each shard: a reader can tell that a log has another number of them.
        token = Token(tuple(map(token.offset, range(self.runner.shards))))
        await self.runner.reach(token)
        await self._check_defined(desired)

        def keep(current: MemberSnapshot | None) -> MemberSnapshot:
            if current is None or current.removed:
                return replace(desired, token=token)
            if (current.expression, current.title) != (desired.expression, desired.title):
                raise Conflict(
                    "a snapshot of this name exists with another expression or title, and it does"
                    " not change: remove it first, or choose another name"
                )
            if at is not None and token != current.token:
                raise Conflict(
                    "a snapshot of this name exists of another state: remove it first, or choose"
                    " another name"
                )
            return current

        return await self._define(desired.workspace_id, desired.name, keep)

    async def remove(self, workspace_id: WorkspaceId, name: str) -> Defined[MemberSnapshot]:
        """Remove a snapshot; one that is removed already stays so. Raises NotFound, Conflict."""

        def keep(current: MemberSnapshot | None) -> MemberSnapshot:
            if current is None:
                raise NotFound("there is no such snapshot; ListSnapshots has the names")
            return replace(current, removed=True)

        return await self._define(workspace_id, name, keep)

    async def _define(
        self,
        workspace_id: WorkspaceId,
        name: str,
        keep: Callable[[MemberSnapshot | None], MemberSnapshot],
    ) -> Defined[MemberSnapshot]:
        async def load(token: Token) -> MemberSnapshot | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                return await load_snapshot(conn, workspace_id, name)

        return await define(keep, log=self.log, load=load, to_fact=_to_fact)

    async def _check_defined(self, desired: MemberSnapshot) -> None:
        async with acquire(self.database.api_pool) as conn:
            known = {d.segment_id for d in await load_followed(conn, desired.workspace_id)}
        for segment_id in segments_in(desired.expression):
            if segment_id not in known:
                raise InvalidField(
                    "a segment of the set is not defined; ListSegments has the ids of segments,"
                    " values of tags and stages",
                    field="expression",
                )


def _to_fact(snapshot: MemberSnapshot) -> DefinitionFact:
    return DefinitionFact.from_message(
        snapshot_to_fact_message(snapshot),
        workspace_id=snapshot.workspace_id,
        key=snapshot.name,
        version=snapshot.version,
    )
