"""Tests all five services: copies in a CRM, batches for audiences, stages that journeys put."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from contract.channels import fakes
from contract.channels.fake_mirrors import FakeHubspot, FakeMeta, FakeSalesforce
from integration.whole.test_journeys import SENT, SUPPRESSED, advance, define, ended, track
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.activation.v1.activation_service_pb2 import ReconcileMirrorRequest
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest, IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.source_trust_pb2 import (
    SOURCE_TRUST_SERVER,
    SOURCE_TRUST_SYSTEM_OF_RECORD,
    SourceTrust,
)
from service_fixtures import MakeSettings, wait_until

from services.client.client import Client
from services.kernel.time import HOUR_US, MINUTE_US

PACK = """
contact_policy:
  purposes:
    marketing: {{consent: granted}}
    service: {{consent: none}}
segments:
  - {{id: gold, title: Gold, rule: {{trait: {{name: grade, eq: gold}}}}}}
  - {{id: advertised, title: Advertised, rule: {{trait: {{name: advertised, eq: true}}}}}}
  - {{id: joined, title: Joined, rule: {{count: {{event: joined, at_least: 1}}}}}}
  - {{id: keen, title: Keen, rule: {{count: {{event: viewed, at_least: 2}}}}}}
stages:
  - id: funnel
    title: Funnel
    stages: [{{stage: met, rule: {{trait: {{name: funnel, eq: met}}}}}}]
    default: new
templates:
  - {{id: plain, locales: {{en: {{text: "hello"}}}}}}
destinations:
  - id: crm
    hubspot: {{access_token: hs-token, member_property: in_trial, endpoint: "{url}"}}
    segments: [gold]
    on: [entered, left]
    traits: [city]
  - id: ads
    meta_audience: {{audience_id: "23", access_token: meta-token, endpoint: "{ads}"}}
    segments: [advertised]
    on: [entered, left]
  - {{id: pushes, file: {{name: pushes.ndjson}}}}
  - {{id: invites, file: {{name: invites.ndjson}}}}
  - {{id: notes, file: {{name: notes.ndjson}}}}
  - {{id: greetings, file: {{name: greetings.ndjson}}}}
journeys:
  - id: invite
    purpose: marketing
    enter: {{schedule: {{at: "{at}", zone: UTC}}, audience: keen}}
    steps: [{{send: {{id: invitation, to: invites, template: plain}}}}]
  - id: cart
    purpose: service
    enter: {{event: cart_updated}}
    goal: [{{event: order_paid}}]
    steps:
      - send: {{id: push, to: pushes, template: plain}}
      - join: ads
      - wait: 30d
      - drop: ads
    on_goal: [{{drop: ads}}]
  - id: meeting
    enter: {{event: met}}
    steps: [{{put: {{stage: {{of: funnel, is: met}}}}}}]
  - id: greeting
    purpose: marketing
    enter: {{segment: {{id: joined, on: entered}}}}
    steps: [{{send: {{id: greeting, to: greetings, template: plain}}}}]
  - id: note
    purpose: service
    enter: {{stage: {{of: funnel, is: met}}}}
    steps: [{{send: {{id: note, to: notes, template: plain}}}}]
"""

#: Two systems that write one field of a person, and get it from the other one.
TWO_PACK = """
segments:
  - {{id: shared, title: Shared, rule: {{trait: {{name: shared, eq: true}}}}}}
  - {{id: turn, title: Turn, rule: {{trait: {{name: turn, eq: true}}}}}}
destinations:
  - id: sales
    salesforce:
      endpoint: "{sales}"
      client_id: client
      client_secret: sf-secret
      external_id: Onefold_Id__c
      member_field: In_Trial__c
    segments: [shared, turn]
    on: [entered, left]
    traits: [plan]
  - id: desk
    hubspot: {{access_token: hs-token, member_property: in_trial, endpoint: "{desk}"}}
    segments: [shared, turn]
    on: [entered, left]
    traits: [plan]
