"""Defines segments: validates, compares with the current definition, appends a fact."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.tokens import Token
from services.segment.codec.definitions import definition_to_proto
from services.segment.domain.model import SegmentDefinition, check_segment_id, check_segment_title
from services.segment.store.definitions import load_definition


@dataclass(frozen=True)
class SegmentCommands:
    """Defines segments."""

    database: Database
    runner: ProjectionRunner
    log: LogClient

    async def define(
        self, desired: SegmentDefinition, *, etag: str = "", dry_run: bool = False
    ) -> Defined[SegmentDefinition]:
        """Define a segment. Raises InvalidField, Conflict, RetryableError."""
        check_segment_id(desired.segment_id, "segment.segment_id")
        check_segment_title(desired.title)

        async def load(token: Token) -> SegmentDefinition | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                return await load_definition(conn, desired.workspace_id, desired.segment_id)

        def keep(_current: SegmentDefinition | None) -> SegmentDefinition:
            return desired

        return await define(
            keep, log=self.log, load=load, to_fact=_to_fact, etag=etag, dry_run=dry_run
        )


def _to_fact(definition: SegmentDefinition) -> DefinitionFact:
    return DefinitionFact.from_message(
        definition_to_proto(definition),
        workspace_id=definition.workspace_id,
        key=definition.segment_id,
        version=definition.version,
    )
