"""Tests all five services: copies in a CRM, batches for audiences, stages that journeys put."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract.channels import fakes
from contract.channels.fake_mirrors import FakeHubspot, FakeMeta
from integration.whole.test_journeys import SENT, SUPPRESSED, advance, define, ended, track
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest
from onefold.type.v1 import event_pb2
from service_fixtures import MakeSettings, wait_until

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
    ):
        assert isinstance(crm, FakeHubspot)
        assert isinstance(ads, FakeMeta)
        targets = f"127.0.0.1:{crm.port},127.0.0.1:{ads.port}"
        async with whole_system(
            make_settings, internal_key, tmp_path, private_targets=targets
        ) as system:
            occurs_us = (await system.now_us() // HOUR_US + 2) * HOUR_US
            at = datetime.fromtimestamp(occurs_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M")
            await define(system, tmp_path, PACK.format(url=crm.url, ads=ads.url, at=at))
            await system.drain()
            await check_crm(system, crm)
            await check_cart(system, ads)
            await check_stage(system)
            await check_names(system)
            await check_batch(system, occurs_us)
