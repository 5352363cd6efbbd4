"""What a key that everybody can read may say about others, on a running system."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.identity.v1.identity_facts_pb2 import DECISION_LINK, EVIDENCE_KIND_CLAIMED
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.projection.v1.projection_service_pb2 import RebuildRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1 import source_trust_pb2 as trust_pb
from service_fixtures import MakeSettings

from services.chassis.codec.rules import rule_to_proto
from services.cli.commands.rebuild import request_rebuild
from services.client.client import Client
from services.kernel.rules.forms.json_form import parse_rule

PUBLIC = trust_pb.SOURCE_TRUST_PUBLIC
SERVER = trust_pb.SOURCE_TRUST_SERVER
RECORD = trust_pb.SOURCE_TRUST_SYSTEM_OF_RECORD
VICTIM = ("user_id:victim", "email:v@example.cn", "phone:13800000001")


@pytest.fixture
async def system(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> AsyncIterator[WholeSystem]:
    names = ("ingest", "identity", "profile")
    async with whole_system(make_settings, internal_key, tmp_path, *names) as running:
        yield running


class Sources:
    """A client for the source of each trust class."""

    def __init__(self, system: WholeSystem) -> None:
        self._system = system
        self._keys: dict[int, str] = {}

    async def define(self) -> None:
        admin = self._system.admin.admin
        for trust in (PUBLIC, SERVER, RECORD):
            source = SourceDefined(source_id=f"source-{trust}", trust=trust)
            await admin.DefineSource(admin_pb.DefineSourceRequest(source=source))
            request = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id=source.source_id)
            self._keys[trust] = (await admin.IssueKey(request)).key

    async def send(
        self, trust: int, *names: str, kind: int = event_pb2.EVENT_TYPE_IDENTIFY, **traits: Any
    ) -> None:
        """Send an event with identifiers, each marked as verified, and traits."""
        event = event_pb2.Event(
            type=kind,  # type: ignore[arg-type]
            name="Viewed" if kind == event_pb2.EVENT_TYPE_TRACK else "",
            message_id=secrets.token_hex(8),
            identifiers=[identifier(name, verified=True) for name in names],
            traits=json.dumps(traits).encode() if traits else b"",
        )
        endpoints = replace(self._system.source.endpoints, key=self._keys[trust])
        async with Client(endpoints) as client:
            response = await client.ingest.IngestEvents(IngestEventsRequest(events=[event]))
        assert not response.rejections, response.rejections


async def held_pairs(system: WholeSystem) -> set[frozenset[str]]:
    """Return the pairs that are held because only public sources saw them together."""
    request = identity_pb.ListHeldRequest(reason=identity_pb.HELD_REASON_UNTRUSTED, page_size=1_000)
    held = (await system.service.identity.ListHeld(request)).held
    assert {each.edge.kind for each in held} <= {EVIDENCE_KIND_CLAIMED}
    return {frozenset((each.edge.a.namespace, each.edge.b.namespace)) for each in held}


async def traits_of(system: WholeSystem, name: str) -> dict[str, tuple[Any, int]]:
    """Return the traits of a profile, each with its trust."""
    request = profile_pb.GetProfileRequest(identifier=identifier(name))
    profile = (await system.service.profile.GetProfile(request)).profile
    return {trait.name: (json.loads(trait.value), trait.trust) for trait in profile.traits}


async def test_public_key_claims_about_a_customer_overwrite_nothing_and_join_no_profiles(
    system: WholeSystem,
) -> None:
    sources = Sources(system)
    await sources.define()
    await sources.send(RECORD, *VICTIM, name="Victim", level="gold", removed=None)
    await sources.send(SERVER, "user_id:victim", level="silver", city="x")
    await sources.send(SERVER, "user_id:mallory", "email:m@example.cn", name="Mallory")
    await system.drain()
    victim, mallory = await system.profiles("user_id:victim", "user_id:mallory")

    # One key that everybody can read, and what mallory says with it.
    forged = {"name": "Mallory", "level": "none", "city": "y", "removed": 1, "vip": True}
    await sources.send(PUBLIC, "anonymous_id:mallory", **forged)
    await sources.send(PUBLIC, "anonymous_id:mallory", "user_id:victim", **forged)
    await sources.send(PUBLIC, "user_id:mallory", "email:v@example.cn", **forged)
    await sources.send(PUBLIC, "user_id:mallory", "phone:13800000001", "anonymous_id:mallory")
    alias = event_pb2.EVENT_TYPE_ALIAS
    await sources.send(PUBLIC, "user_id:mallory", "user_id:victim", kind=alias)
    await sources.send(PUBLIC, "email:m@example.cn", "email:v@example.cn", kind=alias)
    for number in range(15):  # so many that a phone number would be a shared one
        await sources.send(PUBLIC, f"user_id:forged-{number}", "phone:13800000001")
    await system.drain()

    assert await system.profiles(*VICTIM) == [victim] * 3
    assert await system.profiles("user_id:mallory", "email:m@example.cn") == [mallory] * 2
    assert await traits_of(system, "user_id:victim") == {
        "name": ("Victim", RECORD),
        "level": ("gold", RECORD),
        "city": ("x", SERVER),
        "vip": (True, PUBLIC),  # no source of more trust says anything about it
    }
    assert await held_pairs(system) >= {
        frozenset({"user_id", "email"}),
        frozenset({"user_id", "phone"}),
        frozenset({"user_id"}),
        frozenset({"email"}),
    }
    # The explanation of a rule names who states the trait, and with which trust.
    for rule, source, trust in (
        ({"trait": {"name": "level", "eq": "gold"}}, "source-3", RECORD),
        ({"trait": {"name": "vip", "eq": True}}, "source-1", PUBLIC),
    ):
        request = profile_pb.ExplainRuleRequest(
            identifier=identifier("user_id:victim"), rule=rule_to_proto(parse_rule(rule))
        )
        explained = await system.service.profile.ExplainRule(request)
        assert explained.holds
        [predicate] = explained.predicates
        assert (predicate.source_id, predicate.trust) == (source, trust)

    for service in ("identity", "profile"):
        for shards in (0, 3):
            rebuilt = await request_rebuild(system.internal, service, RebuildRequest(shards=shards))
            assert rebuilt.equal, service


async def test_public_key_of_a_shop_links_its_visitors_and_trusted_sources_confirm_them(
    system: WholeSystem,
) -> None:
    sources = Sources(system)
    await sources.define()
    track = event_pb2.EVENT_TYPE_TRACK
    await sources.send(PUBLIC, "anonymous_id:li-web", kind=track)
    await sources.send(PUBLIC, "anonymous_id:li-web", "user_id:li", language="zh")
    await sources.send(PUBLIC, "device_id:li-app", "user_id:li")
    await sources.send(PUBLIC, "anonymous_id:reader", "email:r@example.cn")
    await sources.send(SERVER, "wechat_openid.wx1:o-1", "wechat_unionid:u-1")
    await sources.send(PUBLIC, "wechat_unionid:u-1", "device_id:mini")
    await sources.send(PUBLIC, "user_id:li", "email:li@example.cn", "anonymous_id:li-web")
    await system.drain()
    li = await system.profiles("user_id:li", "anonymous_id:li-web", "device_id:li-app")
    assert len(set(li)) == 1, "a login links the device"
    assert await traits_of(system, "anonymous_id:li-web") == {"language": ("zh", PUBLIC)}
    reader = await system.profiles("anonymous_id:reader", "email:r@example.cn")
    assert len(set(reader)) == 1, "a newsletter form links the browser and the address"
    mini = await system.profiles("wechat_openid.wx1:o-1", "wechat_unionid:u-1", "device_id:mini")
    assert len(set(mini)) == 1
    assert await system.profiles("email:li@example.cn") != [li[0]]

    await sources.send(SERVER, "user_id:li", "email:li@example.cn")
    await system.drain()
    assert await system.profiles("email:li@example.cn") == await system.profiles("user_id:li")
    await sources.send(PUBLIC, "email:r@example.cn", "phone:13800000002")
    await system.service.identity.RecordDecision(
        identity_pb.RecordDecisionRequest(
            a=identifier("email:r@example.cn"),
            b=identifier("phone:13800000002"),
            decision=DECISION_LINK,
            reason="she called",
        )
    )
    await system.drain()
    assert await system.profiles("phone:13800000002") == await system.profiles("email:r@example.cn")
    assert await held_pairs(system) == set()
