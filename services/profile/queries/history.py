"""Answers historical queries from the log: past profiles, timelines, rule explanations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.chassis.access.principal import region
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import NotFound
from services.kernel.fold.leaf import ProfileView
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Predicate, Rule
from services.kernel.rules.references import expand
from services.kernel.tokens import Token
from services.profile.codec.log import decode_leaf_events
from services.profile.domain.objects import reads_objects
from services.profile.domain.profile import Profile, ReplayedProfile, TimelineCursor, replay
from services.profile.domain.settings import computed_values
from services.profile.domain.tags import PredicateAnswer, active_rules, answer_rule, tags_of
from services.profile.queries.objects import with_past_objects
from services.profile.queries.profiles import ProfileQueries
from services.profile.store.definitions import load_workspace
from services.profile.store.profiles import Snapshot

#: The most leaves that the log reads in one request.
MAX_LEAVES = 1_000


@dataclass(frozen=True, slots=True)
class AsOf:
    """A past state of the log: before a token, or up to an instant (Unix microseconds)."""

    token: Token | None = None
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class RuleExplanation:
    """Whether a rule is true of a profile, and why."""

    holds: bool
    answers: Sequence[PredicateAnswer]
    at_us: int


@dataclass(frozen=True, slots=True)
class HistoryQueries:
    """Queries that read the event log; each is bound to a workspace."""

    queries: ProfileQueries
    log: LogClient
    index_key: IndexKey

    async def profile(self, workspace_id: WorkspaceId, id_: bytes, as_of: AsOf) -> Profile:
        """Return a profile as of a past state, with the identifiers it has now. Raises NotFound."""
        async with self.queries.snapshot() as at:
            profile_id, leaves = await self.queries.identifiers_of(at, workspace_id, id_)
            definitions = await load_workspace(at.conn, workspace_id)
        rules, settings = active_rules(definitions), definitions.settings
        at_us = as_of.at_us or await self._clock_at(as_of.token or Token())
        needed = [p for rule in rules.values() for p in predicates(rule)]
        needed += [own.feature for own in settings.computed_traits]
        facts = await self._facts(workspace_id, leaves, as_of)
        replayed = self._replay(facts, PredicateIndex(needed))
        if not replayed.leaf_ids:
            raise NotFound("the profile had no events then")
        async with self.queries.snapshot() as at:
            accounts = await self.queries.accounts(at, workspace_id, replayed.view)
            view = await self._with_objects(at, workspace_id, replayed.view, needed, as_of)
        return Profile(
            profile_id,
            sorted(replayed.identifiers),
            view,
            tags_of(rules, view, at_us),
            replayed.leaf_ids,
            accounts,
            computed_values(settings, view, at_us),
        )

    async def timeline(
        self, workspace_id: WorkspaceId, id_: bytes, size: int, after: TimelineCursor | None
    ) -> Sequence[Any]:
        """Return at most `size` facts of a profile, newest first. Raises NotFound."""
        async with self.queries.snapshot() as at:
            _, leaves = await self.queries.identifiers_of(at, workspace_id, id_)
        before_us, seen = (after.occurred_at_us + 1, after.entries) if after else (0, 0)
        facts = await self.log.read_leaves(
            workspace_id, leaves[:MAX_LEAVES], before_us=before_us, limit=size + seen
        )
        if after is not None:
            facts = [f for f in facts if (f.occurred_at_us, f.fact_id) < after[:2]]
        return facts[:size]

    async def explain(self, workspace_id: WorkspaceId, id_: bytes, rule: Rule) -> RuleExplanation:
        """Evaluate a rule for a profile now, from the facts folded so far.

        Raises NotFound, and RuleError where a reference of the rule names nothing.
        """
        async with self.queries.snapshot() as at:
            _, leaves = await self.queries.identifiers_of(at, workspace_id, id_)
            token, now_us = at.token, at.now_us
            rule = expand(rule, (await load_workspace(at.conn, workspace_id)).names)
        index = PredicateIndex.from_rules([rule])
        facts = await self._facts(workspace_id, leaves, AsOf(token))
        view = self._replay(facts, index).view
        async with self.queries.snapshot() as at:
            view = await self._with_objects(at, workspace_id, view, predicates(rule), AsOf(token))
        holds, answers = answer_rule(rule, view, now_us)
        return RuleExplanation(holds, answers, now_us)

    async def _with_objects(
        self,
        at: Snapshot,
        workspace_id: WorkspaceId,
        view: ProfileView,
        needed: Iterable[Predicate],
        as_of: AsOf,
    ) -> ProfileView:
        """Return a past profile with the related objects that predicates read."""
        if not view.accounts or not reads_objects(needed):
            return view

        async def read_facts(leaves: Sequence[LeafId]) -> Sequence[Any]:
            return await self._facts(workspace_id, leaves, as_of)

        return await with_past_objects(at, workspace_id, view, read_facts, self.index_key)

    async def _facts(
        self, workspace_id: WorkspaceId, leaves: Sequence[LeafId], as_of: AsOf
    ) -> list[Any]:
        """Read the facts of leaves, as of a past state."""
        facts: list[Any] = []
        for start in range(0, len(leaves), MAX_LEAVES):
            facts += await self.log.read_leaves(
                workspace_id,
                leaves[start : start + MAX_LEAVES],
                before=as_of.token,
                recorded_until_us=as_of.at_us,
            )
        return facts

    def _replay(self, facts: Sequence[Any], index: PredicateIndex) -> ReplayedProfile:
        """Fold the events of a person's leaves. Raises NotFound where they are an account's."""
        replayed = replay(decode_leaf_events(facts, region(), self.index_key), index)
        if replayed.view.is_account:
            raise NotFound("this is an account; call GetAccount")
        return replayed

    async def _clock_at(self, token: Token) -> int:
        """Return the log's clock at a token: the time of the newest fact before it."""
        newest_us = 0
        for shard, offset in enumerate(token.offsets):
            if offset:
                async for facts in self.log.read(shard, offset - 1, offset):
                    newest_us = max(newest_us, *(fact.recorded_at_us for fact in facts))
        return newest_us
