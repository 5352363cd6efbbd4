"""Evaluates rules that are not defined over the profiles of a workspace, or a sample of them.

Where all accumulators of the rules are complete in the stored leaves, these are evaluated. What is
missing is folded from the events of the leaves in the log, page by page, and stored nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.chassis.definitions import WorkspaceLocks
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField, RuleError
from services.kernel.fold.leaf import LeafState, ProfileView, decode, view_of
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.rules.ids import predicates
from services.kernel.rules.limits import check_cost, check_size, cost_of
from services.kernel.rules.model import All, Rule
from services.kernel.rules.references import Definitions, expand
from services.kernel.tokens import Token
from services.profile.codec.log import decode_log_events
from services.profile.domain.backfill import LeafRefill
from services.profile.domain.rule_preview import (
    EvaluatedProfile,
    PreviewCost,
    RuleEvaluation,
    sampling,
)
from services.profile.projection.limits import RuleLimiter
from services.profile.queries.profiles import ProfileQueries, with_objects
from services.profile.store import evaluations as evaluation_store
from services.profile.store.definitions import backfilled_accumulators, load_workspace
from services.profile.store.profiles import Snapshot, load_profiles

#: All profiles are evaluated where there are at most so many, else about half as many: from the
#: stored leaves, and from the log.
MOST_STORED, MOST_FROM_LOG = 20_000, 4_000
#: Rules of one preview.
MAX_RULES = 1_000
#: Profiles of one page, those that are evaluated while other calls wait, and leaves that the log
#: reads in one request.
PAGE, TURN, MAX_LEAVES = 200, 20, 1_000


@dataclass(frozen=True, slots=True)
class RulePreview:
    """Evaluates rules in memory; writes nothing. One preview at a time works."""

    queries: ProfileQueries
    limiter: RuleLimiter
    log: LogClient
    index_key: IndexKey
    #: One preview at a time, and of each workspace at most one that waits for its turn.
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _turns: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def evaluate(
        self, workspace_id: WorkspaceId, rules: Sequence[Rule], samples: int
    ) -> AsyncGenerator[PreviewCost | list[EvaluatedProfile]]:
        """Yield the cost, and then the profiles page by page.

        Raises InvalidField, field `rules[…]`; RetryableError.
        """
        if not 0 < len(rules) <= MAX_RULES:
            raise InvalidField(f"write 1 to {MAX_RULES} rules", field="rules")
        async with self._turns.of(workspace_id), self._turn:
            async with self.queries.snapshot() as at:
                names = (await load_workspace(at.conn, workspace_id)).names
                preview = RuleEvaluation(_expanded(rules, names), samples)
                complete = await backfilled_accumulators(at.conn, workspace_id, len(at.checkpoints))
                profiles = await evaluation_store.count_persons(at.conn, workspace_id)
            preview.missing = preview.index.accumulator_ids - complete
            one_in = sampling(profiles, MOST_FROM_LOG if preview.missing else MOST_STORED)
            yield await self._cost(workspace_id, preview, at.token, profiles, one_in)
            after = b""
            while True:
                page, ids = await self._page(workspace_id, preview, after, one_in)
                if page:
                    yield page
                if len(ids) < PAGE:
                    return
                after = ids[-1]

    async def _cost(
        self,
        workspace_id: WorkspaceId,
        preview: RuleEvaluation,
        token: Token,
        profiles: int,
        one_in: int,
    ) -> PreviewCost:
        needed = [p for rule in preview.rules for p in predicates(rule)]
        new = await self.limiter.check(workspace_id, needed, field="rules")
        retained = cost_of(All(tuple(preview.rules))).retained
        return PreviewCost(profiles, one_in, new, retained, token)

    async def _page(
        self, workspace_id: WorkspaceId, preview: RuleEvaluation, after: bytes, one_in: int
    ) -> tuple[list[EvaluatedProfile], list[ProfileId]]:
        """Return the next profiles evaluated, and their ids; each page has its own snapshot."""
        async with self.queries.snapshot() as at:
            ids = await evaluation_store.sample_page(at.conn, workspace_id, after, one_in, PAGE)
            rows = await load_profiles(at.conn, workspace_id, ids)
            states = {row.leaf_id: decode(row.state) for row in rows if row.state is not None}
            await self._refill(at, workspace_id, preview, states)
            leaves: dict[ProfileId, list[LeafState]] = {profile_id: [] for profile_id in ids}
            for row in rows:
                if row.leaf_id in states:
                    leaves[row.profile_id].append(states[row.leaf_id])
            views = {profile_id: view_of(own) for profile_id, own in leaves.items() if own}
            views = {profile_id: v for profile_id, v in views.items() if not v.is_account}
            if preview.reads_objects:
                views = await with_objects(at.conn, views)
        return [one async for one in _evaluated(preview, views, at.now_us)], ids

    async def _refill(
        self,
        at: Snapshot,
        workspace_id: WorkspaceId,
        preview: RuleEvaluation,
        states: Mapping[LeafId, LeafState],
    ) -> None:
        """Fill the accumulators that the stored leaves lack from the log."""
        refill, leaves = LeafRefill(preview.index, preview.missing), list(states)
        if refill.needs_events:
            for start in range(0, len(leaves), MAX_LEAVES):
                chunk = leaves[start : start + MAX_LEAVES]
                async for facts in self.log.stream_leaves(workspace_id, chunk, before=at.token):
                    refill.add(list(decode_log_events(facts, self.index_key)))
        for leaf_id, state in states.items():
            refill.apply(leaf_id, state)


async def _evaluated(
    preview: RuleEvaluation, views: Mapping[ProfileId, ProfileView], now_us: int
) -> AsyncIterator[EvaluatedProfile]:
    for position, (profile_id, view) in enumerate(views.items()):
        if position % TURN == 0:
            await asyncio.sleep(0)
        yield preview.evaluate(profile_id, view, now_us)


def _expanded(rules: Iterable[Rule], names: Definitions) -> list[Rule]:
    """Return rules without references. Raises InvalidField."""
    expanded: list[Rule] = []
    for i, rule in enumerate(rules):
        try:
            own = expand(rule, names)
            check_size(own)
        except RuleError as error:
            raise error.under(f"rules[{i}]") from None
        check_cost(own, field=f"rules[{i}]")
        expanded.append(own)
    return expanded
