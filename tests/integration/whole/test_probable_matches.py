"""`./onefold match` against a running system: the matches it records, and their effect."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1.identity_service_pb2 import ListMatchesRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1.profile_service_pb2 import ListProfilesRequest
from onefold.type.v1 import event_pb2
from service_fixtures import MakeSettings

from services.devstack.folders import ROOT
from services.kernel.errors import NotAllowed
from services.linkage.job import BY_PERSON
from tests.people.hard_people import as_profile, hard_people

Matches = dict[frozenset[str], facts_pb.MatchAssessed]

ZHUGE, COOKIE, NO_CONSENT = "user_id:zhuge", "anonymous_id:yutong", "anonymous_id:silent"
ONE, OTHER, EITHER = "user_id:shang-1", "user_id:shang-2", "anonymous_id:lingyun"
YUTONG = {"birthday": "1979-03-05", "phone": "13655550101", "email": "tong79@example.cn"}
LINGYUN = {"name": "上官凌云", "birthday": "1991-11-23", "phone": "13766660202"}
CONSENT = {"consent_analytics": True}


class Sighting(NamedTuple):
    """One profile to be sent: an event at each instant."""

    identifiers: list[str]
    traits: dict[str, Any]
    instants_us: list[int]


def sightings() -> Iterator[Sighting]:
    """Yield some dozens of profiles that are hard to tell apart, and six more.

    Of the six, two are one person, and a third looks the same without consent. Two have user ids of
    their own and are alike in all else; the last one can be either of them.
    """
    for person in map(as_profile, hard_people(40, seed=3)):
        names = [f"{namespace}:{value}" for namespace, value in person.identifiers]
        instants = [person.first_seen_us, person.last_seen_us]
        yield Sighting(names, dict(person.traits), instants)
    last = [person.last_seen_us]
    yield Sighting([ZHUGE], {**YUTONG, **CONSENT, "name": "诸葛语桐"}, last)
    yield Sighting([COOKIE], {**YUTONG, **CONSENT, "name": "Zhuge Yutong"}, last)
    without = {**YUTONG, "name": "诸葛语桐", "consent_analytics": False}
    yield Sighting([NO_CONSENT], without, last)
    for name in (ONE, OTHER, EITHER):
        yield Sighting([name], LINGYUN | CONSENT, last)


async def send_people(system: WholeSystem) -> None:
    events = [
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_IDENTIFY,
            message_id=f"{each.identifiers[0]} {at_us}",
            identifiers=map(identifier, each.identifiers),
            traits=msgspec.json.encode(each.traits),
            occurred_at_us=at_us,
        )
        for each in sightings()
        for at_us in sorted(set(each.instants_us))
    ]
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=events))
    assert not response.rejections
    await system.drain()


async def onefold(system: WholeSystem, *arguments: str) -> str:
    """Run a command with a service key of the workspace and no data folder."""
    endpoints = system.service.endpoints
    urls = {f"ONEFOLD_{name.upper()}_URL": url for name, url in endpoints.grpc.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        cwd=ROOT,
        env=os.environ | urls | {"ONEFOLD_KEY": endpoints.key, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await process.communicate())[0].decode()
    assert process.returncode == 0, printed
    await system.drain()
    return printed


async def matches(
    system: WholeSystem, assessment: Any = facts_pb.ASSESSMENT_UNSPECIFIED
) -> Matches:
    """Return the matches by their two identifiers."""
    request = ListMatchesRequest(assessment=assessment, page_size=1_000)
    response = await system.service.identity.ListMatches(request)
    return {
        frozenset(f"{i.namespace}:{i.value}" for i in (match.a, match.b)): match
        for match in response.matches
    }


async def are_one(system: WholeSystem, a: str, b: str, purpose: str = "") -> bool:
    one, other = await system.profiles(a, b, purpose=purpose)
    return one == other


async def test_matches_serve_purposes_with_consent_and_never_contradict_user_ids(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    services = ("ingest", "identity", "profile")
    async with whole_system(make_settings, internal_key, tmp_path, *services) as system:
        await send_people(system)
        with pytest.raises(NotAllowed):
            await system.source.profile.ListProfiles(ListProfilesRequest())
        assert "record them with --record" in await onefold(system, "match")
        assert await matches(system) == {}, "a dry run records nothing"

        first = await onefold(system, "match", "--record")
        total = len(list(sightings()))
        assert f"{total} profiles, {total - 1} of them with consent" in first
        recorded = await matches(system)
        accepted = await matches(system, facts_pb.ASSESSMENT_ACCEPTED)
        review = await matches(system, facts_pb.ASSESSMENT_TO_REVIEW)
        assert accepted
        assert review
        assert recorded == accepted | review
        assert all(list(m.purposes) == ["analytics"] for m in accepted.values())
        assert all(m.weights and not m.purposes for m in review.values())

        pair = frozenset((ZHUGE, COOKIE))
        assert pair in accepted
        assert await are_one(system, ZHUGE, COOKIE, "analytics")
        assert not await are_one(system, ZHUGE, COOKIE, "marketing"), "no consent to it"
        assert not await are_one(system, ZHUGE, COOKIE), "no profile is merged"
        for names in review:
            assert not await are_one(system, *names)

        assert not any(NO_CONSENT in names for names in recorded)
        assert not await are_one(system, ZHUGE, NO_CONSENT, "analytics")

        either = {frozenset((ONE, EITHER)), frozenset((OTHER, EITHER))}
        assert frozenset((ONE, OTHER)) not in recorded
        assert either <= recorded.keys()
        assert len(either & accepted.keys()) <= 1
        assert not await are_one(system, ONE, OTHER, "analytics")

        assert "0 recorded" in await onefold(system, "match", "--record")
        assert await matches(system) == recorded

        await onefold(system, "matches", "reject", ZHUGE, COOKIE)
        # A reviewer may also accept two with different user ids: that does not merge them.
        await onefold(system, "matches", "accept", ONE, OTHER, "--purpose", "analytics")
        assert "0 recorded" in await onefold(system, "match", "--record")
        rejected = (await matches(system, facts_pb.ASSESSMENT_REJECTED))[pair]
        assert rejected.model_version == BY_PERSON
        assert not await are_one(system, ZHUGE, COOKIE, "analytics")
        assert not await are_one(system, ONE, OTHER, "analytics")
