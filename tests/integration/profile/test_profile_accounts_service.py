"""Tests the account methods of ProfileService behind the real log and the real identity."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import permutations
from typing import Any

import msgspec
import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import WORKSPACE, SourceEvent
from onefold.identity.v1.identity_facts_pb2 import DECISION_LINK, LinkDecided
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.codec.rules import rule_to_proto
from services.kernel.errors import InvalidField, NotFound, TooLarge
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import account_leaf
from services.kernel.rules.model import Not, Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, SECOND_US
from services.profile.queries import accounts as account_queries
from services.profile.store import profiles as profile_store
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of, distinct_of, events_named, trait_is

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
BOUGHT = count_of(events_named("bought"), 30 * DAY_US, Operator.GE, 3)
COURSES = distinct_of(events_named("viewed"), "course", 0, Operator.GE, 2)


class EventFactory:
    """Makes events, each a second after the one before, with message ids of their own."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us
        self._at_us = now_us - 5 * DAY_US
        self._number = 0

    def _next(self, identifiers: str, **fields: Any) -> SourceEvent:
        self._at_us += SECOND_US
        self._number += 1
        return SourceEvent(_parse(identifiers.split()), self._at_us, self._number, **fields)

    def group(self, identifiers: str, account: str, *more: str, **traits: Any) -> SourceEvent:
        return self._next(
            identifiers,
            name="",
            type="group",
            group_id=account,
            group_identifiers=_parse(more),
            traits=traits,
        )

    def track(self, identifiers: str, name: str, **properties: Any) -> SourceEvent:
        return self._next(identifiers, name=name, properties=properties)

    def identify(self, identifiers: str, **traits: Any) -> SourceEvent:
        return self._next(identifiers, name="", type="identify", traits=traits)


def _parse(identifiers: Any) -> tuple[Identifier, ...]:
    return tuple(Identifier(*text.split(":")) for text in identifiers)


async def event_factory(stack: ProfileStack) -> EventFactory:
    return EventFactory(await stack.tick())


async def get(stack: ProfileStack, account_id: str = "", **fields: Any) -> pb.GetAccountResponse:
    if account_id:
        fields["account_id"] = account_id
    return await stack.profile.GetAccount(pb.GetAccountRequest(at_least=stack.token, **fields))


async def get_profile(stack: ProfileStack, namespace: str, value: str) -> pb.Profile:
    by = IdentifierMessage(namespace=namespace, value=value)
    return (await stack.profile.GetProfile(pb.GetProfileRequest(identifier=by))).profile


async def define(stack: ProfileStack, tag_id: str, rule: Rule) -> None:
    tag = facts_pb.TagDefined(tag_id=tag_id, title="t", rule=rule_to_proto(rule))
    stack.token = (await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))).token


def link_decision(a: str, b: str, at_us: int) -> Fact:
    """Return the decision that two group ids belong to one account."""
    decided = LinkDecided(
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
        payload=decided.SerializeToString(),
    )


def traits_of(message: pb.Account | pb.Profile) -> dict[str, Any]:
    return {t.name: msgspec.json.decode(t.value) for t in message.traits}


def account_profile(account_id: str) -> str:
    leaf = account_leaf(WORKSPACE, account_id, INDEX_KEY)
    assert leaf is not None
    return leaf.hex()


