"""Tests policies through the API: defined, previewed, rolled out and rolled back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, whole_system
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import ClockTicked
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from onefold.type.v1.token_pb2 import Token
from service_fixtures import MakeSettings, wait_until

from services.identity.queries import policy_preview
from services.kernel.errors import Conflict, InvalidField, TooLarge
from services.kernel.identifiers.model import Identifier
from tests.index_key import INDEX_KEY

OpenSystem = Callable[..., AbstractAsyncContextManager[WholeSystem]]
PHONE, KIOSK = "phone:13800000001", "anonymous_id:kiosk"


@pytest.fixture
def open_system(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenSystem:
    def enter(tick_interval_s: float) -> AbstractAsyncContextManager[WholeSystem]:
        names = ("ingest", "identity")
        return whole_system(
            make_settings, internal_key, tmp_path, *names, tick_interval_s=tick_interval_s
        )

    return enter


def policy(*namespaces: dict[str, Any], **fields: Any) -> facts_pb.IdentityPolicy:
    return facts_pb.IdentityPolicy(namespaces=namespaces, **fields)


#: All co-occurrences link.
OPEN = policy({"namespace": "user_id"}, {"namespace": "phone"})
#: A profile has one account, and a kiosk links nothing.
CAREFUL = policy(
    {"namespace": "user_id", "limit": 1},
    {"namespace": "phone", "limit": 2},
    {"namespace": "anonymous_id", "shared_after": 1},
)


async def define(system: WholeSystem, message: facts_pb.IdentityPolicy, **fields: Any) -> Any:
    request = pb.DefinePolicyRequest(policy=message, **fields)
    return await system.admin.identity.DefinePolicy(request)


async def get_policy(system: WholeSystem, **fields: Any) -> Any:
    return await system.service.identity.GetPolicy(pb.GetPolicyRequest(**fields))


async def roll_out(system: WholeSystem, message: facts_pb.IdentityPolicy) -> Token:
    """Define a policy, wait for its rollout, and return the state of the log then."""
    await wait_for_roll_out(system, (await define(system, message)).token)
    return await system.drain()


async def wait_for_roll_out(system: WholeSystem, token: Token) -> None:
    async def is_live() -> bool:
        return bool((await get_policy(system, at_least=token)).live)

    await wait_until(is_live)


async def send_neighbours(system: WholeSystem) -> list[str]:
    """Send events of users who share a phone, a kiosk or nothing; return all identifiers."""
    users = [f"user_id:u{n}" for n in range(6)]
    for user in users[:3]:
        await system.send("seen", user, PHONE)
    for user in users[2:5]:
        await system.send("seen", user, KIOSK)
    await system.send("seen", users[5], "email:five@example.cn")
    await system.send("alias", users[0], users[1])
    await system.drain()
    return [*users, PHONE, KIOSK, "email:five@example.cn"]


async def groups(system: WholeSystem, identifiers: list[str]) -> dict[str, frozenset[str]]:
    """Return the identifiers of each profile, by its id."""
    found: dict[str, frozenset[str]] = {}
    for profile_id in set(await system.profiles(*identifiers)):
        request = pb.ListIdentifiersRequest(profile_id=profile_id)
        response = await system.service.identity.ListIdentifiers(request)
        found[profile_id] = frozenset(i.identifier_id for i in response.identifiers)
    return found


async def preview(
    system: WholeSystem, message: facts_pb.IdentityPolicy
) -> tuple[list[pb.Regrouping], pb.PolicyPreviewTotals]:
    request = pb.PreviewPolicyRequest(policy=message)
    parts = [part async for part in system.service.identity.PreviewPolicy(request, timeout=60)]
    assert len({tuple(part.token.offsets) for part in parts}) == 1
    *rest, last = parts
    assert last.HasField("totals")
    return [part.regrouping for part in rest], last.totals


def by_profile(profile_groups: Iterable[pb.ProfileGroup]) -> dict[str, frozenset[str]]:
    return {one.profile_id: frozenset(one.identifier_ids) for one in profile_groups}


async def moves(system: WholeSystem, since: Token, end: Token) -> list[pb.ProfileMove]:
    """Return the merges and splits between two states of the log."""
    request = pb.WatchMergesRequest(from_token=since)
    found: list[pb.ProfileMove] = []
    reached = dict(enumerate(since.offsets))
    stream = system.service.identity.WatchMerges(request, timeout=60.0)
    async with aclosing(stream) as responses:  # type: ignore[type-var]  # it is a generator
        while any(reached.get(shard, 0) < to for shard, to in enumerate(end.offsets)):
            response = await anext(responses)
            found += response.moves
            reached = dict(enumerate(response.token.offsets))
    return found


def moved_identifiers(
    workspace_id: str, profile_moves: Iterable[pb.ProfileMove]
) -> set[tuple[str, str, str]]:
    """Return (identifier id, profile before, profile after) of every identifier that moved."""
    return {
        (_id(workspace_id, identifier), move.before_profile_id, move.after_profile_id)
        for move in profile_moves
        for identifier in move.identifiers
    }


def _id(workspace_id: str, message: IdentifierMessage) -> str:
    identifier = Identifier(message.namespace, message.value)
    return identifier.id_in(workspace_id, INDEX_KEY).hex()  # type: ignore[arg-type]


async def facts_since(system: WholeSystem, since: Token) -> list[tuple[int, str]]:
    """Return the shard and the kind of every fact from a state of the log on."""
    head = (await system.internal.log.GetHead(log_pb.GetHeadRequest())).token
    found = []
    for shard, (first, end) in enumerate(zip(since.offsets, head.offsets, strict=True)):
        request = log_pb.ReadRequest(shard=shard, from_offset=first, end_offset=end)
        async for response in system.internal.log.Read(request):
            found += [(shard, fact.kind) for fact in response.batch.facts]
    return found


async def test_rollout_in_an_idle_system_ends_with_the_ticks_of_the_clock(
    open_system: OpenSystem,
) -> None:
    interval_s = 1.0
    async with open_system(interval_s) as system:
        identifiers = await send_neighbours(system)
        before = await groups(system, identifiers)
        began = time.monotonic()
        defined = await define(system, CAREFUL)
        await wait_for_roll_out(system, defined.token)
        facts = await facts_since(system, defined.token)
        elapsed_s = time.monotonic() - began
        assert await groups(system, identifiers) != before
        assert {kind for _, kind in facts} <= {ClockTicked.DESCRIPTOR.full_name}
        for shard in range(len(defined.token.offsets)):
            assert len([one for one, _ in facts if one == shard]) <= elapsed_s / interval_s + 1


async def test_rollout_moves_are_published_with_the_next_batch(open_system: OpenSystem) -> None:
    async with open_system(3_600.0) as system:  # no tick before the test is over
        identifiers = await send_neighbours(system)
        before = await groups(system, identifiers)
        since = await system.drain()
        defined = await define(system, CAREFUL)

        async def is_rolled_out() -> bool:
            found = await groups(system, identifiers)
            return found != before and not (await get_policy(system)).live

        await wait_until(is_rolled_out)
        await wait_for_roll_out(system, await system.drain())
        after = await groups(system, identifiers)
        found = moved_identifiers(
            system.workspace_id, await moves(system, since, await system.drain())
        )
        assert found == {
            (i, p, q) for p in before for q in after for i in before[p] & after[q] if p != q
        }
        assert (await get_policy(system)).version == defined.version


async def test_get_policy_none_defined_returns_the_default(system: WholeSystem) -> None:
    response = await get_policy(system)
    assert (response.version, response.live) == (0, True)
    assert "user_id" in [n.namespace for n in response.policy.namespaces]
    defined = await define(system, response.policy)
    assert (defined.changed, defined.version) == (True, 1), "defined, it is the workspace's own"
    stored = await get_policy(system, at_least=defined.token)
    assert (stored.policy, stored.version) == (response.policy, 1)


async def test_define_policy_same_content_keeps_the_version(system: WholeSystem) -> None:
    dry = await define(system, CAREFUL, dry_run=True)
    assert (dry.changed, dry.version) == (True, 1)
    assert (await get_policy(system)).version == 0
    first = await define(system, CAREFUL)
    assert (first.changed, first.version) == (True, 1)
    same = await define(system, CAREFUL)
    assert (same.changed, same.version) == (False, 1)
    second = await define(system, OPEN)
    assert (second.changed, second.version) == (True, 2)
    stored = await get_policy(system, at_least=second.token)
    assert [n.namespace for n in stored.policy.namespaces] == ["user_id", "phone"]


async def test_define_policy_with_an_outdated_etag_is_a_conflict(system: WholeSystem) -> None:
    etag = (await get_policy(system)).etag
    first = await define(system, CAREFUL, etag=etag)
    with pytest.raises(Conflict):
        await define(system, OPEN, etag=etag)
    same = await define(system, CAREFUL, etag=etag)
    assert not same.changed, "identical content is no conflict"
    second = await define(system, OPEN, etag=first.etag)
    stored = await get_policy(system, at_least=second.token)
    assert (second.changed, stored.etag) == (True, second.etag)


async def test_invalid_policy_is_rejected_with_its_field(system: WholeSystem) -> None:
    twice = policy({"namespace": "phone"}, {"namespace": "phone"})
    for work in (define(system, twice), preview(system, twice)):
        with pytest.raises(InvalidField) as error:
            await work
        assert error.value.field == "policy.namespaces[1].namespace"
    assert (await get_policy(system)).version == 0


async def test_preview_of_a_workspace_that_memory_may_not_contain_is_refused(
    system: WholeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    await roll_out(system, OPEN)
    await send_neighbours(system)
    await system.drain()
    assert await preview(system, CAREFUL)
    monkeypatch.setattr(policy_preview, "MAX_PREVIEWED", 3)
    with pytest.raises(TooLarge, match="more than 3 identifiers"):
        await preview(system, CAREFUL)


async def test_preview_equals_the_rollout_and_rolling_back_restores_the_profiles(
    system: WholeSystem,
) -> None:
    await roll_out(system, OPEN)
    identifiers = await send_neighbours(system)
    before, digests = await groups(system, identifiers), await system.digests()
    regroupings, totals = await preview(system, CAREFUL)
    assert await system.digests() == digests, "a preview changes nothing"
    since = await system.drain()
    end = await roll_out(system, CAREFUL)
    after = await groups(system, identifiers)

    previewed_before: dict[str, frozenset[str]] = {}
    previewed_after: dict[str, frozenset[str]] = {}
    for regrouping in regroupings:
        previewed_before |= by_profile(regrouping.before)
        previewed_after |= by_profile(regrouping.after)
    changed = {p: some for p, some in before.items() if after.get(p) != some}
    assert previewed_before == changed
    assert previewed_after == {p: some for p, some in after.items() if before.get(p) != some}
    assert (totals.profiles_before, totals.profiles_after) == (len(before), len(after))
    assert list(totals.biggest_after) == sorted(map(len, after.values()), reverse=True)[:10]
    assert totals.held_after > totals.held_before == 0

    moved = moved_identifiers(system.workspace_id, await moves(system, since, end))
    assert moved == {
        (i, p, q) for p in before for q in after for i in before[p] & after[q] if p != q
    }
    restored = await roll_out(system, OPEN)
    assert await groups(system, identifiers) == before
    assert await system.digests() == digests, "the old policy restores the old digest"
    moved_back = moved_identifiers(system.workspace_id, await moves(system, end, restored))
    assert moved_back == {(i, q, p) for i, p, q in moved}


async def test_watch_merges_without_a_token_yields_the_next_merge(system: WholeSystem) -> None:
    await system.send("seen", "user_id:a")
    await system.send("seen", "user_id:b")
    await system.drain()
    apart = await system.profiles("user_id:a", "user_id:b")
    feed = system.service.identity.WatchMerges(pb.WatchMergesRequest(), timeout=60.0)

    async def first_move() -> pb.ProfileMove:
        async for response in feed:
            if response.moves:
                return response.moves[0]
        raise AssertionError("the feed ended")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(first_move())
        await system.drain()
        await system.send("alias", "user_id:a", "user_id:b")
        move = await task
    profile_id = (await system.profiles("user_id:a"))[0]
    assert move.after_profile_id == profile_id
    assert {move.before_profile_id, move.after_profile_id} == set(apart)
    assert [i.namespace for i in move.identifiers] == ["user_id"]


async def test_watch_merges_token_of_another_log_is_rejected(system: WholeSystem) -> None:
    alien = Token(offsets=[1] * 9)
    with pytest.raises(InvalidField) as error:
        await moves(system, alien, Token(offsets=[2] * 9))
    assert error.value.field == "from_token"
