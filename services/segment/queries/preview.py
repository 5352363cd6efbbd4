"""Previews the members that a definition would have; profile evaluates its rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from services.chassis.postgres.database import Database, acquire
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId, parse_id
from services.kernel.rules.model import Rule
from services.kernel.rules.references import NamedRules
from services.kernel.tokens import Token
from services.segment.domain.model import membership_id
from services.segment.domain.preview import MembersTally, SegmentPreview
from services.segment.store.memberships import load_memberships

MAX_SAMPLE, DEFAULT_SAMPLE = 100, 5


class RuleEvaluator(Protocol):
    """Evaluates rules that are not defined."""

    def evaluate_rules(
        self, workspace_id: WorkspaceId, rules: Sequence[Rule], samples: int, at_least: Token | None
    ) -> AsyncIterator[Any]:
        """Yield EvaluateRulesResponse messages; the first one has the cost. Raises OnefoldError."""


async def preview_segment(
    database: Database,
    evaluator: RuleEvaluator,
    workspace_id: WorkspaceId,
    defined: NamedRules,
    *,
    sample_size: int,
    at_least: Token | None,
) -> SegmentPreview:
    """Return what a definition would change. Raises InvalidField, RetryableError."""
    if sample_size > MAX_SAMPLE:
        raise InvalidField(f"sample_size is at most {MAX_SAMPLE}", field="sample_size")
    size = sample_size or DEFAULT_SAMPLE
    rules: list[Rule] = []
    tallies: list[MembersTally] = []
    for value in defined.classification.names:
        rule = defined.classification.rule_of(value)
        if rule is not None:
            rules.append(rule)
            tallies.append(MembersTally(membership_id(defined.name, value), size))
    preview = SegmentPreview(tallies)
    async for page in evaluator.evaluate_rules(workspace_id, rules, size, at_least):
        if page.one_in:
            preview.profiles, preview.is_exact = page.profiles, page.one_in == 1
            preview.new_predicates, preview.retained = page.new_predicates, page.retained
        await _add_page(database, preview, page.evaluated)
    return preview


async def _add_page(database: Database, preview: SegmentPreview, evaluated: Sequence[Any]) -> None:
    ids = [ProfileId(parse_id(one.profile_id, "profile_id")) for one in evaluated]
    if not ids:
        return
    async with acquire(database.api_pool) as conn:
        current = await load_memberships(conn, ids)
    preview.evaluated += len(ids)
    for profile_id, one in zip(ids, evaluated, strict=True):
        own, true = current.get(profile_id, frozenset()), set(one.true_rules)
        first = min(true, default=-1)
        for index, tally in enumerate(preview.members):
            tally.add(
                profile_id,
                would_be=index in true,
                is_member=bool(tally.segment_id) and tally.segment_id in own,
                results=one.predicates if index == first else (),
            )