async def test_account_has_identifiers_traits_and_members_of_its_own(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        events = await event_factory(stack)
        ordered = [
            events.group("user_id:ann", "acme", "account_domain:acme.cn", plan="free", city="x"),
            events.group("user_id:bob email:bob@acme.cn", "acme", plan="pro"),
            events.identify("user_id:ann", city="北京市"),
            events.group("user_id:ann", "other"),
        ]
        await stack.ingest(reversed(ordered))
        found = await get(stack, "acme")
        account = found.account
        other = await get(stack, "other")
        assert [(i.namespace, i.value) for i in account.identifiers] == [
            ("account_domain", "acme.cn"),
            ("account_id", "acme"),
        ]
        assert traits_of(account) == {"plan": "pro", "city": "x"}
        assert (account.event_count, len(account.leaf_ids)) == (2, 1)
        assert not account.HasField("parent")
        domain = IdentifierMessage(namespace="account_domain", value="acme.cn")
        assert (await get(stack, identifier=domain)).account == account
        for profile_id in (account.profile_id, account_profile("acme")):
            assert (await get(stack, profile_id=profile_id)).account == account

        ann, bob = [await get_profile(stack, "user_id", value) for value in ("ann", "bob")]
        assert list(found.member_profile_ids) == sorted([ann.profile_id, bob.profile_id])
        of_ann = {name.profile_id: list(name.account_ids) for name in ann.accounts}
        assert of_ann == {account.profile_id: ["acme"], other.account.profile_id: ["other"]}
        assert list(of_ann) == sorted(of_ann)
        assert [list(name.account_ids) for name in bob.accounts] == [["acme"]]
        assert traits_of(ann) == {"city": "北京市"}
        named = [(i.namespace, i.value) for i in bob.identifiers]
        assert named == [("email", "bob@acme.cn"), ("user_id", "bob")]


async def test_account_is_not_evaluated_and_not_found_as_a_profile(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        no_buyer = Not(BOUGHT)
        await define(stack, "no buyer", no_buyer)
        await define(stack, "local", trait_is("city", Operator.EQ, "北京市"))
        events = await event_factory(stack)
        await stack.ingest([events.group("user_id:ann", "acme", city="北京市")])
        profile_id = account_profile("acme")
        ann = await get_profile(stack, "user_id", "ann")
        assert [t.tag_id for t in ann.tags] == ["no buyer"]
        evaluated = [
            change.profile_id.hex()
            for shard in range(3)
            async for response in stack.internal.ReadEvaluations(
                pb.ReadEvaluationsRequest(shard=shard)
            )
            for change in response.evaluations
        ]
        assert evaluated == [ann.profile_id]
        with pytest.raises(NotFound):
            await stack.profile.GetProfile(pb.GetProfileRequest(profile_id=profile_id))
        with pytest.raises(NotFound):
            await stack.profile.GetProfile(
                pb.GetProfileRequest(profile_id=profile_id, as_of_token=stack.token)
            )
        with pytest.raises(NotFound):
            await stack.profile.ExplainRule(
                pb.ExplainRuleRequest(profile_id=profile_id, rule=rule_to_proto(no_buyer))
            )
        many = pb.BatchGetProfilesRequest(profile_ids=[profile_id, ann.profile_id])
        found = (await stack.profile.BatchGetProfiles(many)).profiles
        assert [p.profile_id for p in found] == [ann.profile_id]
        with pytest.raises(NotFound):
            await get(stack, profile_id=ann.profile_id)
        timeline = await stack.profile.ListTimeline(pb.ListTimelineRequest(profile_id=profile_id))
        assert [entry.type for entry in timeline.entries] == ["group"]


async def test_account_has_its_parent_and_its_children(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        events = await event_factory(stack)
        await stack.ingest(
            [
                events.group("user_id:a", "shop-1", parent_account_id="south"),
                events.group("user_id:b", "shop-2", parent_account_id="south"),
                events.group("user_id:c", "south", parent_account_id="hq"),
                events.group("user_id:d", "left", parent_account_id="south"),
                events.group("user_id:d", "left", parent_account_id=None),
            ]
        )
        south = await get(stack, "south")
        assert (south.account.parent.profile_id, list(south.account.parent.account_ids)) == (
            account_profile("hq"),
            ["hq"],
        )
        children = {name.profile_id: list(name.account_ids) for name in south.children}
        assert children == {account_profile(n): [n] for n in ("shop-1", "shop-2")}
        assert list(children) == sorted(children)
        assert not (await get(stack, "left")).account.HasField("parent")

        # Only its children name this account.
        hq = await get(stack, "hq", include_children=True)
        assert hq.account == pb.Account(profile_id=account_profile("hq"))
        assert [list(name.account_ids) for name in hq.children] == [["south"]]
        assert (hq.roll_up.members, hq.roll_up.accounts) == (3, 4)

        await stack.ingest([events.group("user_id:e", "hq", name="HQ")])
        hq = await get(stack, "hq", include_children=True)
        assert traits_of(hq.account) == {"name": "HQ"}
        assert (hq.roll_up.members, hq.roll_up.accounts) == (4, 4)
        assert (await get(stack, "hq")).roll_up.members == 1


async def test_cycle_of_three_accounts_in_any_order_of_arrival_rejects_the_newest_parent(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        for number, order in enumerate(permutations(range(3))):
            events = await event_factory(stack)
            a, b, c = (f"{name}{number}" for name in "abc")
            circle = [
                events.group(f"user_id:u{number}", a, parent_account_id=b),
                events.group(f"user_id:u{number}", b, parent_account_id=c),
                events.group(f"user_id:v{number}", c, parent_account_id=a),
            ]
            shift = 10_000 * (number + 1)
            for at in order:
                await stack.append(replace(circle[at], message=shift + at).facts())
            await stack.tick()
            found = {name: (await get(stack, name, include_children=True)) for name in (a, b, c)}
            above = {
                name: list(response.account.parent.account_ids) for name, response in found.items()
            }
            assert above == {a: [b], b: [c], c: []}
            rejected = {
                name: list(response.account.rejected_parent.account_ids)
                for name, response in found.items()
            }
            assert rejected == {a: [], b: [], c: [a]}
            below = {
                name: [list(child.account_ids) for child in response.children]
                for name, response in found.items()
            }
            assert below == {a: [], b: [[a]], c: [[b]]}
            rolled_up = {name: response.roll_up for name, response in found.items()}
            assert {n: (r.accounts, r.members) for n, r in rolled_up.items()} == {
                a: (1, 1),
                b: (2, 1),
                c: (3, 2),
            }


async def test_members_merged_later_are_one_member(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await define(stack, "buyers", BOUGHT)
        events = await event_factory(stack)
        await stack.ingest(
            [
                events.group("anonymous_id:x", "acme"),
                events.group("user_id:ann", "acme"),
                events.track("anonymous_id:x", "bought"),
                events.track("user_id:ann", "bought"),
            ]
        )
        before = await get(stack, "acme")
        assert (len(before.member_profile_ids), before.roll_up.members) == (2, 2)
        await stack.ingest([events.track("user_id:ann anonymous_id:x", "bought")])
        rules = [rule_to_proto(BOUGHT)]
        after = await get(stack, "acme", rules=rules)
        ann = await get_profile(stack, "user_id", "ann")
        assert list(after.member_profile_ids) == [ann.profile_id]
        assert [list(name.account_ids) for name in ann.accounts] == [["acme"]]
        assert (after.roll_up.members, after.roll_up.event_count) == (1, 5)
        assert [p.actual for p in after.roll_up.rules[0].predicates] == [b"3"]


async def test_rule_over_an_account_is_evaluated_over_all_its_members(
    open_stack: OpenStack,
) -> None:
    """Also as time passes, and with the members of its descendants."""
    async with open_stack() as stack:
        await define(stack, "buyers", BOUGHT)
        events = await event_factory(stack)
        first = events.track("user_id:ann", "bought")
        ordered = [
            events.group("user_id:ann", "acme"),
            events.group("user_id:bob", "acme"),
            events.group("user_id:eve", "sub", parent_account_id="acme"),
            events.track("user_id:bob", "bought"),
            events.track("user_id:eve", "bought"),
            events.track("user_id:stranger", "bought"),
        ]
        last = events.track("user_id:bob", "other")
        await stack.ingest([last, *ordered, first])
        rules = [rule_to_proto(BOUGHT), rule_to_proto(Not(BOUGHT))]

        async def roll_up_of(
            **fields: Any,
        ) -> tuple[int, list[tuple[bool, list[bytes]]], pb.RollUp]:
            roll_up = (await get(stack, "acme", rules=rules, **fields)).roll_up
            return (
                roll_up.members,
                [(r.holds, [p.actual for p in r.predicates]) for r in roll_up.rules],
                roll_up,
            )

        members, results, roll_up = await roll_up_of()
        assert (members, results) == (2, [(False, [b"2"]), (True, [b"2"])])
        assert (roll_up.first_seen_us, roll_up.last_seen_us) == (
            first.occurred_at_us,
            last.occurred_at_us,
        )
        assert roll_up.rules[0].rule_text
        members, results, _ = await roll_up_of(include_children=True)
        assert (members, results) == (3, [(True, [b"3"]), (False, [b"3"])])
        await stack.tick(31 * DAY_US)
        assert (await roll_up_of(include_children=True))[1] == [(False, [b"0"]), (True, [b"0"])]


async def test_rule_whose_accumulator_is_not_backfilled_is_rejected(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        events = await event_factory(stack)
        joined = [
            events.group("user_id:ann", "acme"),
            events.identify("user_id:ann", city="北京市"),
        ]
        await stack.ingest(joined)
        local = rule_to_proto(trait_is("city", Operator.EQ, "北京市"))
        with pytest.raises(InvalidField) as rejected:
            await get(stack, "acme", rules=[local, rule_to_proto(COURSES)])
        assert rejected.value.field == "rules[1]"
        found = await get(stack, "acme", rules=[local])
        assert found.roll_up.rules[0].holds
        with pytest.raises(TooLarge):
            await get(stack, "acme", rules=[local] * 21)


async def test_group_id_in_another_workspace_is_another_account(open_stack: OpenStack) -> None:
    async with open_stack(workspace_id="other") as stack:
        events = await event_factory(stack)
        await stack.ingest([events.group("user_id:ann", "acme", parent_account_id="hq")])
        listed = await stack.profile.ListAccounts(pb.ListAccountsRequest(at_least=stack.token))
        assert list(listed.accounts) == []
        for request_fields in ({"account_id": "acme"}, {"profile_id": account_profile("acme")}):
            with pytest.raises(NotFound):
                await get(stack, **request_fields)
        with pytest.raises(NotFound):
            await get(stack, "hq")


async def test_list_has_every_account_once_in_pages(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        events = await event_factory(stack)
        names = [f"g{n}" for n in range(7)]
        await stack.ingest(
            events.group("user_id:ann", name, parent_account_id="g0!") for name in names
        )
        # A decision merges two of them, so both are listed as one.
        await stack.append([link_decision("g2", "g5", events.now_us)])
        await stack.tick()
        seen: list[pb.Account] = []
        token = ""
        for _ in range(10):
            request = pb.ListAccountsRequest(page_size=2, page_token=token, at_least=stack.token)
            response = await stack.profile.ListAccounts(request)
            seen += response.accounts
            token = response.next_page_token
            if not token:
                break
        ids = [[i.value for i in a.identifiers if i.namespace == "account_id"] for a in seen]
        assert sorted(ids) == [["g0"], ["g1"], ["g2", "g5"], ["g3"], ["g4"], ["g6"]]
        assert all(list(a.parent.account_ids) == ["g0!"] for a in seen)
        assert seen[0] == (await get(stack, profile_id=seen[0].profile_id)).account


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({}, "by"),
        ({"profile_id": "xyz"}, "profile_id"),
        ({"account_id": "a" * 513}, "account_id"),
        ({"identifier": IdentifierMessage(namespace="user_id", value="x")}, "identifier"),
        ({"account_id": "acme", "page_size": 1_001}, "page_size"),
        ({"account_id": "acme", "page_token": "7"}, "page_token"),
    ],
)
async def test_invalid_request_names_its_field(
    open_stack: OpenStack, request_fields: dict[str, Any], field: str
) -> None:
    async with open_stack() as stack:
        with pytest.raises(InvalidField) as rejected:
            await stack.profile.GetAccount(pb.GetAccountRequest(**request_fields))
        assert rejected.value.field == field
        for account_id in ("never", "null"):
            with pytest.raises(NotFound):
                await get(stack, account_id)


async def test_ten_thousand_members_are_paged_and_rolled_up_in_chunks(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    async def counting(conn: Any, workspace_id: Any, profiles: Any) -> list[bytes]:
        states = await leaf_states_of(conn, workspace_id, profiles)
        sizes.append(len(states))
        return states

    leaf_states_of = profile_store.leaf_states_of
    monkeypatch.setattr(profile_store, "leaf_states_of", counting)
    async with open_stack() as stack:
        events = await event_factory(stack)
        await stack.ingest([events.group(f"user_id:u{n}", "acme", n=n) for n in range(10_000)])
        first = await get(stack, "acme", page_size=1_000)
        assert (first.roll_up.members, first.roll_up.event_count) == (10_000, 10_000)
        assert max(sizes) <= account_queries.CHUNK
        pages = [first]
        while pages[-1].next_page_token:
            token = pages[-1].next_page_token
            pages.append(await get(stack, "acme", page_size=1_000, page_token=token))
        assert [len(page.member_profile_ids) for page in pages] == [1_000] * 10
        members = [member for page in pages for member in page.member_profile_ids]
        assert members == sorted(set(members))
        assert not any(page.HasField("roll_up") for page in pages[1:])
        assert traits_of(first.account) == {"n": 9_999}


async def test_rebuild_ends_with_the_same_accounts(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await define(stack, "buyers", BOUGHT)
        events = await event_factory(stack)
        await stack.ingest(
            [
                events.group(
                    "user_id:ann", "acme", "account_domain:acme.cn", parent_account_id="hq"
                ),
                events.group("anonymous_id:x", "sub", parent_account_id="acme"),
                events.track("user_id:ann anonymous_id:x", "bought"),
            ]
        )
        before = await get(stack, "acme", include_children=True)
        assert (await stack.rebuild(shards=5)).equal
        assert (await stack.rebuild(switch_over=True)).equal
        await stack.tick()
        after = await get(stack, "acme", include_children=True)
        for response in (before, after):
            response.ClearField("token")
            response.roll_up.as_of_us = 0
        assert after == before
