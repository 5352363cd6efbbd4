"""A person is erased from the log and from what every service has folded; others keep their own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from integration.whole.erased_life import BY_AGE, ErasedLife
from integration.whole.lag import FOLDING, lagging
from integration.whole.whole_system import WholeSystem, identifier
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.errors_pb2 import ERROR_REASON_SUPPRESSED
from rebuilds import rebuild
from service_fixtures import MakeSettings, wait_until

from services.cli.commands.development import FAULT_SEEDS
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.ingest.settings import IngestSettings
from services.kernel.errors import NotFound
from services.kernel.time import SECOND_US

#: Every value of the person has it, and nothing else does.
PLANTED = "pl4nted"
LI, MAIL, DEVICE = f"user_id:{PLANTED}-li", f"email:{PLANTED}@mail.example", "anonymous_id:d-1"
LI_DEVICE = f"anonymous_id:{PLANTED}-device"
WANG, WANG_MAIL = "user_id:wang", "email:wang@mail.example"
PACK = """
identity_policy:
  namespaces:
    - {name: user_id, limit: 1}
    - {name: email, limit: 1}
    - {name: anonymous_id, shared_after: 2}
segments:
  - {id: fans, title: Fans, rule: {count: {event: viewed, at_least: 2}}}
"""
LAG_SEEDS = max(2, int(os.environ.get(FAULT_SEEDS, 0)))


def event(name: str, names: Iterable[str], message_id: str, **fields: Any) -> event_pb2.Event:
    return event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK,
        name=name,
        message_id=message_id,
        identifiers=[identifier(one) for one in names],
        **fields,
    )


async def send(system: WholeSystem, *events: event_pb2.Event) -> IngestEventsResponse:
    return await system.source.ingest.IngestEvents(IngestEventsRequest(events=events))


async def live(system: WholeSystem, tmp_path: Path) -> list[event_pb2.Event]:
    """Give Li and Wang a life together; return the events of Li."""
    file = tmp_path / "pack.yaml"
    file.write_text(PACK, encoding="utf-8")
    await apply_pack(system.admin, read_pack(file, {}))
    own = [
        event(
            "viewed", [LI, MAIL, LI_DEVICE], "l1", properties=b'{"note": "%s"}' % PLANTED.encode()
        ),
        event("viewed", [LI, DEVICE], "l2"),
        event("viewed", [LI_DEVICE, MAIL], "l3"),
        # One event of two persons, which the policy holds apart, under the leaf of each.
        event("met", [LI, WANG, MAIL], "l4"),
        event("met", [WANG, MAIL, WANG_MAIL, DEVICE], "w4"),
    ]
    own.append(
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_IDENTIFY,
            message_id="l5",
            identifiers=[identifier(LI)],
            traits=b'{"name": "%s"}' % PLANTED.encode(),
        )
    )
    own.append(
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_GROUP,
            message_id="l6",
            group_id="acme",
            identifiers=[identifier(LI)],
            traits=b'{"plan": "gold"}',
        )
    )
    wang = [event("viewed", [WANG, WANG_MAIL], f"w{n}") for n in range(3)]
    group = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_GROUP,
        message_id="w6",
        group_id="acme",
        identifiers=[identifier(WANG)],
    )
    refused = event("", [LI, MAIL], "l7")
    # Each event has a time of its own, as the earlier of two links decides between two persons.
    began_us = time.time_ns() // 1_000 - SECOND_US
    for number, one in enumerate((*own, *wang, group)):
        one.occurred_at_us = began_us + number
    response = await send(system, *own, *wang, group, refused)
    assert len(response.rejections) == 1
    decision = identity_pb.RecordDecisionRequest(
        a=identifier(LI),
        b=identifier(WANG),
        decision=facts_pb.DECISION_SEPARATE,
        reason=f"two people, said {PLANTED}",
    )
    await system.service.identity.RecordDecision(decision)
    await system.drain()
    return own


async def erase(
    system: WholeSystem, name: str = LI, *, block: bool = False
) -> admin_pb.ErasureSummary:
    request = identity_pb.RequestErasureRequest(
        identifier=identifier(name), legal_ground="GDPR 17(1)(b)", block=block
    )
    requested = await system.admin.identity.RequestErasure(request)

    async def erased() -> list[admin_pb.ErasureSummary]:
        await system.internal.log.TickClock(TickClockRequest())
        listing = admin_pb.ListErasuresRequest(request_id=requested.request_id)
        found = (await system.admin.admin.ListErasures(listing)).erasures
        return [one for one in found if one.state == admin_pb.ERASURE_STATE_ERASED]

    [summary] = await wait_until(erased)
    await system.drain()
    return summary


async def tables_with(dsn: str, text: str) -> set[str]:
    """Return the tables of a database in which a text, or its bytes, is."""
    conn = await asyncpg.connect(dsn)
    try:
        rows = await conn.fetch(
            "SELECT c.oid::regclass::text AS name, c.relname FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)'"
        )
        return {
            row["relname"]
            for row in rows
            if await conn.fetchval(
                f"SELECT EXISTS (SELECT FROM {row['name']} AS t"
                " WHERE position($1 IN t::text) > 0 OR position($2 IN t::text) > 0)",
                text,
                text.encode().hex(),
            )
        }
    finally:
        await conn.close()


async def assert_rebuilt_equal(system: WholeSystem) -> None:
    for name in ("identity", "profile", "segment"):
        last = await rebuild(system.internal.projection(name))
        assert last.equal, (name, list(last.differing_rows))
    last = await rebuild(system.internal.projection("identity"), shards=3, workers=2)
    assert last.equal, list(last.differing_rows)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dsn(module_settings: MakeSettings) -> AsyncIterator[str]:
    yield module_settings(IngestSettings).postgres_dsn.get_secret_value()


async def test_erased_person_is_nowhere_another_one_complete_and_a_blocked_one_refused(
    workspace: WholeSystem, dsn: str, tmp_path: Path
) -> None:
    own = await live(workspace, tmp_path)
    li, wang = await workspace.profiles(LI, WANG)
    assert li != wang
    assert await workspace.members("fans") == {li, wang}
    assert {"fact", "quarantine", "identifier", "leaf", "assignment"} <= await tables_with(
        dsn, PLANTED
    )
    wang_before = await profile_of(workspace, WANG)

    summary = await erase(workspace)

    # Nine facts name Li; one that names two persons is stored under the leaf of either.
    assert summary.facts + summary.facts_of_others == 9
    assert summary.facts >= 6
    assert summary.refused_events == 1
    assert json.loads(summary.certificate.statement)["facts"] == summary.facts
    assert await tables_with(dsn, PLANTED) <= BY_AGE
    assert await workspace.profiles(LI, MAIL, LI_DEVICE, WANG) == ["", "", "", wang]
    assert await workspace.members("fans") == {wang}
    with pytest.raises(NotFound):
        await profile_of(workspace, LI)
    assert await profile_of(workspace, WANG) == wang_before
    await assert_rebuilt_equal(workspace)

    # What is sent again stays a repeat, and brings nothing back.
    again = await send(workspace, *own)
    assert (again.accepted, again.duplicates) == (0, len(own))
    await workspace.drain()
    assert await tables_with(dsn, PLANTED) <= BY_AGE

    # A new life keeps nothing of the old one.
    assert (await send(workspace, event("viewed", [LI, MAIL], "new"))).accepted == 1
    await workspace.drain()
    assert (await profile_of(workspace, LI)).event_count == 1
    assert await workspace.members("fans") == {wang}
    await assert_rebuilt_equal(workspace)

    # A blocked person is refused, and nothing of the refused events is stored.
    await erase(workspace, block=True)
    response = await send(
        workspace,
        event("viewed", [LI], "b1"),
        event("", [MAIL], "b2"),
        event("viewed", [WANG], "b3"),
    )
    assert response.accepted == 1
    reasons = {one.reason for one in response.rejections}
    assert reasons == {ERROR_REASON_SUPPRESSED}
    assert {one.quarantine_id for one in response.rejections} == {""}
    await workspace.drain()
    assert await tables_with(dsn, PLANTED) <= BY_AGE

    # What is left of the events of Li names Wang, who is erased from it as well.
    await erase(workspace, WANG)
    assert await tables_with(dsn, WANG.removeprefix("user_id:")) <= BY_AGE
    assert await workspace.profiles(LI, WANG) == ["", ""]
    await assert_rebuilt_equal(workspace)


async def profile_of(system: WholeSystem, name: str) -> Any:
    request = GetProfileRequest(identifier=identifier(name))
    return (await system.service.profile.GetProfile(request)).profile


async def certified(
    system: WholeSystem, summary: admin_pb.ErasureSummary
) -> dict[str, dict[str, int]]:
    """Return what services have deleted once the certificate names all of them; check it."""
    listing = admin_pb.ListErasuresRequest(request_id=summary.request_id)

    async def final() -> list[admin_pb.ErasureSummary]:
        found = (await system.admin.admin.ListErasures(listing)).erasures
        return [one for one in found if '"not_yet_deleted_by": []' in one.certificate.statement]

    [summary] = await wait_until(final)
    certificate = summary.certificate
    key = Ed25519PublicKey.from_public_bytes(certificate.public_key)
    key.verify(certificate.signature, certificate.statement.encode())
    stated = json.loads(certificate.statement)
    assert stated["request"] == summary.request_id
    counts = (stated["facts"], stated["facts_of_others"], stated["refused_events"])
    assert counts == (summary.facts, summary.facts_of_others, summary.refused_events)
    rows = {each.service: dict(each.rows) for each in summary.services}
    assert stated["rows_deleted_by"] == rows
    return rows


@pytest.mark.parametrize("seed", range(1, LAG_SEEDS + 1))
async def test_person_who_is_erased_while_services_lag_is_in_no_table_and_others_are_complete(
    workspace: WholeSystem, dsn: str, tmp_path: Path, seed: int
) -> None:
    async with lagging(dsn) as lag:
        life = ErasedLife(workspace, lag, seed)
        await life.begin(tmp_path)
        await life.go_on()
        summary = await life.check(dsn)
    assert summary.refused_events >= 1
    rows = await certified(workspace, summary)
    assert rows.keys() == set(FOLDING)
    assert rows["identity"]["identifiers"] == 3
    # Each leaf of Li that an event was stored under is one.
    assert rows["profile"]["leaves"] >= 1
    assert rows["segment"]["membership_changes"] >= 1
    assert rows["activation"]["journey_facts"] >= 1
    if seed == LAG_SEEDS or FAULT_SEEDS in os.environ:
        # A seed that leaves another state is named.
        await assert_rebuilt_equal(workspace)
