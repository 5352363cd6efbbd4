"""Reads what decisions need: from this service's own database where it is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from services.activation.domain.decisions import SlotPerson
from services.activation.projection.upstream import DecisionUpstream
from services.activation.store.decisions import expect_person, load_decision, save_person
from services.activation.store.slots import load_slots
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import AssignedIdentifier, IdentityClient
from services.kernel.cache import RecentCache
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.decisions import Slot
from services.kernel.tokens import Token

#: The assignments of identifiers that a process remembers, and for how many seconds: a number may
#: have another form after a change of the workspace region. Moves to other profiles count at once.
REMEMBERED: Final = 50_000
REMEMBERED_S: Final = 300.0


@dataclass(frozen=True)
class DecisionReader:
    """Reads slots and persons.

    A person is read from the services upstream once. From then on the folds of this service keep
    what is stored of it up to date, so a decision is one query of the own database.
    """

    database: Database
    runner: ProjectionRunner
    identity: IdentityClient
    upstream: DecisionUpstream
    clock: Callable[[], float] = time.monotonic
    #: By workspace, namespace and value: the assignment, and until when it is remembered.
    _known: RecentCache[tuple[str, str, str], tuple[AssignedIdentifier, float]] = field(
        default_factory=lambda: RecentCache(REMEMBERED), init=False
    )

    async def read(
        self,
        workspace_id: WorkspaceId,
        identifier: Identifier,
        slot_ids: Collection[str],
        at_least: Token | None,
        slots: dict[str, Slot],
    ) -> SlotPerson | None:
        """Read the slots into `slots`, and the person; None = no person has the identifier.

        Where there is more to wait for the slots come first, as their fallbacks are needed where
        the rest takes too long. Raises OnefoldError.
        """
        key = (workspace_id, *identifier)
        known, until = self._known.get(key) or (None, 0.0)
        if until < self.clock():
            known = None
        if at_least is not None or known is None:
            async with acquire(self.database.api_pool) as conn:
                slots |= await load_slots(conn, workspace_id, slot_ids)
        if at_least is not None:
            await self.runner.reach(at_least)
        if known is None:
            known = await self._assignment(workspace_id, identifier)
            if known is None:
                return None
            self._known.put(key, (known, self.clock() + REMEMBERED_S))
        async with acquire(self.database.api_pool) as conn:
            stored = await load_decision(conn, workspace_id, slot_ids, known, self.runner.shards)
            slots |= stored.slots
            if stored.person is not None:
                return stored.person
            row_id = None
            if stored.is_followed:
                row_id = await expect_person(conn, workspace_id, stored.profile_id)
        person = await self.upstream.person(workspace_id, identifier, at_least)
        if person is not None and row_id is not None and person.profile_id == stored.profile_id:
            async with acquire(self.database.api_pool) as conn:
                await save_person(conn, workspace_id, person, row_id)
        return person

    async def _assignment(
        self, workspace_id: WorkspaceId, identifier: Identifier
    ) -> AssignedIdentifier | None:
        """Return the assignment of an identifier; None = it has no form, or no profile has it."""
        try:
            return await self.identity.assignment(workspace_id, identifier)
        except InvalidField:
            return None
