"""Defines segments: validates, compares with the current definition, appends a fact."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from services.chassis.definitions import Defined, DefinitionFact, WorkspaceLocks, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.rules.limits import check_together
from services.kernel.rules.references import Name
from services.kernel.tokens import Token
from services.segment.codec.definitions import definition_to_proto
from services.segment.domain.model import (
    SegmentDefinition,
    check_new_segment_id,
    check_segment_title,
)
from services.segment.store.definitions import load_definitions


class RuleLimits(Protocol):
    """Says whether a rule may be defined beside the other rules of its workspace."""

    async def check_rule(
        self, segment: SegmentDefinition, at_least: Token, assumed: frozenset[Name]
    ) -> None:
        """Check the rule of a segment, and what refers to it, in a state that includes a token.

        `assumed`: what is taken as defined. Raises InvalidField, RetryableError.
        """


@dataclass(frozen=True)
class SegmentCommands:
    """Defines segments."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    limits: RuleLimits
    #: One definition of a workspace at a time: each sees the predicates of those before it.
    locks: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def define(
        self,
        desired: SegmentDefinition,
        *,
        etag: str = "",
        dry_run: bool = False,
        assumed: frozenset[Name] = frozenset(),
    ) -> Defined[SegmentDefinition]:
        """Define a segment; `assumed`: what a dry run takes as defined.

        Raises InvalidField, Conflict, RetryableError.
        """
        taken = assumed if dry_run else frozenset[Name]()
        check_new_segment_id(desired.segment_id, "segment.segment_id")
        check_segment_title(desired.title)

        async def load(token: Token) -> SegmentDefinition | None:
            await self.runner.reach(token)
            await self.limits.check_rule(desired, token, taken)
            async with acquire(self.database.api_pool) as conn:
                definitions = await load_definitions(conn, desired.workspace_id)
            existing = {definition.segment_id: definition for definition in definitions}
            current = existing.pop(desired.segment_id, None)
            if not desired.retired:
                others = (other.rule for other in existing.values() if not other.retired)
                check_together(others, desired.rule, field="segment.rule")
            return current

        def keep(_current: SegmentDefinition | None) -> SegmentDefinition:
            return desired

        async with self.locks.of(desired.workspace_id):
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
