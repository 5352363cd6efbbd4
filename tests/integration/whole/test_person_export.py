"""Everything that the services know about a person is exported, and nothing about another one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from integration.whole.whole_system import WholeSystem, identifier
from onefold.activation.v1.desk_pb2 import DeskQueue
from onefold.activation.v1.desk_service_pb2 import DefineQueueRequest, OpenTicketRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.type.v1 import event_pb2

from services.cli.commands.packs import apply_pack
from services.cli.commands.person_exports import known_about
from services.cli.definitions import read_pack
from services.client.client import Client
from services.kernel.errors import NotFound

LI, DEVICE, WANG = "user_id:li-pl4nted", "anonymous_id:d-pl4nted", "user_id:wang-0ther"
CARD, REASON = "11010519491231002X", "the person asks for a copy"
PACK = """
contact_policy:
  purposes:
    marketing: {consent: none}
segments:
  - {id: fans, title: Fans, rule: {count: {event: viewed, at_least: 2}}}
  - {id: buyers, title: Buyers, rule: {count: {event: bought, at_least: 1}}}
destinations:
  - {id: letters, file: {name: letters.ndjson}, segments: [fans], on: [entered]}
  - {id: unused, file: {name: unused.ndjson}, segments: [buyers], on: [entered]}
"""


async def send(system: WholeSystem, number: int, *names: str, **properties: Any) -> None:
    """Send an event of a person; its properties are traits where it has no name."""
    name = properties.pop("name", "")
    event = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK if name else event_pb2.EVENT_TYPE_IDENTIFY,
        name=name,
        message_id=f"e-{number}",
        identifiers=[identifier(each) for each in names],
        **{"properties" if name else "traits": json.dumps(properties).encode()},
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections


async def exported(client: Client, person: str) -> dict[str, Any]:
    """Return an export as it is written into a file."""
    known: dict[str, Any] = json.loads(msgspec.json.encode(await known_about(client, person)))
    return known


@pytest_asyncio.fixture(loop_scope="session")
async def lived(workspace: WholeSystem, tmp_path: Path) -> WholeSystem:
    """Two people: one got a message under a profile that was merged into another one later."""
    file = tmp_path / "pack.yaml"
    file.write_text(PACK, encoding="utf-8")
    await apply_pack(workspace.admin, read_pack(file, {}))
    await workspace.drain()
    await send(workspace, 1, LI, name="viewed", page="a-pl4nted")
    await send(workspace, 2, WANG, name="viewed", page="b-0ther")
    await send(workspace, 3, WANG, name="viewed", page="b-0ther")
    for number in (4, 5):
        await send(workspace, number, DEVICE, name="viewed", page="c-pl4nted")
    await workspace.deliveries("letters")
    await send(workspace, 6, LI, DEVICE, id_card=CARD, city="城-pl4nted")
    await send(workspace, 7, LI, name="consent_changed", purpose="marketing", granted=True)
    queue = DeskQueue(queue_id="desk", title="Desk")
    await workspace.admin.desk.DefineQueue(DefineQueueRequest(queue=queue))
    await workspace.drain()
    opened = OpenTicketRequest(
        identifiers=[identifier(LI)],
        queue_id="desk",
        title="t-pl4nted",
        channel="phone",
        request_id="r-1",
    )
    await workspace.service.desk.OpenTicket(opened)
    await workspace.drain()
    await workspace.deliveries("letters")
    return workspace


async def test_export_of_a_person_has_all_of_one_and_nothing_of_another(lived: WholeSystem) -> None:
    await lived.service.profile.GetProfile(GetProfileRequest(identifier=identifier(LI)))
    known = await exported(lived.admin, LI)
    own = {one["identifier"]["value"] for one in known["identifiers"]}
    assert own == {LI.partition(":")[2], DEVICE.partition(":")[2]}
    assert sum(one["name"] == "viewed" for one in known["timeline"]) == 3
    assert [one["source"]["source_id"] for one in known["sources"]] == ["web"]
    assert [one["segment_id"] for one in known["segments"]] == ["fans"]
    assert known["purposes"].keys() == {"marketing"}
    assert [one["purpose"] for one in known["profile"]["consents"]] == ["marketing"]
    assert [one["ticket"]["title"] for one in known["tickets"]] == ["t-pl4nted"]
    assert {one["method"].rpartition("/")[2] for one in known["reads"]} >= {"GetProfile"}
    assert "0ther" not in json.dumps(known, ensure_ascii=False)
    # A message went to the profile of then, which was merged into this one.
    ids = {one["profile_id"] for one in known["deliveries"]}
    assert ids - {known["profile"]["profile_id"]}
    assert {one["destination_id"] for one in known["deliveries"]} == {"letters"}
    assert [one["destination"]["destination_id"] for one in known["receivers"]] == ["letters"]
    with pytest.raises(NotFound):
        await known_about(lived.admin, "user_id:no-one")


async def test_export_masks_sensitive_values_unless_a_reason_is_stated(lived: WholeSystem) -> None:
    masked = json.dumps(await exported(lived.admin, LI))
    assert CARD not in masked
    assert '"***"' in masked
    stated = replace(lived.admin.endpoints, unmask_reason=REASON)
    async with Client(stated) as client:
        known = await exported(client, LI)
        again = await exported(client, LI)
    assert CARD in json.dumps(known)
    assert REASON in {one["reason"] for one in again["reads"]}
