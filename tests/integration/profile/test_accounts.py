"""Accounts through the doors of profile, behind the real log and the real identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import permutations
from typing import Any

import msgspec
import pytest
from integration.profile.profile_house import House, house
from laws.profile_world import WORKSPACE, Happening
from onefold.identity.v1.identity_facts_pb2 import DECISION_LINK, LinkDecided
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.codec.rules import rule_to_proto
from services.chassis.testing import MakeSettings
from services.kernel.errors import InvalidField, NotFound, TooLarge
from services.kernel.identifiers import Identifier, account_leaf
from services.kernel.rules.model import (
    CountPredicate,
    DistinctPredicate,
    EventFilter,
    Not,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, HOUR_US
from services.profile.queries import accounts
from services.profile.store import accounts as account_store

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]
BOUGHT = CountPredicate(EventFilter("bought"), 30 * DAY_US, Operator.GE, 3)
COURSES = DistinctPredicate(EventFilter("viewed"), "course", 0, Operator.GE, 2)


@pytest.fixture
def open_house(make_settings: MakeSettings, internal_key: str) -> OpenHouse:
    def enter(**fields: str) -> AbstractAsyncContextManager[House]:
        return house(make_settings, internal_key, **fields)

    return enter


class Told:
    """Happenings with message ids and instants of their own."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._at = now - 5 * DAY_US
        self._number = 0

    def _next(self, who: str, **fields: Any) -> Happening:
        self._at += HOUR_US // 3_600
        self._number += 1
        named = tuple(Identifier(*part.split(":")) for part in who.split())
        return Happening(named, self._at, self._number, **fields)

    def group(self, who: str, account: str, *more: str, **traits: Any) -> Happening:
        also = tuple(Identifier(*part.split(":")) for part in more)
        return self._next(
            who, name="", type="group", group_id=account, group_identifiers=also, traits=traits
        )

    def track(self, who: str, name: str, **properties: Any) -> Happening:
        return self._next(who, name=name, properties=properties)

    def identify(self, who: str, **traits: Any) -> Happening:
        return self._next(who, name="", type="identify", traits=traits)


async def tell(home: House, happenings: Iterable[Happening]) -> None:
    await home.append(fact for h in happenings for fact in h.facts())
    await home.tick()


async def told_by(home: House) -> Told:
    return Told((await home.tick()).at_us)


async def get(home: House, account_id: str = "", **asked: Any) -> pb.GetAccountResponse:
    if account_id:
        asked["account_id"] = account_id
    return await home.profile.GetAccount(pb.GetAccountRequest(at_least=home.token, **asked))


async def get_profile(home: House, namespace: str, value: str) -> pb.Profile:
    by = IdentifierMessage(namespace=namespace, value=value)
    return (await home.profile.GetProfile(pb.GetProfileRequest(identifier=by))).profile


async def define(home: House, tag_id: str, rule: Rule) -> None:
    tag = facts_pb.TagDefined(tag_id=tag_id, title="t", rule=rule_to_proto(rule))
    home.token = (await home.profile.DefineTag(pb.DefineTagRequest(tag=tag))).token


def one_account(a: str, b: str, at_us: int) -> Fact:
    """Somebody's decision that two group ids are of one account."""
    said = LinkDecided(
        a=IdentifierMessage(namespace="account_id", value=a),
        b=IdentifierMessage(namespace="account_id", value=b),
        decision=DECISION_LINK,
        reason="a merger",
    )
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=b"one account " + a.encode() + b.encode(),
        kind=LinkDecided.DESCRIPTOR.full_name,
        leaf_id=min(bytes.fromhex(account_profile(name)) for name in (a, b)),
        occurred_at_us=at_us,
        payload=said.SerializeToString(),
    )


def traits_of(told: pb.Account | pb.Profile) -> dict[str, Any]:
    return {t.name: msgspec.json.decode(t.value) for t in told.traits}


