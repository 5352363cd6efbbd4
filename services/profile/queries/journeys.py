"""Reads from the log what a journey that is not defined needs of persons: events, rules."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.chassis.access.principal import region
from services.chassis.definitions import WorkspaceLocks
from services.chassis.runtime.prefetch import prefetch
from services.kernel.as_of import AsOf
from services.kernel.errors import InvalidField
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.model import Journey
from services.kernel.rules.ids import predicates
from services.kernel.rules.limits import check_cost, check_size
from services.kernel.rules.model import Rule
from services.kernel.rules.references import expand
from services.kernel.tokens import Token
from services.profile.codec.log import decode_leaf_events, named_event
from services.profile.domain.journeys import AwaitedEvents, EventMatch
from services.profile.domain.objects import reads_objects
from services.profile.domain.profile import replay
from services.profile.domain.tags import WorkspaceDefinitions, answer_rule
from services.profile.queries.past import MAX_LEAVES, PastReader, PersonInLog
from services.profile.store.definitions import load_workspace
from services.profile.store.evaluations import sample_page
from services.profile.store.profiles import leaves_of_profiles

#: Persons that are read together, and questions of one call.
PAGE, MAX_QUESTIONS = 500, 1_000
#: Facts that are decoded while other calls wait.
TURN = 1_000


class MatchedFact(NamedTuple):
    """The fact of an event that a journey would wait for."""

    #: A onefold.log.v1.Fact.
    fact: Any
    match: EventMatch


class MatchedPerson(NamedTuple):
    """A person with the events that a journey would wait for, the newest first."""

    profile_id: ProfileId
    leaf_ids: Sequence[LeafId]
    events: Sequence[MatchedFact]


class _PersonPage(NamedTuple):
    """Some persons and their leaves."""

    profile_of: dict[LeafId, ProfileId]
    leaves: dict[ProfileId, list[LeafId]]


class PastQuestion(NamedTuple):
    """A rule, and the leaves that were one person at an instant."""

    leaf_ids: tuple[LeafId, ...]
    rule: Rule
    #: Unix microseconds; facts that occurred later do not count.
    at_us: int
    #: Facts that were recorded later do not count; 0 = all do.
    recorded_until_us: int


@dataclass(frozen=True, slots=True)
class JourneyInputs:
    """Reads the log for journeys; each call is bound to a workspace."""

    past: PastReader
    #: One caller of a workspace at a time, as each takes CPU that all share.
    turns: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def persons(
        self, workspace_id: WorkspaceId, journey: Journey, from_us: int
    ) -> AsyncGenerator[list[MatchedPerson]]:
        """Yield all persons, page by page, with the events from an instant on."""
        awaited = AwaitedEvents([journey])
        events: defaultdict[ProfileId, list[MatchedFact]] = defaultdict(list)
        async with aclosing(prefetch(self._read(workspace_id))) as pages:
            async for page, facts in pages:
                for number, fact in enumerate(facts):
                    if number % TURN == 0:
                        await asyncio.sleep(0)
                    if fact.occurred_at_us < from_us:
                        continue
                    match = awaited.match_named(*named_event(fact))
                    if match is not None:
                        events[page.profile_of[fact.leaf_id]].append(MatchedFact(fact, match))
                if not facts:
                    yield [
                        MatchedPerson(id_, sorted(leaves), events.get(id_, ()))
                        for id_, leaves in page.leaves.items()
                    ]
                    events.clear()

    async def _read(
        self, workspace_id: WorkspaceId
    ) -> AsyncGenerator[tuple[_PersonPage, Sequence[Any]]]:
        """Yield the facts of all persons in parts, and none at the end of each page of persons."""
        after: bytes = b""
        while True:
            async with self.past.queries.snapshot() as at:
                ids = await sample_page(at.conn, workspace_id, after, 1, PAGE)
                leaves = await leaves_of_profiles(at.conn, workspace_id, ids)
                token = at.token
            page = _PersonPage({leaf_id: id_ for id_, leaf_id in leaves}, {id_: [] for id_ in ids})
            for profile_id, leaf_id in leaves:
                page.leaves[profile_id].append(leaf_id)
            every = sorted(page.profile_of)
            for start in range(0, len(every), MAX_LEAVES):
                chunk = every[start : start + MAX_LEAVES]
                async for facts in self.past.log.stream_leaves(workspace_id, chunk, before=token):
                    if facts:
                        yield page, facts
            yield page, ()
            if len(ids) < PAGE:
                return
            after = ids[-1]

    async def evaluate(
        self, workspace_id: WorkspaceId, questions: Sequence[PastQuestion]
    ) -> list[bool]:
        """Return whether rules were true, in order; accounts and objects are those of the instant.

        Raises InvalidField, RetryableError, and RuleError where a name of a rule is not defined.
        """
        if len(questions) > MAX_QUESTIONS:
            raise InvalidField(f"write at most {MAX_QUESTIONS} questions", field="questions")
        found: dict[PastQuestion, bool] = {}
        async with self.turns.of(workspace_id):
            async with self.past.queries.snapshot() as at:
                definitions = await load_workspace(at.conn, workspace_id)
                token = at.token
            for leaves, own in _by_leaves(questions).items():
                if not 0 < len(leaves) <= MAX_LEAVES:
                    field_ = "questions.leaf_ids"
                    raise InvalidField(f"write 1 to {MAX_LEAVES} leaves", field=field_)
                facts = await self.past.log.read_leaves(workspace_id, leaves, before=token)
                for question in own:
                    found[question] = await self._answer(
                        workspace_id, question, facts, definitions, token
                    )
        return [found[question] for question in questions]

    async def _answer(
        self,
        workspace_id: WorkspaceId,
        question: PastQuestion,
        facts: Iterable[Any],
        definitions: WorkspaceDefinitions,
        token: Token,
    ) -> bool:
        rule = expand(question.rule, definitions.names)
        check_size(rule)
        check_cost(rule, field="questions.rule")
        needed, until_us = predicates(rule), question.recorded_until_us
        known = [
            fact
            for fact in facts
            if fact.occurred_at_us <= question.at_us
            and (not until_us or fact.recorded_at_us <= until_us)
        ]
        events = list(decode_leaf_events(known, region(), self.past.index_key))
        view = (await asyncio.to_thread(replay, events, PredicateIndex(needed))).view
        if reads_objects(needed):
            as_of = AsOf(occurred_until_us=question.at_us)
            person = PersonInLog(
                *(ProfileId(question.leaf_ids[0]), (), events, {}, definitions),
                at_us=question.at_us,
                as_of=as_of,
                is_past=True,
                token=token,
            )
            accounts = await self.past.accounts(workspace_id, person, view)
            objects = await self.past.objects(workspace_id, person, accounts, needed)
            view = view.with_related(objects.of(view.accounts))
        return answer_rule(rule, view, question.at_us)[0]


def _by_leaves(questions: Iterable[PastQuestion]) -> dict[tuple[LeafId, ...], list[PastQuestion]]:
    """Return distinct questions by their leaves."""
    found: defaultdict[tuple[LeafId, ...], list[PastQuestion]] = defaultdict(list)
    for question in dict.fromkeys(questions):
        found[question.leaf_ids].append(question)
    return found
