"""Tests that spellings of one phone number are one profile, and invalid numbers link nothing."""

from __future__ import annotations

from itertools import count

import pytest
from integration.identity.identity_harness import RunningIdentity, running_identity
from integration.identity.identity_log import MemoryEventLog
from laws.identity_model import WORKSPACE
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.ingest.v1.ingest_facts_pb2 import WorkspaceDefined
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER
from rebuilds import rebuild
from service_fixtures import MakeSettings

from services.chassis.codec.fields import token_to_proto
from services.ingest.domain.admission import admit
from services.ingest.domain.events import Accepted, RawEvent, Source
from tests.index_key import INDEX_KEY

SPELLINGS = ("+86 138-0000-0000", "138 0000 0000", "0086 138 0000 0000", "13800000000")
_numbers = count(1)


def event_fact(*identifiers: tuple[str, str], region: str = "CN") -> Fact:
    """Return the fact that ingest makes of an event with these identifiers."""
    number = next(_numbers)
    event = Event(
        trust=SOURCE_TRUST_SERVER,
        type=EVENT_TYPE_TRACK,
        name="Signed In",
        message_id=f"spelling-{number}",
        identifiers=[Identifier(namespace=n, value=v) for n, v in identifiers],
    )
    raw = RawEvent(EVENT_TYPE_TRACK, event.name, event.message_id, identifiers)
    admitted = admit(raw, Source(WORKSPACE, "site", INDEX_KEY, "web", region), number, str)
    assert isinstance(admitted, Accepted), admitted
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=admitted.fact_id,
        kind=Event.DESCRIPTOR.full_name,
        leaf_id=admitted.leaf_id,
        occurred_at_us=number,
        payload=event.SerializeToString(),
    )


def workspace_fact(region: str) -> Fact:
    message = WorkspaceDefined(title="a school", default_region=region)
    kind, payload = message.DESCRIPTOR.full_name, message.SerializeToString()
    return Fact(workspace_id=WORKSPACE, fact_id=bytes(16), kind=kind, payload=payload)


async def lookup(running: RunningIdentity, *identifiers: tuple[str, str]) -> list[str]:
    request = pb.LookupProfilesRequest(
        identifiers=[Identifier(namespace=n, value=v) for n, v in identifiers],
        at_least=token_to_proto(running.log.token),
    )
    return list((await running.identity.LookupProfiles(request)).profile_ids)


@pytest.mark.parametrize("shards", [1, 3])
async def test_spellings_of_one_number_are_one_profile(
    make_settings: MakeSettings, internal_key: str, nats_url: str, shards: int
) -> None:
    log = MemoryEventLog(shards)
    log.append(
        event_fact(("anonymous_id", f"visit-{n}"), ("phone", spelling))
        for n, spelling in enumerate(SPELLINGS)
    )
    log.append(event_fact(("phone", spelling)) for spelling in SPELLINGS)
    async with running_identity(make_settings, internal_key, nats_url, log, WORKSPACE) as running:
        visits = [("anonymous_id", f"visit-{n}") for n in range(len(SPELLINGS))]
        phones = [("phone", spelling) for spelling in SPELLINGS]
        found = await lookup(running, *visits, *phones)
    assert len(set(found)) == 1
    assert found[0]


async def test_invalid_number_links_no_profiles(
    make_settings: MakeSettings, internal_key: str, nats_url: str
) -> None:
    log = MemoryEventLog(2)
    for value in ("1380000000", "+86 123 4567 8901", "13800138000", "138****0000"):
        log.append(event_fact(("user_id", user), ("phone", value)) for user in ("li", "wang"))
        assert value in str(log.shards), "the raw value stays in the log"
    async with running_identity(make_settings, internal_key, nats_url, log, WORKSPACE) as running:
        li, wang, phone = await lookup(
            running, ("user_id", "li"), ("user_id", "wang"), ("phone", "1380000000")
        )
    assert li != wang
    assert li
    assert wang
    assert not phone


async def test_numbers_are_normalised_by_the_region_of_the_workspace(
    make_settings: MakeSettings, internal_key: str, nats_url: str
) -> None:
    log = MemoryEventLog(2)
    log.append([workspace_fact("US")])
    log.append(
        event_fact(("anonymous_id", name), ("phone", number), region="US")
        for name, number in (("a", "(650) 253-0000"), ("b", "+1 650 253 0000"), ("c", "6502530000"))
    )
    log.append([event_fact(("anonymous_id", "d"), ("phone", "13800000000"), region="US")])
    async with running_identity(make_settings, internal_key, nats_url, log, WORKSPACE) as running:
        await lookup(running)  # waits until the workspace and its region are folded
        *same, other, by_number, no_number = await lookup(
            running,
            *(("anonymous_id", name) for name in "abcd"),
            *(("phone", "650-253-0000"), ("phone", "13800000000")),
        )
        assert {*same, by_number} == {same[0]} != {other}
        assert not no_number
        assert (await rebuild(running.projection)).equal