def account_profile(account_id: str) -> str:
    leaf = account_leaf(WORKSPACE, account_id)
    assert leaf is not None
    return leaf.hex()


async def test_an_account_has_identifiers_traits_and_members_of_its_own(
    open_house: OpenHouse,
) -> None:
    async with open_house() as home:
        told = await told_by(home)
        happenings = [
            told.group("user_id:ann", "acme", "account_domain:acme.cn", plan="free", city="x"),
            told.group("user_id:bob email:bob@acme.cn", "acme", plan="pro"),
            told.identify("user_id:ann", city="北京市"),
            told.group("user_id:ann", "other"),
        ]
        await tell(home, reversed(happenings))
        found = await get(home, "acme")
        account = found.account
        other = await get(home, "other")
        assert [(i.namespace, i.value) for i in account.identifiers] == [
            ("account_domain", "acme.cn"),
            ("account_id", "acme"),
        ]
        assert traits_of(account) == {"plan": "pro", "city": "x"}
        assert (account.event_count, len(account.leaf_ids)) == (2, 1)
        assert not account.HasField("parent")
        domain = IdentifierMessage(namespace="account_domain", value="acme.cn")
        assert (await get(home, identifier=domain)).account == account
        for profile_id in (account.profile_id, account_profile("acme")):
            assert (await get(home, profile_id=profile_id)).account == account

        ann, bob = [await get_profile(home, "user_id", who) for who in ("ann", "bob")]
        assert list(found.member_profile_ids) == sorted([ann.profile_id, bob.profile_id])
        of_ann = {name.profile_id: list(name.account_ids) for name in ann.accounts}
        assert of_ann == {account.profile_id: ["acme"], other.account.profile_id: ["other"]}
        assert list(of_ann) == sorted(of_ann)
        assert [list(name.account_ids) for name in bob.accounts] == [["acme"]]
        assert traits_of(ann) == {"city": "北京市"}
        named = [(i.namespace, i.value) for i in bob.identifiers]
        assert named == [("email", "bob@acme.cn"), ("user_id", "bob")]


async def test_an_account_is_no_person(open_house: OpenHouse) -> None:
    """No rule is evaluated for it, and no question about persons finds it."""
    async with open_house() as home:
        nobody_buys = Not(BOUGHT)
        await define(home, "no buyer", nobody_buys)
        await define(home, "local", TraitPredicate("city", Operator.EQ, "北京市"))
        told = await told_by(home)
        await tell(home, [told.group("user_id:ann", "acme", city="北京市")])
        profile_id = account_profile("acme")
        ann = await get_profile(home, "user_id", "ann")
        assert list(ann.tags) == ["no buyer"]
        standings = [
            change.profile_id.hex()
            for shard in range(3)
            async for answer in home.profile.ReadEvaluations(pb.ReadEvaluationsRequest(shard=shard))
            for change in answer.evaluations
        ]
        assert standings == [ann.profile_id]
        with pytest.raises(NotFound):
            await home.profile.GetProfile(pb.GetProfileRequest(profile_id=profile_id))
        with pytest.raises(NotFound):
            await home.profile.GetProfile(
                pb.GetProfileRequest(profile_id=profile_id, as_of_token=home.token)
            )
        with pytest.raises(NotFound):
            await home.profile.ExplainRule(
                pb.ExplainRuleRequest(profile_id=profile_id, rule=rule_to_proto(nobody_buys))
            )
        many = pb.BatchGetProfilesRequest(profile_ids=[profile_id, ann.profile_id])
        found = (await home.profile.BatchGetProfiles(many)).profiles
        assert [p.profile_id for p in found] == [ann.profile_id]
        with pytest.raises(NotFound):
            await get(home, profile_id=ann.profile_id)
        timeline = await home.profile.ListTimeline(pb.ListTimelineRequest(profile_id=profile_id))
        assert [entry.type for entry in timeline.entries] == ["group"]


