"""Tests that a verification names rows and timers of the live state that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import SourceEvent
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.codec.rules import rule_to_proto
from services.kernel.identifiers.model import Identifier
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from tests.rule_builders import count_of, events_named

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
RECENT = count_of(events_named("viewed"), 7 * DAY_US, Operator.GE, 1)

#: What is done to the live state, and the first word of each row that is named.
CHANGES = [
    ("UPDATE {g}.evaluation SET next_due = NULL", "timer"),
    ("UPDATE {g}.evaluation SET next_due = next_due + 86400000000", "timer"),
    ("UPDATE {g}.evaluation SET evaluating_shard = 99", "timer"),
    ("UPDATE {g}.assignment SET value = 'another'", "assignment"),
    ("UPDATE {g}.account SET parent_at = 1", "account"),
    ("DELETE FROM {g}.account", "account"),
    ("UPDATE {g}.name SET forms = ''", "name"),
    ("UPDATE {g}.evaluation SET true_predicates = ''", "current_evaluation"),
]


async def test_wrong_rows_and_timers_are_named_and_replaced_by_a_rebuild(
    open_stack: OpenStack, database: str
) -> None:
    async with open_stack() as stack:
        tag = facts_pb.TagDefined(tag_id="recent", title="t", rule=rule_to_proto(RECENT))
        await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))
        at_us = await stack.tick() - DAY_US
        users = [Identifier("user_id", f"u{n}") for n in range(3)]
        views = [SourceEvent((user,), at_us + n, n, "viewed") for n, user in enumerate(users)]
        traits = {"parent_account_id": "holding"}
        group = SourceEvent((users[0],), at_us, 9, "", "group", traits=traits, group_id="acme")
        named = SourceEvent((users[1],), at_us, 8, "", "identify", traits={"name": "李雷"})
        await stack.ingest([*views, group, named])
        assert (await stack.rebuild()).equal
        conn = await asyncpg.connect(database)
        for generation, (change, row) in enumerate(CHANGES, 1):
            await conn.execute(change.format(g=f"profile_g{generation}"))
            verified = await stack.rebuild()
            assert not verified.equal, change
            assert {named.split()[0] for named in verified.differing_rows} == {row}, change
            # The rebuilt state has the right rows.
            assert (await stack.rebuild(switch_over=True)).equal
        await conn.execute(
            f"UPDATE profile_g{len(CHANGES) + 1}.evaluation SET next_due = next_due - 1"
        )
        assert (await stack.rebuild()).equal, "an early timer is right"
        await conn.close()
