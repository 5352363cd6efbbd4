"""Checks that a rule may be defined beside the rules that are in use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.chassis.postgres.database import Database, acquire
from services.kernel.ids import WorkspaceId
from services.kernel.rules.ids import predicates
from services.kernel.rules.limits import PredicateLimits, check_additional
from services.kernel.rules.model import Predicate, Rule
from services.profile.domain.evaluation import EMPTY_INDEX
from services.profile.projection.predicates import PredicateIndexCache


@dataclass(frozen=True, slots=True)
class RuleLimiter:
    """Counts the predicates that the shards have registered for a workspace."""

    database: Database
    limits: PredicateLimits
    #: Apart from the workers' cache, which may only be read under locks.
    registered: PredicateIndexCache = field(default_factory=PredicateIndexCache)

    async def check_rule(self, workspace_id: WorkspaceId, rule: Rule, *, field: str) -> int:
        """Return how many predicates a rule without references adds to those registered.

        Raises InvalidField.
        """
        return await self.check(workspace_id, predicates(rule), field=field)

    async def check(
        self, workspace_id: WorkspaceId, needed: Iterable[Predicate], *, field: str
    ) -> int:
        """Return how many of some predicates are not registered yet. Raises InvalidField."""
        async with acquire(self.database.pool) as conn:
            indexes = await self.registered.for_all_shards(conn)
        index = indexes.get(workspace_id, EMPTY_INDEX)
        in_use = (compiled.predicate for compiled in index.predicates.values())
        return check_additional(self.limits, in_use, needed, field=field)