async def test_the_tree_of_accounts(open_house: OpenHouse) -> None:
    async with open_house() as home:
        told = await told_by(home)
        await tell(
            home,
            [
                told.group("user_id:a", "shop-1", parent_account_id="south"),
                told.group("user_id:b", "shop-2", parent_account_id="south"),
                told.group("user_id:c", "south", parent_account_id="hq"),
                told.group("user_id:d", "left", parent_account_id="south"),
                told.group("user_id:d", "left", parent_account_id=None),
            ],
        )
        south = await get(home, "south")
        assert (south.account.parent.profile_id, list(south.account.parent.account_ids)) == (
            account_profile("hq"),
            ["hq"],
        )
        children = {name.profile_id: list(name.account_ids) for name in south.children}
        assert children == {account_profile(n): [n] for n in ("shop-1", "shop-2")}
        assert list(children) == sorted(children)
        assert not (await get(home, "left")).account.HasField("parent")

        # Nobody has named it but those below it.
        hq = await get(home, "hq", include_children=True)
        assert hq.account == pb.Account(profile_id=account_profile("hq"))
        assert [list(name.account_ids) for name in hq.children] == [["south"]]
        assert (hq.roll_up.members, hq.roll_up.accounts) == (3, 4)

        await tell(home, [told.group("user_id:e", "hq", name="HQ")])
        hq = await get(home, "hq", include_children=True)
        assert traits_of(hq.account) == {"name": "HQ"}
        assert (hq.roll_up.members, hq.roll_up.accounts) == (4, 4)
        assert (await get(home, "hq")).roll_up.members == 1


async def test_three_accounts_in_a_circle_in_any_order_of_arrival(open_house: OpenHouse) -> None:
    async with open_house() as home:
        for number, order in enumerate(permutations(range(3))):
            told = await told_by(home)
            a, b, c = (f"{name}{number}" for name in "abc")
            circle = [
                told.group(f"user_id:u{number}", a, parent_account_id=b),
                told.group(f"user_id:u{number}", b, parent_account_id=c),
                told.group(f"user_id:v{number}", c, parent_account_id=a),
            ]
            shift = 10_000 * (number + 1)
            for at in order:
                await home.append(replace(circle[at], message=shift + at).facts())
            await home.tick()
            found = {name: (await get(home, name, include_children=True)) for name in (a, b, c)}
            above = {
                name: list(answer.account.parent.account_ids) for name, answer in found.items()
            }
            assert above == {a: [b], b: [c], c: []}
            refused = {
                name: list(answer.account.refused_parent.account_ids)
                for name, answer in found.items()
            }
            assert refused == {a: [], b: [], c: [a]}
            below = {
                name: [list(child.account_ids) for child in answer.children]
                for name, answer in found.items()
            }
            assert below == {a: [], b: [[a]], c: [[b]]}
            rolled_up = {name: answer.roll_up for name, answer in found.items()}
            assert {n: (r.accounts, r.members) for n, r in rolled_up.items()} == {
                a: (1, 1),
                b: (2, 1),
                c: (3, 2),
            }


async def test_a_member_who_is_merged_later_is_one_member(open_house: OpenHouse) -> None:
    async with open_house() as home:
        await define(home, "buyers", BOUGHT)
        told = await told_by(home)
        await tell(
            home,
            [
                told.group("anonymous_id:x", "acme"),
                told.group("user_id:ann", "acme"),
                told.track("anonymous_id:x", "bought"),
                told.track("user_id:ann", "bought"),
            ],
        )
        before = await get(home, "acme")
        assert (len(before.member_profile_ids), before.roll_up.members) == (2, 2)
        await tell(home, [told.track("user_id:ann anonymous_id:x", "bought")])
        rules = [rule_to_proto(BOUGHT)]
        after = await get(home, "acme", rules=rules)
        ann = await get_profile(home, "user_id", "ann")
        assert list(after.member_profile_ids) == [ann.profile_id]
        assert [list(name.account_ids) for name in ann.accounts] == [["acme"]]
        assert (after.roll_up.members, after.roll_up.event_count) == (1, 5)
        assert [v.actual for v in after.roll_up.rules[0].predicates] == [b"3"]


