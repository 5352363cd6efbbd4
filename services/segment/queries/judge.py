"""Evaluates rules of journeys for profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.checkpoint import load_checkpoints
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.evaluate import RuleTest, compile_rule
from services.kernel.rules.ids import predicate_id, predicates, to_bigint
from services.kernel.rules.model import Rule
from services.kernel.rules.references import expand_known
from services.segment.domain.model import JudgeQuestion, ProfileEvaluation
from services.segment.store import definitions
from services.segment.store.evaluations import load_evaluations

#: Merges that lead from one profile to the next.
_MAX_HEIRS = 20


@dataclass
class RuleJudge:
    """Evaluates rules whose predicates are backfilled."""

    database: Database
    shards: int
    #: The revision of the definitions, and the rules that were compiled with them.
    _cached: tuple[int, dict[tuple[WorkspaceId, Rule], RuleTest]] = field(default=(-1, {}))

    async def judge(self, questions: Sequence[JudgeQuestion]) -> list[bool]:
        """Return the answers in order.

        Raises ServiceUnavailable where the state is older than an instant in question, and where a
        rule is not backfilled yet.
        """
        if not questions:
            return []
        async with (
            acquire(self.database.pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            now_us = min(at.log_time_us for at in await load_checkpoints(conn))
            if now_us < max(question.at_us for question in questions):
                raise ServiceUnavailable("segment has not reached the instant yet; try again")
            tests = await self._tests(conn, questions)
            evaluations = await _load_current(conn, [q.profile_id for q in questions])
        return [
            tests[question.workspace_id, question.rule](_true_predicates(question, evaluations))
            for question in questions
        ]

    async def _tests(
        self, conn: asyncpg.Connection, questions: Sequence[JudgeQuestion]
    ) -> Mapping[tuple[WorkspaceId, Rule], RuleTest]:
        revision = await conn.fetchval(definitions.Q.load_revision)
        if self._cached[0] != revision:
            self._cached = (revision, {})
        tests = self._cached[1]
        distinct = dict.fromkeys((q.workspace_id, q.rule) for q in questions)
        wanted = [key for key in distinct if key not in tests]
        if wanted:
            ready = await definitions.count_ready_shards(conn)
            names = {w: await definitions.load_names(conn, w) for w in {key[0] for key in wanted}}
            for workspace_id, rule in wanted:
                expanded = expand_known(rule, names[workspace_id])
                ids = (to_bigint(predicate_id(p)) for p in predicates(expanded))
                if any(ready.get((workspace_id, id_), 0) < self.shards for id_ in ids):
                    raise ServiceUnavailable("a rule is not backfilled yet; try again")
                tests[workspace_id, rule] = compile_rule(expanded)
        return tests


async def _load_current(
    conn: asyncpg.Connection, profiles: Sequence[ProfileId]
) -> dict[ProfileId, ProfileEvaluation]:
    """Return the evaluations of profiles; that of the heir where one was merged."""
    heirs = {profile: profile for profile in profiles}
    found: dict[ProfileId, ProfileEvaluation] = {}
    for _ in range(_MAX_HEIRS):
        wanted = sorted({heir for heir in heirs.values() if heir not in found})
        if not wanted:
            break
        found |= await load_evaluations(conn, wanted)
        for profile, heir in heirs.items():
            evaluation = found.get(heir)
            if evaluation is not None and evaluation.merged_into in found.keys() - {heir}:
                heirs[profile] = evaluation.merged_into
    return {profile: found[heir] for profile, heir in heirs.items() if heir in found}


def _true_predicates(
    question: JudgeQuestion, evaluations: Mapping[ProfileId, ProfileEvaluation]
) -> frozenset[int]:
    """Return what is true of a profile; nothing is of one without an evaluation."""
    evaluation = evaluations.get(question.profile_id)
    if evaluation is None or evaluation.workspace_id != question.workspace_id:
        return frozenset()
    return evaluation.true_predicates
