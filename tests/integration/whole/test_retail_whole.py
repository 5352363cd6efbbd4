"""The retail pack through all services: a customer of several systems, and changes of tiers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest, IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import (
    ROLE_ADMIN,
    ROLE_READER,
    ROLE_SERVICE,
    ROLE_SOURCE,
    SourceDefined,
)
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_stream_pb2 import MembershipCause, MembershipChange
from onefold.type.v1 import event_pb2
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SYSTEM_OF_RECORD
from pack_rules import PACKS
from service_fixtures import MakeSettings, wait_until

from services.chassis.codec.rules import rule_to_proto
from services.chassis.runtime.tasks import background
from services.cli.commands.campaigns import STEPS, CampaignEvents, campaign_results
from services.cli.commands.packs import apply_pack
from services.cli.commands.scores import ScoreReader, record_scores
from services.cli.definitions import read_pack
from services.cli.files.rows import RowFile
from services.client.client import ApiEndpoints, Client
from services.kernel.rules.forms.json_form import parse_rule

#: The systems that send, beside those of the pack.
SOURCES = ("crm", "mail")
SILVER, PLAIN = "stage:tier=银卡会员", "stage:tier=普通会员"
WATCHED = (SILVER, PLAIN, "tag:first_purchase")


@dataclass
class Shop:
    """A system with the retail pack, and a client for each source."""

    system: WholeSystem
    sources: Mapping[str, Client]
    _numbers: Any = field(default_factory=count)

    async def send(
        self, source: str, name: str, *names: str, message_id: str = "", **values: Any
    ) -> IngestEventsResponse:
        """Send an event with properties, or an `identify` with traits."""
        document = json.dumps(values).encode()
        is_identify = name == "identify"
        event = event_pb2.Event(
            type=event_pb2.EVENT_TYPE_IDENTIFY if is_identify else event_pb2.EVENT_TYPE_TRACK,
            name="" if is_identify else name,
            message_id=message_id or f"{source}-{next(self._numbers)}",
            identifiers=map(identifier, names),
            properties=b"" if is_identify else document,
            traits=document if is_identify else b"",
        )
        request = IngestEventsRequest(events=[event])
        response = await self.sources[source].ingest.IngestEvents(request)
        assert not response.rejections, response.rejections
        return response

    async def pay(self, who: str, order: str, amount: float, message_id: str = "") -> Any:
        values = {"order_id": order, "amount": amount, "currency": "CNY"}
        return await self.send("shop-web", "order_paid", who, message_id=message_id, **values)

    async def refund(self, who: str, order: str, amount: float) -> None:
        values = {"order_id": order, "amount": amount, "refund_id": f"r-{order}"}
        await self.send("shop-erp", "order_refunded", who, **values)

    async def profile(self, who: str) -> profile_pb.Profile:
        """Return a profile, once everything is folded."""
        await self.system.drain()
        request = profile_pb.GetProfileRequest(identifier=identifier(who))
        return (await self.system.service.profile.GetProfile(request)).profile

    async def computed(self, who: str) -> dict[str, Any]:
        found = (await self.profile(who)).computed_traits
        return {trait.name: json.loads(trait.value) for trait in found}


@asynccontextmanager
async def shop(make_settings: MakeSettings, key: str, data: Path) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as scope:
        system = await scope.enter_async_context(whole_system(make_settings, key, data))
        await apply_pack(system.admin, read_pack(PACKS / "retail", {}))
        for source_id in SOURCES:
            trust = SOURCE_TRUST_SYSTEM_OF_RECORD
            source = SourceDefined(source_id=source_id, title=source_id, trust=trust)
            await system.admin.admin.DefineSource(DefineSourceRequest(source=source))
        sources = {
            source_id: await scope.enter_async_context(
                await client_of(system, ROLE_SOURCE, source_id=source_id)
            )
            for source_id in (*SOURCES, "shop-web", "shop-erp")
        }
        await system.drain()
        yield Shop(system, sources)


async def client_of(system: WholeSystem, role: Any, **fields: str) -> Client:
    request = IssueKeyRequest(role=role, title="test", **fields)
    issued = await system.admin.admin.IssueKey(request)
    return Client(ApiEndpoints(grpc=system.admin.endpoints.grpc, key=issued.key))


async def test_customer_of_several_systems_is_one_profile_with_the_same_facts_for_all(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    async with shop(make_settings, internal_key, tmp_path) as of:
        await check_one_profile_of_three_systems(of)
        await check_results_of_a_campaign(of)
        await check_orders_payments_and_refunds(of)
        await check_spellings_of_a_city(of)
        await check_predicted_value(of, tmp_path)
        await check_same_facts_for_every_role(of)


async def check_one_profile_of_three_systems(of: Shop) -> None:
    """Three systems with three ids: the CRM, the orders and the warehouse; and the mailings."""
    email = "email:li@example.com"
    await of.send("crm", "opportunity_changed", "member_id:m-1", email, stage="won")
    await of.send("shop-web", "registered", "user_id:u-1", "member_id:m-1")
    await of.pay("user_id:u-1", "o-1", 1_200)
    await of.send("shop-erp", "order_shipped", "wechat_unionid:w-1", "user_id:u-1", order_id="o-1")
    mailing = {"campaign_id": "spring", "send_id": "send-7"}
    await of.send("mail", "email_sent", email, **mailing)
    await of.send("mail", "email_opened", email, **mailing)
    await of.send("mail", "email_clicked", email, **mailing)
    await of.send("crm", "complained", "member_id:m-1", about="late delivery")
    await of.system.drain()
    names = ("member_id:m-1", "user_id:u-1", "wechat_unionid:w-1", email)
    assert len(set(await of.system.profiles(*names))) == 1
    request = profile_pb.ListTimelineRequest(identifier=identifier("user_id:u-1"))
    entries = (await of.system.service.profile.ListTimeline(request)).entries
    assert [(entry.source_id, entry.name) for entry in entries] == [
        ("crm", "complained"),
        ("mail", "email_clicked"),
        ("mail", "email_opened"),
        ("mail", "email_sent"),
        ("shop-erp", "order_shipped"),
        ("shop-web", "order_paid"),
        ("shop-web", "registered"),
        ("crm", "opportunity_changed"),
    ]
    for entry in entries[1:4]:
        assert json.loads(entry.properties) == mailing, "the send that an opening belongs to"


async def check_results_of_a_campaign(of: Shop) -> None:
    """Wang opens what was sent to Li, and clicks in another campaign."""
    forwarded, other = {"campaign_id": "spring", "send_id": "send-7"}, {"campaign_id": "autumn"}
    await of.send("mail", "email_opened", "email:wang@example.com", **forwarded)
    await of.send("mail", "email_clicked", "email:wang@example.com", **other)
    await of.system.drain()
    named = CampaignEvents("spring", message_property="send_id")
    results = await campaign_results(of.system.admin, named, STEPS)
    found = {one.event: (one.persons.value, one.tied and one.tied.value) for one in results}
    assert found == {
        "email_sent": (1, None),
        "email_delivered": (0, 0),
        "email_opened": (2, 1),
        "email_clicked": (1, 1),
        "email_unsubscribed": (0, 0),
        "email_bounced": (0, 0),
    }


async def check_orders_payments_and_refunds(of: Shop) -> None:
    # The same message again and again is one payment.
    for number in range(5):
        response = await of.pay("user_id:u-1", "o-2", 300, message_id="paid-o-2")
        assert (response.accepted, response.duplicates) == ((1, 0) if number == 0 else (0, 1))
    await of.send("shop-web", "order_placed", "user_id:u-1", order_id="o-3", amount=900)
    await of.refund("user_id:u-1", "o-1", 200)
    # A refund that names no order of its customer takes nothing from another one.
    await of.refund("user_id:other", "o-1", 700)
    computed = await of.computed("user_id:u-1")
    assert (computed["lifetime_value"], computed["order_count"]) == (1_300, 2)
    assert (await of.computed("user_id:other")).get("lifetime_value", 0) == 0
    assert (await of.profile("user_id:u-1")).event_count == 11


async def check_spellings_of_a_city(of: Shop) -> None:
    rule = rule_to_proto(parse_rule({"trait": {"name": "city", "clean": "city", "eq": "北京"}}))
    segment = SegmentDefined(segment_id="beijing", title="北京", rule=rule)
    await of.system.admin.segment.DefineSegment(pb.DefineSegmentRequest(segment=segment))
    spellings = ("北京市", "北京", " 北京 ")
    for number, city in enumerate(spellings):
        await of.send("shop-web", "identify", f"user_id:city-{number}", city=city)
    found = [
        trait
        for number in range(len(spellings))
        for trait in (await of.profile(f"user_id:city-{number}")).traits
    ]
    assert tuple(json.loads(trait.value) for trait in found) == spellings, "as they were sent"
    assert len({trait.standard for trait in found}) == 1
    assert len(await of.system.members("beijing")) == 3
    assert len(await of.system.members("tag:region=华北")) == 3


async def check_predicted_value(of: Shop, folder: Path) -> None:
    file = folder / "ltv.csv"
    file.write_text("user_id,score\nu-1,5200.5\nnobody,1\n", encoding="utf-8")
    reader = ScoreReader("ltv", "2026-11", "user_id", "score", "2026-06-01T00:00:00Z")
    service = of.system.service
    report = await record_scores(service, reader, RowFile(file, reader.mapping))
    assert (report.accepted, [line.line for line in report.rejections]) == (1, [3])
    assert (await record_scores(service, reader, RowFile(file, reader.mapping))).duplicates == 1
    found = await of.profile("user_id:u-1")
    [predicted] = found.predictions
    assert (predicted.model_id, predicted.model_version, predicted.score) == (
        "ltv",
        "2026-11",
        5_200.5,
    )
    # What is predicted is no trait; the value of the past is computed from the orders.
    assert not {trait.name for trait in found.traits} & {"ltv", "score.ltv"}
    assert (await of.computed("user_id:u-1"))["lifetime_value"] == 1_300


async def check_same_facts_for_every_role(of: Shop) -> None:
    """Sales, service and marketing read with keys of their own."""
    views, details = [], []
    async with AsyncExitStack() as scope:
        for role in (ROLE_READER, ROLE_SERVICE, ROLE_ADMIN):
            client = await scope.enter_async_context(await client_of(of.system, role))
            await of.system.drain()
            who = identifier("member_id:m-1")
            request = profile_pb.GetProfileRequest(identifier=who)
            found = (await client.profile.GetProfile(request)).profile
            timeline = profile_pb.ListTimelineRequest(identifier=who)
            entries = (await client.profile.ListTimeline(timeline)).entries
            # The days until something change while the test runs.
            computed = [own for own in found.computed_traits if not own.name.startswith("days_")]
            views.append([list(found.tags), [each.fact_id for each in entries], computed])
            details.append([list(found.traits), list(entries)])
    # A reader sees personal data masked; the tags and the figures are the same.
    assert views[0] == views[1] == views[2]
    assert details[0] != details[1] == details[2]
    stages = {tag.tag_id: tag.value for tag in found.tags}
    assert (stages["lifecycle"], stages["tier"]) == ("复购客户", "银卡会员")
    assert {"complained", "order_paid"} <= {entry.name for entry in entries}


async def test_changes_of_a_tier_have_cause_and_version_and_a_subscriber_rebuilds_the_members(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    async with shop(make_settings, internal_key, tmp_path) as of, subscriber(of) as members:
        for number in range(3):
            await of.pay(f"user_id:u-{number}", f"o-{number}", 600)
        before = await of.system.drain()
        assert not await of.system.members(SILVER)
        await of.pay("user_id:u-1", "rise", 400)
        await of.pay("user_id:u-2", "rise-2", 500)
        risen = await of.system.drain()
        await of.refund("user_id:u-1", "rise", 300)
        await of.system.drain()
        history = await tier_changes(of, "user_id:u-1")
        assert [(c.segment_id, c.entered, MembershipCause.Name(c.cause)) for c in history[-4:]] == [
            (PLAIN, False, "MEMBERSHIP_CAUSE_RULE"),
            (SILVER, True, "MEMBERSHIP_CAUSE_RULE"),
            (PLAIN, True, "MEMBERSHIP_CAUSE_RULE"),
            (SILVER, False, "MEMBERSHIP_CAUSE_RULE"),
        ]
        assert {change.segment_version for change in history} == {1}
        await check_cause(of, risen)
        assert not (await explained(of, before)).is_member
        await check_version(of)
        expected = {id_: await of.system.members(id_) for id_ in WATCHED}
        assert all(expected.values())
        await wait_until(lambda: members == expected)


async def tier_changes(of: Shop, who: str) -> list[MembershipChange]:
    """Return the published changes of the tier of a customer, in their order."""
    request = pb.ListMembershipsRequest(identifier=identifier(who))
    found = (await of.system.service.segment.ListMemberships(request)).history
    return [change for change in found if change.segment_id.startswith("stage:tier=")]


async def explained(of: Shop, token: Any) -> profile_pb.ExplainMembershipResponse:
    request = profile_pb.ExplainMembershipRequest(
        identifier=identifier("user_id:u-1"), segment_id=SILVER, as_of_token=token
    )
    return await of.system.service.profile.ExplainMembership(request)


def parts_of(root: profile_pb.ExplainedPart) -> Iterator[profile_pb.ExplainedPart]:
    yield root
    for child in root.children:
        yield from parts_of(child)


async def check_cause(of: Shop, risen: Any) -> None:
    """The entry rests on the payments; the one that reached the tier is among them."""
    answer = await explained(of, risen)
    assert (answer.is_member, answer.definition_version) == (True, 1)
    request = profile_pb.ListTimelineRequest(identifier=identifier("user_id:u-1"))
    entries = (await of.system.service.profile.ListTimeline(request)).entries
    payments = {entry.fact_id for entry in entries if entry.name == "order_paid"}
    assert set(answer.explanation.cited_fact_ids) == payments
    # The texts leave out the definition of orders, which is that of the workspace.
    texts = [part.text for part in parts_of(answer.explanation.root)]
    assert any("net spend of orders" in text for text in texts)
    assert not any("defined by" in text for text in texts)


async def check_version(of: Shop) -> None:
    """A later change names the version of the set that it goes by."""
    pack = read_pack(PACKS / "retail", {})
    [tier] = [tag for tag in pack.tags if tag.tag_id == "tier"]
    tier.values[-1].rule.predicate.value = b"2000"
    await apply_pack(of.system.admin, pack)
    await of.system.drain()
    await of.pay("user_id:u-2", "more", 1_000)
    await of.system.drain()
    changes = [c for c in await tier_changes(of, "user_id:u-2") if c.segment_id == SILVER]
    assert [
        (c.entered, c.segment_version, MembershipCause.Name(c.cause)[17:]) for c in changes
    ] == [(True, 1, "RULE"), (False, 2, "DEFINITION"), (True, 2, "RULE")]


@asynccontextmanager
async def subscriber(of: Shop) -> AsyncIterator[dict[str, set[str]]]:
    """Yield the members by segment as a subscriber knows them, who adds up the changes."""
    members: dict[str, set[str]] = {id_: set() for id_ in WATCHED}
    request = pb.WatchMembershipsRequest(segment_ids=WATCHED)

    async def watch() -> None:
        async for response in of.system.service.segment.WatchMemberships(request, timeout=300.0):
            for change in response.changes:
                own = members[change.segment_id]
                (own.add if change.entered else own.discard)(change.profile_id.hex())

    async with background(watch()):
        # The first customers show whether it has begun.
        numbers = count()

        async def is_watching() -> bool:
            await of.pay(f"user_id:first-{next(numbers)}", f"first-{next(numbers)}", 1)
            await of.system.drain()
            return bool(members["tag:first_purchase"])

        await wait_until(is_watching)
        for id_ in WATCHED:
            members[id_] |= await of.system.members(id_)
        yield members