async def test_an_attribute_of_the_account_rolls_up_from_its_persons(open_house: OpenHouse) -> None:
    """With the passing of time as well, and the accounts below it where that is asked for."""
    async with open_house() as home:
        await define(home, "buyers", BOUGHT)
        told = await told_by(home)
        first = told.track("user_id:ann", "bought")
        happenings = [
            told.group("user_id:ann", "acme"),
            told.group("user_id:bob", "acme"),
            told.group("user_id:eve", "sub", parent_account_id="acme"),
            told.track("user_id:bob", "bought"),
            told.track("user_id:eve", "bought"),
            told.track("user_id:nobody", "bought"),
        ]
        last = told.track("user_id:bob", "other")
        await tell(home, [last, *happenings, first])
        rules = [rule_to_proto(BOUGHT), rule_to_proto(Not(BOUGHT))]

        async def asked(**fields: Any) -> tuple[int, list[tuple[bool, list[bytes]]], pb.RollUp]:
            roll_up = (await get(home, "acme", rules=rules, **fields)).roll_up
            return (
                roll_up.members,
                [(r.holds, [v.actual for v in r.predicates]) for r in roll_up.rules],
                roll_up,
            )

        members, outcome, roll_up = await asked()
        assert (members, outcome) == (2, [(False, [b"2"]), (True, [b"2"])])
        assert (roll_up.first_seen_us, roll_up.last_seen_us) == (
            first.occurred_at_us,
            last.occurred_at_us,
        )
        assert roll_up.rules[0].rule_text
        members, outcome, _ = await asked(include_children=True)
        assert (members, outcome) == (3, [(True, [b"3"]), (False, [b"3"])])
        await home.tick(31 * DAY_US)
        assert (await asked(include_children=True))[1] == [(False, [b"0"]), (True, [b"0"])]


async def test_a_rule_that_counts_what_nobody_counts_is_refused(open_house: OpenHouse) -> None:
    async with open_house() as home:
        told = await told_by(home)
        joined = [told.group("user_id:ann", "acme"), told.identify("user_id:ann", city="北京市")]
        await tell(home, joined)
        local = rule_to_proto(TraitPredicate("city", Operator.EQ, "北京市"))
        with pytest.raises(InvalidField) as refused:
            await get(home, "acme", rules=[local, rule_to_proto(COURSES)])
        assert refused.value.field == "rules[1]"
        found = await get(home, "acme", rules=[local])
        assert found.roll_up.rules[0].holds
        with pytest.raises(TooLarge):
            await get(home, "acme", rules=[local] * 21)


async def test_the_same_group_id_in_two_workspaces_is_two_accounts(open_house: OpenHouse) -> None:
    async with open_house(workspace_id="other") as home:
        told = await told_by(home)
        await tell(home, [told.group("user_id:ann", "acme", parent_account_id="hq")])
        listed = await home.profile.ListAccounts(pb.ListAccountsRequest(at_least=home.token))
        assert list(listed.accounts) == []
        for asked in ({"account_id": "acme"}, {"profile_id": account_profile("acme")}):
            with pytest.raises(NotFound):
                await get(home, **asked)
        with pytest.raises(NotFound):
            await get(home, "hq")


