"""Explains rules, and memberships of segments, tags and stages, from the facts of the log."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from services.chassis.definitions import WorkspaceLocks
from services.kernel.as_of import AsOf
from services.kernel.errors import NotFound
from services.kernel.explain.model import Definition, Person
from services.kernel.explain.tree import explain
from services.kernel.fold.events import EventView
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.rules.ids import predicates
from services.kernel.rules.limits import check_cost, check_size
from services.kernel.rules.model import Rule
from services.kernel.rules.references import expand
from services.profile.domain.explanation import RuleExplanation
from services.profile.domain.objects import RelatedObjects, reads_objects
from services.profile.domain.profile import replay
from services.profile.domain.tags import answer_rule, membership_references
from services.profile.queries.past import PastReader, PersonInLog, check_person


@dataclass(frozen=True, slots=True)
class RuleExplanationQueries:
    """Explains answers about one profile; each call is bound to a workspace."""

    past: PastReader
    #: One explanation of a workspace at a time, as each takes CPU that all share.
    turns: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def rule(
        self, workspace_id: WorkspaceId, id_: bytes, rule: Rule, as_of: AsOf | None
    ) -> RuleExplanation:
        """Explain a rule, now or in the past.

        Raises NotFound, and RuleError where a reference of the rule names nothing.
        """
        async with self.turns.of(workspace_id):
            person = await self.past.person(workspace_id, id_, as_of)
            return await self._explain(workspace_id, person, rule)

    async def membership(
        self, workspace_id: WorkspaceId, id_: bytes, segment_id: str, as_of: AsOf | None
    ) -> RuleExplanation:
        """Explain why a profile has or has not a membership; `segment_id` is a segment or a tag.

        Its forms are those of `membership_references`. Raises NotFound.
        """
        async with self.turns.of(workspace_id):
            return await self._membership(workspace_id, id_, segment_id, as_of)

    async def _membership(
        self, workspace_id: WorkspaceId, id_: bytes, segment_id: str, as_of: AsOf | None
    ) -> RuleExplanation:
        person = await self.past.person(workspace_id, id_, as_of)
        found = membership_references(person.definitions).get(segment_id)
        if found is None:
            then = "" if as_of is None or as_of.token is None else " then"
            raise NotFound(
                f"no segment, tag or stage has this id{then}: write the id of a segment, tag:ID,"
                " tag:ID=VALUE or stage:SET=STAGE"
            )
        return await self._explain(workspace_id, person, found)

    async def _explain(
        self, workspace_id: WorkspaceId, person: PersonInLog, rule: Rule
    ) -> RuleExplanation:
        definitions = person.definitions
        expanded = expand(rule, definitions.names)
        check_size(expanded)
        check_cost(expanded, field="rule")
        needed = predicates(expanded)
        view = replay(person.events, PredicateIndex(needed)).view
        check_person(view)
        objects = RelatedObjects()
        if reads_objects(needed):
            accounts = await self.past.accounts(workspace_id, person, view)
            objects = await self.past.objects(workspace_id, person, accounts, needed)
            view = view.with_related(objects.of(view.accounts))
        leaves: dict[LeafId, list[EventView]] = defaultdict(list)
        for leaf_id, event, _ in person.events:
            leaves[leaf_id].append(event)
        # In a thread: a person with very many events takes seconds, and other calls must not wait.
        explanation = await asyncio.to_thread(
            explain,
            rule,
            Person(list(leaves.values()), objects.of),
            person.at_us,
            {
                name: Definition(own, definitions.versions[name])
                for name, own in definitions.names.items()
            },
        )
        answers = [
            answer._replace(source_id=person.sources.get(answer.fact_id, ""))
            for answer in answer_rule(expanded, view, person.at_us)[1]
        ]
        return RuleExplanation(person.profile_id, rule, explanation, answers, person.token)
