"""Tests that ListProfiles pages through the persons of a workspace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import SourceEvent
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.codec.rules import rule_to_proto
from services.chassis.postgres.together import Statement
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import priority_of
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from services.profile.store import profiles as profile_store
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of, events_named

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
VIEWED = count_of(events_named("viewed"), 0, Operator.GE, 1)


def user(number: int) -> Identifier:
    return Identifier("user_id", f"u-{number}")


async def ingest_seven_persons(stack: ProfileStack) -> None:
    """Ingest a view of each of seven persons, six members of one account and one of another."""
    at_us = await stack.tick() - DAY_US
    views = [SourceEvent((user(n),), at_us + n, n, "viewed") for n in range(7)]
    groups = [
        SourceEvent((user(n),), at_us, 10 + n, "", "group", group_id="acme" if n else "solo")
        for n in range(7)
    ]
    await stack.ingest(views + groups)


async def page(stack: ProfileStack, **fields: Any) -> pb.ListProfilesResponse:
    request = pb.ListProfilesRequest(at_least=stack.token, **fields)
    response = await stack.profile.ListProfiles(request)
    assert isinstance(response, pb.ListProfilesResponse)
    return response


async def pages(stack: ProfileStack, size: int) -> list[list[pb.Profile]]:
    found: list[list[pb.Profile]] = []
    token = ""
    while not found or token:
        response = await page(stack, page_size=size, page_token=token)
        found.append(list(response.profiles))
        token = response.next_page_token
    return found


async def test_pages_have_every_person_once_with_the_profile_of_a_batch_read(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []

    async def counting(conn: Any, workspace_id: Any, shards: int, statement: Statement) -> Any:
        limits.append(statement.parameters[-1])
        return await load_page(conn, workspace_id, shards, statement)

    load_page = profile_store.load_page
    monkeypatch.setattr(profile_store, "load_page", counting)
    async with open_stack() as stack:
        tag = facts_pb.TagDefined(tag_id="keen", title="t", rule=rule_to_proto(VIEWED))
        await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))
        await ingest_seven_persons(stack)
        found = await pages(stack, 3)
        assert [len(part) for part in found] == [3, 3, 1]
        assert limits == [4, 4, 4], "one query a page"
        profiles = [profile for part in found for profile in part]
        ids = [profile.profile_id for profile in profiles]
        assert ids == sorted(user(n).id_in("school", INDEX_KEY).hex() for n in range(7))
        batch = await stack.profile.BatchGetProfiles(pb.BatchGetProfilesRequest(profile_ids=ids))
        assert profiles == list(batch.profiles)
        assert all([t.tag_id for t in profile.tags] == ["keen"] for profile in profiles)
        groups = sorted(name for p in profiles for a in p.accounts for name in a.account_ids)
        assert groups == ["acme"] * 6 + ["solo"]
        await check_brief(stack, profiles)
        assert [len(part) for part in await pages(stack, 7)] == [7]
        assert [len(part) for part in await pages(stack, 0)] == [7]


async def check_brief(stack: ProfileStack, profiles: list[pb.Profile]) -> None:
    """Check that the brief profiles of each call have what a list shows and nothing else."""
    at_us = await stack.tick() - DAY_US
    names = [Identifier("email", f"p{n}@example.cn") for n in range(12)]
    stated = {"name": "李雷", "city": "北京"}
    await stack.ingest([SourceEvent((user(0), *names), at_us, 40, type="identify", traits=stated)])
    [many] = (await stack.profile.SearchProfiles(pb.SearchProfilesRequest(text="李雷"))).profiles
    ids = [profile.profile_id for profile in profiles]
    full = (
        await stack.profile.BatchGetProfiles(pb.BatchGetProfilesRequest(profile_ids=ids))
    ).profiles
    wanted = [brief_of(profile) for profile in full]
    assert [len(each.identifiers) for each in wanted if each.profile_id == many.profile_id] == [5]
    request = pb.BatchGetProfilesRequest(profile_ids=ids, brief=True)
    assert list((await stack.profile.BatchGetProfiles(request)).profiles) == wanted
    assert list((await page(stack, brief=True)).profiles) == wanted
    search = pb.SearchProfilesRequest(text="李雷", brief=True)
    assert list((await stack.profile.SearchProfiles(search)).profiles) == [brief_of(many)]


def brief_of(profile: pb.Profile) -> pb.Profile:
    """Return what a list shows of a profile."""
    own = list(profile.identifiers)
    return pb.Profile(
        profile_id=profile.profile_id,
        identifiers=own if len(own) <= 5 else sorted(own, key=in_order)[:5],
        identifier_count=profile.identifier_count,
        traits=[trait for trait in profile.traits if trait.name == "name"],
        tags=profile.tags,
        event_count=profile.event_count,
        first_seen_us=profile.first_seen_us,
        last_seen_us=profile.last_seen_us,
    )


def in_order(identifier: Any) -> Any:
    return priority_of(Identifier(identifier.namespace, identifier.value))


async def test_merged_person_is_listed_as_the_present_profile(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await ingest_seven_persons(stack)
        at_us = await stack.tick() - DAY_US
        cookie = Identifier("anonymous_id", "a-1")
        await stack.ingest([SourceEvent((cookie,), at_us, 30, "viewed")])
        assert len((await page(stack)).profiles) == 8
        await stack.ingest([SourceEvent((user(1), cookie), at_us, 31, type="identify")])
        profiles = (await page(stack)).profiles
        assert len(profiles) == 7
        identifiers = {(i.namespace, i.value) for profile in profiles for i in profile.identifiers}
        assert identifiers == {cookie, *map(user, range(7))}
        assert (await stack.rebuild(switch_over=True)).equal
        assert (await page(stack)).profiles == profiles


async def test_list_of_another_workspace_is_empty(open_stack: OpenStack) -> None:
    async with open_stack(workspace_id="other") as stack:
        await ingest_seven_persons(stack)
        response = await page(stack)
        assert (list(response.profiles), response.next_page_token) == ([], "")


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"page_size": 1_001}, "page_size"),
        ({"page_token": "7"}, "page_token"),
        ({"page_token": "z" * 32}, "page_token"),
    ],
)
async def test_invalid_request_names_its_field(
    open_stack: OpenStack, request_fields: dict[str, Any], field: str
) -> None:
    async with open_stack() as stack:
        with pytest.raises(InvalidField) as rejected:
            await stack.profile.ListProfiles(pb.ListProfilesRequest(**request_fields))
        assert rejected.value.field == field
        assert list((await page(stack, page_size=1_000)).profiles) == []


_MANY_PROFILES = """
INSERT INTO evaluation
    (shard, profile_id, workspace_id, version, true_predicates, evaluating_shard, changed_at)
SELECT 0, decode(md5(n::text), 'hex'), 'school', n, '', 0, 0 FROM generate_series(1, 20000) AS n;
INSERT INTO assignment (shard, identifier_id, workspace_id, profile_id, version)
SELECT shard, profile_id, workspace_id, profile_id, 1 FROM evaluation;
INSERT INTO leaf (shard, leaf_id, workspace_id, state)
SELECT shard, profile_id, workspace_id, '' FROM evaluation;
ANALYZE evaluation, assignment, leaf
"""


async def test_page_is_read_by_index(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute(_MANY_PROFILES)
        query = f"EXPLAIN {profile_store.Q.list_profiles}"
        rows = await conn.fetch(query, "school", b"\x80", 51)
        plan = "\n".join(row[0] for row in rows)
        assert "evaluation_by_workspace" in plan
        assert "Seq Scan" not in plan, plan
        assert "Sort Key: evaluation" not in plan, plan