async def test_accounts_are_listed_in_pages(open_house: OpenHouse) -> None:
    async with open_house() as home:
        told = await told_by(home)
        names = [f"g{n}" for n in range(7)]
        happenings = [told.group("user_id:ann", name, parent_account_id="g0!") for name in names]
        await tell(home, happenings)
        # Somebody says that two of them are one: it is listed once.
        await home.append([one_account("g2", "g5", told.now)])
        await home.tick()
        seen: list[pb.Account] = []
        token = ""
        for _ in range(10):
            request = pb.ListAccountsRequest(page_size=2, page_token=token, at_least=home.token)
            answer = await home.profile.ListAccounts(request)
            seen += answer.accounts
            token = answer.next_page_token
            if not token:
                break
        ids = [[i.value for i in a.identifiers if i.namespace == "account_id"] for a in seen]
        assert sorted(ids) == [["g0"], ["g1"], ["g2", "g5"], ["g3"], ["g4"], ["g6"]]
        assert all(list(a.parent.account_ids) == ["g0!"] for a in seen)
        assert seen[0] == (await get(home, profile_id=seen[0].profile_id)).account


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "by"),
        ({"profile_id": "xyz"}, "profile_id"),
        ({"account_id": "a\0b"}, "account_id"),
        ({"identifier": IdentifierMessage(namespace="user_id", value="x")}, "identifier"),
        ({"account_id": "acme", "page_size": 1_001}, "page_size"),
        ({"account_id": "acme", "page_token": "7"}, "page_token"),
    ],
)
async def test_bad_questions_name_their_field(
    open_house: OpenHouse, asked: dict[str, Any], field: str
) -> None:
    async with open_house() as home:
        with pytest.raises(InvalidField) as refused:
            await home.profile.GetAccount(pb.GetAccountRequest(**asked))
        assert refused.value.field == field
        for account_id in ("never", "null"):
            with pytest.raises(NotFound):
                await get(home, account_id)


async def test_ten_thousand_members(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come in pages, each once; of their states only few are in memory at once."""
    asked: list[int] = []

    async def counting(conn: Any, workspace_id: Any, profiles: Any) -> list[bytes]:
        states = await states_of(conn, workspace_id, profiles)
        asked.append(len(states))
        return states

    states_of = account_store.states_of
    monkeypatch.setattr(account_store, "states_of", counting)
    async with open_house() as home:
        told = await told_by(home)
        await tell(home, [told.group(f"user_id:u{n}", "acme", n=n) for n in range(10_000)])
        first = await get(home, "acme", page_size=1_000)
        assert (first.roll_up.members, first.roll_up.event_count) == (10_000, 10_000)
        assert max(asked) <= accounts.CHUNK
        pages = [first]
        while pages[-1].next_page_token:
            token = pages[-1].next_page_token
            pages.append(await get(home, "acme", page_size=1_000, page_token=token))
        assert [len(page.member_profile_ids) for page in pages] == [1_000] * 10
        members = [member for page in pages for member in page.member_profile_ids]
        assert members == sorted(set(members))
        assert not any(page.HasField("roll_up") for page in pages[1:])
        assert traits_of(first.account) == {"n": 9_999}


async def test_a_rebuild_finds_the_same_accounts(open_house: OpenHouse) -> None:
    async with open_house() as home:
        await define(home, "buyers", BOUGHT)
        told = await told_by(home)
        await tell(
            home,
            [
                told.group("user_id:ann", "acme", "account_domain:acme.cn", parent_account_id="hq"),
                told.group("anonymous_id:x", "sub", parent_account_id="acme"),
                told.track("user_id:ann anonymous_id:x", "bought"),
            ],
        )
        before = await get(home, "acme", include_children=True)
        async for step in home.projection.Rebuild(
            projection_pb.RebuildRequest(shards=5, switch_over=False)
        ):
            rebuilt = step
        assert rebuilt.equal
        async for step in home.projection.Rebuild(projection_pb.RebuildRequest(switch_over=True)):
            rebuilt = step
        assert rebuilt.equal
        await home.tick()
        after = await get(home, "acme", include_children=True)
        for answer in (before, after):
            answer.ClearField("token")
            answer.roll_up.at_us = 0
        assert after == before
