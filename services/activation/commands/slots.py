"""Defines slots as facts of the log."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from services.activation.codec.slots import slot_definition
from services.activation.projection.upstream import RuleChecker
from services.activation.store.slots import list_slots
from services.chassis.definitions import Defined, WorkspaceLocks, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.decisions import Slot, canonical, slot_problems
from services.kernel.journeys.naming import JourneyProblem
from services.kernel.rules.references import Name
from services.kernel.tokens import Token

#: Slots of a workspace, retired ones included.
MAX_SLOTS: Final = 500


@dataclass(frozen=True)
class SlotCommands:
    """Defines slots."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    rules: RuleChecker
    #: One definition of a workspace at a time.
    locks: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def define(
        self,
        workspace_id: WorkspaceId,
        desired: Slot,
        *,
        etag: str = "",
        dry_run: bool = False,
        assumed: Collection[Name] = (),
    ) -> Defined[Slot]:
        """Define a version of a slot; its number is ignored.

        `assumed`: what a dry run takes as defined. Raises InvalidField with all mistakes, Conflict,
        RetryableError.
        """
        problems = slot_problems(desired)
        wanted = desired if problems else canonical(desired)

        async def load(token: Token) -> Slot | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                existing = {slot.slot_id: slot for slot in await list_slots(conn, workspace_id)}
            found = list(problems)
            if desired.slot_id not in existing and len(existing) >= MAX_SLOTS:
                remedy = "define one under the id of a retired slot"
                found.append(JourneyProblem("id", f"the workspace has {MAX_SLOTS} slots", remedy))
            if not desired.retired:
                rules = [(v.variant_id, v.when) for v in desired.variants if v.when is not None]
                names = assumed if dry_run else ()
                found += await self.rules.rule_problems(workspace_id, rules, token, names)
            if found:
                mistakes = ". ".join(map(str, found))
                raise InvalidField(f"the slot has mistakes: {mistakes}", field="slot")
            return existing.get(desired.slot_id)

        async with self.locks.of(workspace_id):
            return await define(
                lambda _: wanted,
                log=self.log,
                load=load,
                to_fact=lambda slot: slot_definition(workspace_id, slot),
                etag=etag,
                dry_run=dry_run,
            )