"""

MEMBERS, CONSENTING = 5, 3


async def identify(system: WholeSystem, email: str, **traits: Any) -> None:
    """Let the CRM say what it has of a person."""
    event = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_IDENTIFY,
        message_id=f"{email} {sorted(traits.items())}",
        identifiers=[identifier(f"email:{email}")],
        traits=json.dumps(traits).encode(),
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections


async def traits_of(system: WholeSystem, who: str) -> dict[str, Any]:
    request = GetProfileRequest(identifier=identifier(who))
    profile = (await system.service.profile.GetProfile(request)).profile
    return {trait.name: json.loads(trait.value) for trait in profile.traits}


async def check_crm(system: WholeSystem, crm: FakeHubspot) -> None:
    """ACT-06: what changes in the CRM is in the profile, what follows is written back once."""
    await identify(system, "li@x.example", city="上海", grade="gold")
    await wait_until(lambda: crm.members == {"li@x.example": {"city": "上海"}})
    await system.drain()
    assert (await traits_of(system, "email:li@x.example"))["city"] == "上海"
    # The CRM reports the change that was written to it, as it reports all others.
    await identify(system, "li@x.example", city="上海", grade="gold", in_trial=True)
    await identify(system, "wang@x.example", city="北京", grade="gold")
    await wait_until(lambda: crm.members.keys() == {"li@x.example", "wang@x.example"})
    await system.drain()
    assert (await traits_of(system, "email:li@x.example"))["in_trial"] is True
    await identify(system, "li@x.example", grade="silver")
    await wait_until(lambda: crm.members.keys() == {"wang@x.example"})
    assert (crm.writes, crm.problems) == (3, [])


@dataclass
class TwoCrms:
    """Two CRMs with a copy of each person, which report every change of their records."""

    system: WholeSystem
    sales: FakeSalesforce
    desk: FakeHubspot
    #: Before all reports, Unix microseconds.
    base_us: int
    #: The sources by their ids; `shop` is as trusted as `desk`, `sales` more.
    sources: dict[str, Client] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=lambda: count(1))
    #: Those whose membership in `turn` has begun and not ended.
    turned: set[str] = field(default_factory=set)

    async def add_source(self, source_id: str, trust: SourceTrust) -> None:
        admin = self.system.admin.admin
        source = SourceDefined(source_id=source_id, title=source_id, trust=trust)
        await admin.DefineSource(DefineSourceRequest(source=source))
        request = IssueKeyRequest(role=ROLE_SOURCE, source_id=source_id, title=source_id)
        key = (await admin.IssueKey(request)).key
        self.sources[source_id] = await self.system.open_client(key)

    async def report(self, source_id: str, email: str, at: int, **traits: Any) -> None:
        """Let a source report what a person has since an instant after the base."""
        event = event_pb2.Event(
            type=event_pb2.EVENT_TYPE_IDENTIFY,
            message_id=f"{source_id} {next(self.numbers)}",
            identifiers=[identifier(f"email:{email}")],
            occurred_at_us=self.base_us + at,
            traits=json.dumps(traits).encode(),
        )
        ingest = self.sources[source_id].ingest
        response = await ingest.IngestEvents(IngestEventsRequest(events=[event]))
        assert not response.rejections, response.rejections

    async def plans(self, email: str) -> list[str]:
        """Return what each system has of a person: the profile, sales, the desk."""
        [profile_id] = await self.system.profiles(f"email:{email}")
        traits = await traits_of(self.system, f"email:{email}")
        copies = self.sales.members[profile_id], self.desk.members[email]
        return [traits["plan"], *(each["plan"] for each in copies)]

    async def derive(self, email: str, at: int) -> None:
        """Have the copies of a person derived again by a change of a membership, and written.

        Entries of another person that enters afterwards are written after those.
        """
        self.turned ^= {email}
        await self.report("shop", email, at, turn=email in self.turned)
        await self.system.drain()
        witness = f"w{next(self.numbers)}@x.example"
        await self.report("shop", witness, at, shared=True, plan="any")
        await wait_until(lambda: witness in self.desk.members)
        [profile_id] = await self.system.profiles(f"email:{witness}")
        await wait_until(lambda: profile_id in self.sales.members)

    async def written(self, email: str) -> list[int]:
        """Return how often each CRM got an entry of a person."""
        [profile_id] = await self.system.profiles(f"email:{email}")
        return [
            sum(key.encode() in body for body in crm.bodies)
            for key, crm in ((profile_id, self.sales), (email, self.desk))
        ]

    async def echo(self, email: str, first: str, at: int) -> None:
        """Let both report again and again what they have, with copies derived in between."""
        [profile_id] = await self.system.profiles(f"email:{email}")
        for n in range(at, at + 4):
            await self.report(first, email, n, **self.sales.members[profile_id])
            await self.report("desk", email, n, **self.desk.members[email])
            await self.derive(email, n)


async def check_two_crms(system: WholeSystem, sales: FakeSalesforce, desk: FakeHubspot) -> None:
    """Of two CRMs that write one field, the more trusted wins, and of equal ones the last."""
    crms = TwoCrms(system, sales, desk, await system.now_us() - HOUR_US)
    await crms.add_source("sales", SOURCE_TRUST_SYSTEM_OF_RECORD)
    await crms.add_source("desk", SOURCE_TRUST_SERVER)
    await crms.add_source("shop", SOURCE_TRUST_SERVER)
    for first, wins in (("sales", "gold"), ("shop", "silver")):
        email = f"{first}@x.example"
        await crms.report(first, email, 0, plan="new", shared=True)
        await crms.derive(email, 1)
        assert await crms.plans(email) == ["new"] * 3
        await crms.echo(email, first, 2)
        assert await crms.written(email) == [1, 1], "an echo is written again"
        # Both change the field, and what is earlier arrives later, as does an earlier echo.
        desk.members[email]["plan"] = "silver"
        [profile_id] = await system.profiles(f"email:{email}")
        sales.members[profile_id]["plan"] = "gold"
        await crms.report("desk", email, 21, plan="silver")
        await crms.report(first, email, 20, plan="gold")
        await crms.report("desk", email, 10, plan="new")
        await crms.derive(email, 21)
        assert await crms.plans(email) == [wins] * 3
        await crms.echo(email, first, 22)
        assert await crms.plans(email) == [wins] * 3
        assert await crms.written(email) == [2, 2], "the systems write in a circle"

    # What loses stays in its own system until the copy is reconciled: nothing else has changed.
    email = "sales@x.example"
    desk.members[email]["plan"] = "silver"
    await crms.report("desk", email, 40, plan="silver")
    await crms.derive(email, 40)
    assert await crms.plans(email) == ["gold", "gold", "silver"]
    assert await crms.written(email) == [2, 2]
    await system.service.activation.ReconcileMirror(ReconcileMirrorRequest(destination_id="desk"))
    await wait_until(lambda: desk.members[email]["plan"] == "gold")
    await crms.echo(email, "sales", 41)
    assert await crms.plans(email) == ["gold"] * 3
    assert (await crms.written(email), sales.problems, desk.problems) == ([2, 3], [], [])


async def check_batch(system: WholeSystem, occurs_us: int) -> None:
    """JRN-04: those who are in the segment at the instant, each once, and the ends add up."""
    for n in range(MEMBERS):
        for _ in range(2):
            await track(system, "viewed", f"user_id:m{n}")
        if n < CONSENTING:
            consent = {"purpose": "marketing", "granted": True}
            await track(system, "consent_changed", f"user_id:m{n}", **consent)
    await system.drain()
    await advance(system, occurs_us - await system.now_us() + MINUTE_US)
    for _ in range(2):
        await track(system, "viewed", "user_id:late")
    own = await ended(system, MEMBERS, "invites")
    await advance(system, HOUR_US)
    request = ListMembersRequest(segment_id="keen", as_of_us=occurs_us, page_size=100)
    members = (await system.service.segment.ListMembers(request)).members
    assert len(members) == MEMBERS
    assert await ended(system, MEMBERS, "invites") == own
    states: dict[int, set[str]] = {SENT: set(), SUPPRESSED: set()}
    for each in own:
        states[each.state].add(each.profile_id)
    assert states[SENT] | states[SUPPRESSED] == {each.profile_id for each in members}
    names = [f"user_id:m{n}" for n in range(CONSENTING)]
    assert states[SENT] == set(await system.profiles(*names))
    assert len(own) == MEMBERS


async def check_cart(system: WholeSystem, ads: FakeMeta) -> None:
    """JRN-06: one abandoned cart reaches two destinations; the purchase removes the person."""
    await track(system, "cart_updated", "email:cart@x.example")
    await advance(system, MINUTE_US)
    [push] = await ended(system, 1, "pushes")
    assert push.state == SENT
    entry = f"e.{hashlib.sha256(b'cart@x.example').hexdigest()}"
    await wait_until(lambda: ads.members.keys() == {entry})
    await track(system, "order_paid", "email:cart@x.example")
    await advance(system, MINUTE_US)
    await wait_until(lambda: not ads.members)
    assert (ads.writes, ads.problems) == (2, [])


async def check_stage(system: WholeSystem) -> None:
    """JRN-08: a journey puts a person into a stage, and the stage begins another journey."""
    await track(system, "met", "user_id:li")
    await advance(system, MINUTE_US)
    [li] = await system.profiles("user_id:li")
    await wait_until(lambda: system.members("stage:funnel=met"))
    assert await system.members("stage:funnel=met") == {li}
    await advance(system, MINUTE_US)
    [note] = await ended(system, 1, "notes")
    assert (note.profile_id, note.state) == (li, SENT)


async def check_names(system: WholeSystem) -> None:
    """JRN-01: a profile is named by whichever of its identifiers comes first, of half of the people
    here by the address, under which no event is stored; each gets the message of an entry."""
    consent = {"purpose": "marketing", "granted": True}
    names = [(f"user_id:n{n}", f"email:n{n}@x.example") for n in range(MEMBERS)]
    for who in names:
        await track(system, "consent_changed", *who, **consent)
        await track(system, "joined", *who)
    await advance(system, MINUTE_US)
    greeted = await ended(system, MEMBERS, "greetings")
    people = await system.profiles(*(user for user, _ in names))
    assert {each.profile_id: each.state for each in greeted} == dict.fromkeys(people, SENT)


async def test_copies_batches_and_stages_follow_what_persons_do(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    async with (
        fakes.serving(FakeHubspot({"access_token": "hs-token"})) as crm,
        fakes.serving(FakeMeta({"access_token": "meta-token"})) as ads,
        fakes.serving(FakeSalesforce({"client_secret": "sf-secret"})) as sales,
        fakes.serving(FakeHubspot({"access_token": "hs-token"})) as desk,
    ):
        assert isinstance(crm, FakeHubspot)
        assert isinstance(ads, FakeMeta)
        assert isinstance(sales, FakeSalesforce)
        assert isinstance(desk, FakeHubspot)
        targets = ",".join(f"127.0.0.1:{each.port}" for each in (crm, ads, sales, desk))
        async with whole_system(
            make_settings, internal_key, tmp_path, private_targets=targets
        ) as system:
            occurs_us = (await system.now_us() // HOUR_US + 2) * HOUR_US
            at = datetime.fromtimestamp(occurs_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M")
            await define(system, tmp_path, PACK.format(url=crm.url, ads=ads.url, at=at))
            await system.drain()
            await check_crm(system, crm)
            two = await system.new_workspace()
            await define(two, tmp_path, TWO_PACK.format(sales=sales.url, desk=desk.url))
            await check_two_crms(two, sales, desk)
            await check_cart(system, ads)
            await check_stage(system)
            await check_names(system)
            await check_batch(system, occurs_us)
