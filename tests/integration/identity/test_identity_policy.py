"""A policy through the door: defined, told, tried, applied, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, whole_system
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.type.v1.token_pb2 import Token
from service_fixtures import MakeSettings, wait_until

from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier

OpenWhole = Callable[[], AbstractAsyncContextManager[WholeSystem]]
PHONE, KIOSK = "phone:13800000001", "anonymous_id:kiosk"


@pytest.fixture
def open_whole(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenWhole:
    return lambda: whole_system(make_settings, internal_key, tmp_path, "ingest", "identity")


def policy(*namespaces: dict[str, Any], **fields: Any) -> facts_pb.IdentityPolicy:
    return facts_pb.IdentityPolicy(namespaces=namespaces, **fields)


#: Everything that is seen together is one.
OPEN = policy({"namespace": "user_id"}, {"namespace": "phone"})
#: A person has one account, and a kiosk binds nobody.
CAREFUL = policy(
    {"namespace": "user_id", "limit": 1},
    {"namespace": "phone", "limit": 2},
    {"namespace": "anonymous_id", "shared_after": 1},
)


async def define(home: WholeSystem, told: facts_pb.IdentityPolicy, **fields: Any) -> Any:
    request = pb.DefinePolicyRequest(policy=told, **fields)
    return await home.service.identity.DefinePolicy(request)


async def present(home: WholeSystem, **fields: Any) -> Any:
    request = pb.GetPolicyRequest(**fields)
    return await home.service.identity.GetPolicy(request)


async def apply(home: WholeSystem, told: facts_pb.IdentityPolicy) -> Token:
    """Define, and wait until everybody is grouped by it; the state then."""
    await wait_for(home, (await define(home, told)).token)
    reached: Token = await home.drain()
    return reached


async def wait_for(home: WholeSystem, token: Token) -> None:
    """Until everybody is grouped by the policy that is newest then."""

    async def live() -> bool:
        return bool((await present(home, at_least=token)).live)

    await wait_until(live, deadline_s=30.0)


async def test_everybody_is_soon_grouped_by_a_policy_though_nothing_else_happens(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    names = ("ingest", "identity")
    async with whole_system(
        make_settings, internal_key, tmp_path, *names, tick_interval_s=3_600
    ) as home:
        everybody = await neighbours(home)
        before = await groups(home, everybody)
        await wait_for(home, (await define(home, CAREFUL)).token)
        assert await groups(home, everybody) != before


async def neighbours(home: WholeSystem) -> list[str]:
    """People who share a phone, a kiosk, or nothing; who they all are."""
    people = [f"user_id:u{n}" for n in range(6)]
    for person in people[:3]:
        await home.send("seen", person, PHONE)
    for person in people[2:5]:
        await home.send("seen", person, KIOSK)
    await home.send("seen", people[5], "email:five@example.cn")
    await home.send("alias", people[0], people[1])
    await home.drain()
    return [*people, PHONE, KIOSK, "email:five@example.cn"]


async def groups(home: WholeSystem, everybody: list[str]) -> dict[str, frozenset[str]]:
    """The identifiers of each profile, by its id."""
    found: dict[str, frozenset[str]] = {}
    for profile_id in set(await home.profiles(*everybody)):
        request = pb.ListIdentifiersRequest(profile_id=profile_id)
        answer = await home.service.identity.ListIdentifiers(request)
        found[profile_id] = frozenset(i.identifier_id for i in answer.identifiers)
    return found


async def preview(home: WholeSystem, told: facts_pb.IdentityPolicy) -> tuple[list[Any], Any]:
    request = pb.PreviewPolicyRequest(policy=told)
    parts = [part async for part in home.service.identity.PreviewPolicy(request, timeout=60)]
    assert len({tuple(part.token.offsets) for part in parts}) == 1
    *rest, last = parts
    assert last.HasField("sums")
    return [part.regrouping for part in rest], last.sums


def partition(told: Any) -> dict[str, frozenset[str]]:
    return {g.profile_id: frozenset(g.identifier_ids) for g in told}


async def moves(home: WholeSystem, since: Token, until: Token) -> list[Any]:
    """The merges and splits between two states, as they were told."""
    request = pb.WatchMergesRequest(from_token=since)
    found: list[Any] = []
    reached = dict(enumerate(since.offsets))
    stream = home.service.identity.WatchMerges(request, timeout=60.0)
    async with aclosing(stream) as answers:
        while any(reached.get(shard, 0) < to for shard, to in enumerate(until.offsets)):
            answer = await anext(answers)
            found += answer.moves
            reached[answer.shard] = answer.next_offset
    return found


async def test_where_none_is_defined_a_careful_one_holds(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        answer = await present(home)
        assert (answer.version, answer.live) == (0, True)
        assert "user_id" in [n.namespace for n in answer.policy.namespaces]
        said = await define(home, answer.policy)
        assert (said.changed, said.version) == (True, 1), "said, it is the workspace's own"
        kept = await present(home, at_least=said.token)
        assert (kept.policy, kept.version) == (answer.policy, 1)


async def test_a_policy_is_defined_once_and_counted_up(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        dry = await define(home, CAREFUL, dry_run=True)
        assert (dry.changed, dry.version) == (True, 1)
        assert (await present(home)).version == 0
        first = await define(home, CAREFUL)
        assert (first.changed, first.version) == (True, 1)
        same = await define(home, CAREFUL)
        assert (same.changed, same.version) == (False, 1)
        second = await define(home, OPEN)
        assert (second.changed, second.version) == (True, 2)
        kept = await present(home, at_least=second.token)
        assert [n.namespace for n in kept.policy.namespaces] == ["user_id", "phone"]


async def test_a_wrong_policy_is_refused_everywhere(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        twice = policy({"namespace": "phone"}, {"namespace": "phone"})
        for work in (define(home, twice), preview(home, twice)):
            with pytest.raises(InvalidField) as refused:
                await work
            assert refused.value.field == "policy.namespaces[1].namespace"
        assert (await present(home)).version == 0


async def test_a_preview_is_what_happens_and_going_back_restores_everything(
    open_whole: OpenWhole,
) -> None:
    async with open_whole() as home:
        await apply(home, OPEN)
        everybody = await neighbours(home)
        before, digests = await groups(home, everybody), await home.digests()
        regroupings, sums = await preview(home, CAREFUL)
        assert await home.digests() == digests, "a preview changes nothing"
        since = await home.drain()
        until = await apply(home, CAREFUL)
        after = await groups(home, everybody)

        foreseen_before: dict[str, frozenset[str]] = {}
        foreseen_after: dict[str, frozenset[str]] = {}
        for regrouping in regroupings:
            foreseen_before |= partition(regrouping.before)
            foreseen_after |= partition(regrouping.after)
        changed = {p: held for p, held in before.items() if after.get(p) != held}
        assert foreseen_before == changed
        assert foreseen_after == {p: held for p, held in after.items() if before.get(p) != held}
        assert (sums.profiles_before, sums.profiles_after) == (len(before), len(after))
        assert list(sums.biggest_after) == sorted(map(len, after.values()), reverse=True)[:10]
        assert sums.held_after > sums.held_before == 0

        told = await moves(home, since, until)
        assert moved(told) == {
            (i, p, q) for p in before for q in after for i in before[p] & after[q] if p != q
        }
        restored = await apply(home, OPEN)
        assert await groups(home, everybody) == before
        assert await home.digests() == digests, "the old policy restores the old digest"
        assert moved(await moves(home, until, restored)) == {(i, q, p) for i, p, q in moved(told)}


def moved(told: list[Any]) -> set[tuple[str, str, str]]:
    """(identifier id, profile before, profile after) of every identifier that moved."""
    return {
        (_id(i), move.before_profile_id, move.after_profile_id)
        for move in told
        for i in move.identifiers
    }


def _id(message: Any) -> str:
    return Identifier(message.namespace, message.value).id_in("default").hex()


async def test_merges_are_followed_as_they_come(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        await home.send("seen", "user_id:a")
        await home.send("seen", "user_id:b")
        await home.drain()
        apart = await home.profiles("user_id:a", "user_id:b")
        watching = home.service.identity.WatchMerges(pb.WatchMergesRequest(), timeout=60.0)

        async def first_move() -> Any:
            async for answer in watching:
                if answer.moves:
                    return answer.moves[0]
            raise AssertionError("it ended")

        async with asyncio.TaskGroup() as group:
            task = group.create_task(first_move())
            await home.drain()
            await home.send("alias", "user_id:a", "user_id:b")
            move = await task
        now = (await home.profiles("user_id:a"))[0]
        assert move.after_profile_id == now
        assert {move.before_profile_id, move.after_profile_id} == set(apart)
        assert [i.namespace for i in move.identifiers] == ["user_id"]


async def test_a_token_of_another_log_is_refused(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        alien = Token(offsets=[1] * 9)
        with pytest.raises(InvalidField) as refused:
            await moves(home, alien, Token(offsets=[2] * 9))
        assert refused.value.field == "from_token"
