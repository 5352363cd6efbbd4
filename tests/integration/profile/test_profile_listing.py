"""The persons of a workspace, in pages, through the door of profile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import pytest
from integration.profile.profile_house import House, house
from laws.profile_world import Happening
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb

from services.chassis.codec.rules import rule_to_proto
from services.chassis.testing import MakeSettings
from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier
from services.kernel.rules.model import CountPredicate, EventFilter
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from services.profile.store import profiles as people_store
from services.profile.store.postgres import Q

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]
VIEWED = CountPredicate(EventFilter("viewed"), 0, Operator.GE, 1)


@pytest.fixture
def open_house(make_settings: MakeSettings, internal_key: str) -> OpenHouse:
    def enter(**fields: str) -> AbstractAsyncContextManager[House]:
        return house(make_settings, internal_key, **fields)

    return enter


async def tell(home: House, happenings: Iterable[Happening]) -> None:
    await home.append(fact for h in happenings for fact in h.facts())
    await home.tick()


def user(number: int) -> Identifier:
    return Identifier("user_id", f"u-{number}")


async def seven(home: House) -> None:
    """Seven people who looked at something; two accounts, to one of which all of them belong."""
    at = (await home.tick()).at_us - DAY_US
    views = [Happening((user(n),), at + n, n, "viewed") for n in range(7)]
    groups = [
        Happening((user(n),), at, 10 + n, "", "group", group_id="acme" if n else "solo")
        for n in range(7)
    ]
    await tell(home, views + groups)


async def page(home: House, **asked: Any) -> pb.ListProfilesResponse:
    request = pb.ListProfilesRequest(at_least=home.token, **asked)
    answer = await home.profile.ListProfiles(request)
    assert isinstance(answer, pb.ListProfilesResponse)
    return answer


async def pages(home: House, size: int) -> list[list[pb.Profile]]:
    found: list[list[pb.Profile]] = []
    token = ""
    while not found or token:
        answer = await page(home, page_size=size, page_token=token)
        found.append(list(answer.profiles))
        token = answer.next_page_token
    return found


async def test_everybody_comes_once_as_a_batch_tells_them(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def counting(conn: Any, workspace_id: Any, after: bytes, limit: int) -> Any:
        asked.append(limit)
        return await list_people(conn, workspace_id, after, limit)

    list_people = people_store.list_people
    monkeypatch.setattr(people_store, "list_people", counting)
    async with open_house() as home:
        tag = facts_pb.TagDefined(tag_id="keen", title="t", rule=rule_to_proto(VIEWED))
        await home.profile.DefineTag(pb.DefineTagRequest(tag=tag))
        await seven(home)
        told = await pages(home, 3)
        assert [len(part) for part in told] == [3, 3, 1]
        assert asked == [4, 4, 4], "one question a page"
        people = [person for part in told for person in part]
        ids = [person.profile_id for person in people]
        assert ids == sorted(user(n).id_in("school").hex() for n in range(7))
        batch = await home.profile.BatchGetProfiles(pb.BatchGetProfilesRequest(profile_ids=ids))
        assert people == list(batch.profiles)
        assert all(list(person.tags) == ["keen"] for person in people)
        groups = sorted(name for p in people for a in p.accounts for name in a.account_ids)
        assert groups == ["acme"] * 6 + ["solo"]
        assert [len(part) for part in await pages(home, 7)] == [7]
        assert [len(part) for part in await pages(home, 0)] == [7]


async def test_who_is_merged_is_listed_as_who_they_are_now(open_house: OpenHouse) -> None:
    async with open_house() as home:
        await seven(home)
        at = (await home.tick()).at_us - DAY_US
        cookie = Identifier("anonymous_id", "a-1")
        await tell(home, [Happening((cookie,), at, 30, "viewed")])
        assert len((await page(home)).profiles) == 8
        await tell(home, [Happening((user(1), cookie), at, 31, type="identify")])
        people = (await page(home)).profiles
        assert len(people) == 7
        names = {(i.namespace, i.value) for person in people for i in person.identifiers}
        assert names == {cookie, *map(user, range(7))}
        rebuilt = home.projection.Rebuild(projection_pb.RebuildRequest(switch_over=True))
        assert [told async for told in rebuilt][-1].equal
        assert (await page(home)).profiles == people


async def test_another_workspace_sees_nobody(open_house: OpenHouse) -> None:
    async with open_house(workspace_id="other") as home:
        await seven(home)
        answer = await page(home)
        assert (list(answer.profiles), answer.next_page_token) == ([], "")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"page_size": 1_001}, "page_size"),
        ({"page_token": "7"}, "page_token"),
        ({"page_token": "z" * 32}, "page_token"),
    ],
)
async def test_a_bad_question_names_its_field(
    open_house: OpenHouse, asked: dict[str, Any], field: str
) -> None:
    async with open_house() as home:
        with pytest.raises(InvalidField) as refused:
            await home.profile.ListProfiles(pb.ListProfilesRequest(**asked))
        assert refused.value.field == field
        assert list((await page(home, page_size=1_000)).profiles) == []


_MANY = """
INSERT INTO standing (shard, profile_id, workspace_id, version, holds, due_shard, at)
SELECT 0, decode(md5(n::text), 'hex'), 'school', n, '', 0, 0 FROM generate_series(1, 20000) AS n;
INSERT INTO assignment (shard, identifier_id, workspace_id, profile_id, version)
SELECT shard, profile_id, workspace_id, profile_id, 1 FROM standing;
INSERT INTO leaf (shard, leaf_id, workspace_id, state)
SELECT shard, profile_id, workspace_id, '' FROM standing;
ANALYZE standing, assignment, leaf
"""


async def test_a_page_is_read_by_index(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute(_MANY)
        query = f"EXPLAIN {Q.list_people}"
        rows = await conn.fetch(query, "school", b"\x80", 51)
        plan = "\n".join(row[0] for row in rows)
        assert "standing_by_workspace" in plan
        assert "Seq Scan" not in plan, plan
        assert "Sort Key: standing" not in plan, plan
