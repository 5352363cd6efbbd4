"""`onefold match` against a running system: what it says of people, and what comes of that."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from integration.whole.whole_doors import Whole, identifier, whole
from onefold.identity.v1 import identity_facts_pb2 as facts
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1.profile_service_pb2 import ListProfilesRequest
from onefold.type.v1 import event_pb2

from services.chassis.testing import MakeSettings
from services.devstack.stack import ROOT
from services.kernel.errors import NotAllowed
from services.linkage.job import BY_PERSON
from services.linkage.people import Person
from tests.people.hard_people import as_person, hard_people

Told = dict[frozenset[str], facts.MatchAssessed]

ZHUGE, COOKIE, SILENT = "user_id:zhuge", "anonymous_id:yutong", "anonymous_id:silent"
ONE, OTHER, EITHER = "user_id:shang-1", "user_id:shang-2", "anonymous_id:lingyun"
YUTONG = {"birthday": "1979-03-05", "phone": "13655550101", "email": "tong79@example.cn"}
LINGYUN = {"name": "上官凌云", "birthday": "1991-11-23", "phone": "13766660202"}
ALLOWS = {"consent_analytics": True}


def people() -> Iterator[tuple[list[str], dict[str, Any], list[int]]]:
    """Identifiers, traits and instants of some dozens who are hard to tell apart, and of six more.

    Of these, two are one; a third is just like them and allows nothing. Two have each their own
    user id and are else alike; the last may be either of them.
    """
    for person in map(as_person, hard_people(40, seed=3)):
        yield named(person), dict(person.traits), [person.first_seen_us, person.last_seen_us]
    at = [person.last_seen_us]
    yield [ZHUGE], {**YUTONG, **ALLOWS, "name": "诸葛语桐"}, at
    yield [COOKIE], {**YUTONG, **ALLOWS, "name": "Zhuge Yutong"}, at
    yield [SILENT], {**YUTONG, "name": "诸葛语桐", "consent_analytics": False}, at
    for who in (ONE, OTHER, EITHER):
        yield [who], LINGYUN | ALLOWS, at


def named(person: Person) -> list[str]:
    return [f"{namespace}:{value}" for namespace, value in person.identifiers]


async def send_people(home: Whole) -> None:
    events = [
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_IDENTIFY,
            message_id=f"{names[0]} {at_us}",
            identifiers=map(identifier, names),
            traits=msgspec.json.encode(traits),
            occurred_at_us=at_us,
        )
        for names, traits, seen in people()
        for at_us in sorted(set(seen))
    ]
    request = IngestEventsRequest(events=events)
    answer = await home.source.call(home.source.ingest.IngestEvents, request)
    assert not answer.rejections
    await home.rest()


async def onefold(home: Whole, *arguments: str) -> str:
    """The command, with a service's key of the workspace and no data folder."""
    doors = home.service.doors
    urls = {f"ONEFOLD_{name.upper()}_URL": url for name, url in doors.grpc.items()}
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        cwd=ROOT,
        env=os.environ | urls | {"ONEFOLD_KEY": doors.key, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await run.communicate())[0].decode()
    assert run.returncode == 0, told
    await home.rest()
    return told


async def listed(home: Whole, judgement: Any = facts.ASSESSMENT_UNSPECIFIED) -> Told:
    """The matches by the two that they are of."""
    request = pb.ListMatchesRequest(assessment=judgement, page_size=1_000)
    answer = await home.service.call(home.service.identity.ListMatches, request)
    return {
        frozenset(f"{i.namespace}:{i.value}" for i in (match.a, match.b)): match
        for match in answer.matches
    }


async def are_one(home: Whole, a: str, b: str, purpose: str = "") -> bool:
    one, other = await home.profiles(a, b, purpose=purpose)
    return one == other


@pytest.mark.timeout(240)
async def test_people_are_matched_for_what_they_allow_and_never_against_certainty(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    services = ("ingest", "identity", "profile")
    async with whole(make_settings, internal_key, tmp_path, *services) as home:
        await send_people(home)
        with pytest.raises(NotAllowed):
            await home.source.call(home.source.profile.ListProfiles, ListProfilesRequest())
        assert "say them with --say" in await onefold(home, "match")
        assert await listed(home) == {}, "a dry run says nothing"

        first = await onefold(home, "match", "--say")
        everybody = len(list(people()))
        assert f"{everybody} people, {everybody - 1} of whom allow it" in first
        said = await listed(home)
        accepted = await listed(home, facts.ASSESSMENT_ACCEPTED)
        review = await listed(home, facts.ASSESSMENT_TO_REVIEW)
        assert accepted
        assert review
        assert said == accepted | review
        assert all(list(m.purposes) == ["analytics"] for m in accepted.values())
        assert all(m.weights and not m.purposes for m in review.values())

        pair = frozenset((ZHUGE, COOKIE))
        assert pair in accepted
        assert await are_one(home, ZHUGE, COOKIE, "analytics")
        assert not await are_one(home, ZHUGE, COOKIE, "marketing"), "they do not allow it"
        assert not await are_one(home, ZHUGE, COOKIE), "nobody is merged"
        for names in review:
            assert not await are_one(home, *names)

        assert not any(SILENT in names for names in said)
        assert not await are_one(home, ZHUGE, SILENT, "analytics")

        assert frozenset((ONE, OTHER)) not in said
        assert {frozenset((ONE, EITHER)), frozenset((OTHER, EITHER))} <= said.keys()
        assert len({frozenset((ONE, EITHER)), frozenset((OTHER, EITHER))} & accepted.keys()) <= 1
        assert not await are_one(home, ONE, OTHER, "analytics")

        assert "0 were said" in await onefold(home, "match", "--say")
        assert await listed(home) == said

        await onefold(home, "matches", "reject", ZHUGE, COOKIE)
        # A person may say so of two with their own user ids, too: that does not join them.
        await onefold(home, "matches", "accept", ONE, OTHER, "--purpose", "analytics")
        assert "0 were said" in await onefold(home, "match", "--say")
        rejected = (await listed(home, facts.ASSESSMENT_REJECTED))[pair]
        assert rejected.model_version == BY_PERSON
        assert not await are_one(home, ZHUGE, COOKIE, "analytics")
        assert not await are_one(home, ONE, OTHER, "analytics")
