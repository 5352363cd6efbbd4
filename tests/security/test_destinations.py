"""Attacks destinations of a running system: their secrets, their targets and their subjects."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from integration.activation.receiver import Receiver, receiving
from integration.whole.whole_system import WholeSystem, whole_system
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.ingest.v1.admin_service_pb2 import CreateWorkspaceRequest
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from security.private_hosts import AMBIGUOUS_HOSTS, PRIVATE_HOSTS
from service_fixtures import MakeSettings, wait_until
from standardwebhooks.webhooks import Webhook as Verifier

from services.activation.settings import ActivationSettings
from services.chassis.codec.rules import rule_to_proto
from services.client.client import Client
from services.kernel.errors import InvalidField
from services.kernel.rules.forms.json_form import parse_rule

SEGMENT = "buyers"


def with_targets(make_settings: MakeSettings, targets: str) -> MakeSettings:
    """Return `make_settings` with an operator's list of private targets."""

    def make(kind: Any, **fields: Any) -> Any:
        own = {"private_targets": targets} if kind is ActivationSettings else {}
        return make_settings(kind, **(fields | own))

    return make


def webhook(destination_id: str, url: str, secret: str) -> facts_pb.DestinationDefined:
    return facts_pb.DestinationDefined(
        destination_id=destination_id,
        webhook=facts_pb.Webhook(url=url, secret=secret),
        segment_ids=[SEGMENT],
        triggers=[facts_pb.TRIGGER_ENTERED],
    )


def subject(destination_id: str, name: str) -> facts_pb.DestinationDefined:
    return facts_pb.DestinationDefined(
        destination_id=destination_id,
        nats=facts_pb.NatsSubject(subject=name),
        segment_ids=[SEGMENT],
        triggers=[facts_pb.TRIGGER_ENTERED],
    )


async def define(client: Client, to: facts_pb.DestinationDefined) -> pb.DefineDestinationResponse:
    request = pb.DefineDestinationRequest(destination=to)
    return await client.activation.DefineDestination(request)


async def define_segment(client: Client) -> None:
    rule = rule_to_proto(parse_rule({"count": {"event": "bought", "at_least": 1}}))
    segment = SegmentDefined(segment_id=SEGMENT, title="Buyers", rule=rule)
    await client.segment.DefineSegment(segment_pb.DefineSegmentRequest(segment=segment))


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def forms(secret: str) -> list[bytes]:
    """Return the secret as it may be stored: as text, as its bytes, and both encoded again."""
    text = secret.removeprefix("whsec_")
    raw = base64.b64decode(text)
    plain = [text.encode(), raw]
    encoded = [form for each in plain for form in (each.hex().encode(), base64.b64encode(each))]
    return plain + encoded + [text.encode("utf-16-le"), text.encode().hex().upper().encode()]


def files_with(folder: Path, wanted: list[bytes]) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if any(form in content for form in wanted):
                yield path


async def rows_with(conn: asyncpg.Connection, wanted: list[bytes]) -> list[str]:
    """Return the tables of all schemas that have a row with one of these texts or bytes."""
    tables = await conn.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    found = []
    for table in tables:
        rows = await conn.fetch(f"SELECT t::text AS row FROM {table['name']} AS t")
        texts = [row["row"].encode() for row in rows]
        if any(form in text or form.hex().encode() in text for text in texts for form in wanted):
            found.append(table["name"])
    return found


async def test_secret_of_a_webhook_is_stored_nowhere_in_clear(
    make_settings: MakeSettings, internal_key: str, database: str, servers_dir: Path, tmp_path: Path
) -> None:
    async with receiving() as receiver:
        settings = with_targets(make_settings, receiver.target)
        async with whole_system(settings, internal_key, tmp_path) as system:
            await define_segment(system.service)
            secret, other_secret = new_secret(), new_secret()
            to = webhook("coupon", receiver.url(), secret)
            first = await define(system.admin, to)
            repeated = await define(system.admin, to)
            assert (first.changed, repeated.changed) == (True, False)
            await define(system.admin, webhook("same", receiver.url("/same"), other_secret))
            changed = webhook("same", receiver.url("/same"), "")
            changed.title = "the same secret"
            assert (await define(system.admin, changed)).changed
            await system.send("bought", "user_id:ann")
            await system.deliveries("coupon")
            await wait_until(lambda: receiver.keys("/in") and receiver.keys("/same"))
            _verify(receiver, "/in", secret)
            _verify(receiver, "/same", other_secret)
            listed = await system.admin.activation.ListDestinations(pb.ListDestinationsRequest())
            wanted = forms(secret) + forms(other_secret)
            for response in (first, repeated, listed):
                assert not any(f in response.SerializeToString() for f in wanted)
                assert "sealed_secret {" not in str(response)
            conn = await asyncpg.connect(database)
            try:
                assert not await rows_with(conn, wanted)
                planted = [b"bought".hex().encode()]
                assert await rows_with(conn, planted), "the search finds what is stored"
            finally:
                await conn.close()
    # Files of PostgreSQL with its write-ahead log, of NATS, and of the services.
    assert not list(files_with(servers_dir, wanted))
    assert not list(files_with(tmp_path, wanted))
    assert list(files_with(servers_dir, [b"destination_id"])) or list(
        files_with(servers_dir, [receiver.url().encode()])
    ), "the search reads what is stored"


def _verify(receiver: Receiver, path: str, secret: str) -> None:
    (received,) = [each for each in receiver.received if each.path == path]
    assert Verifier(secret).verify(received.body, received.headers)


async def test_tenant_reaches_neither_private_hosts_nor_subjects_of_others(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    async with receiving() as inner, whole_system(make_settings, internal_key, tmp_path) as system:
        await define_segment(system.service)
        for host in (*PRIVATE_HOSTS, *AMBIGUOUS_HOSTS):
            with pytest.raises(InvalidField) as raised:
                await define(system.admin, webhook("w", inner.url(host=host), new_secret()))
            assert raised.value.field == "destination.webhook.url", host
        for name in await _foreign_subjects(system):
            with pytest.raises(InvalidField) as raised:
                await define(system.admin, subject("n", name))
            assert raised.value.field == "destination.nats.subject", name
        await define(system.admin, subject("own", "onefold.out.default.coupons"))
        names = {"private": inner.url(host="localhost"), "unknown": "http://nothing.invalid/in"}
        for destination_id, url in names.items():
            await define(system.admin, webhook(destination_id, url, new_secret()))
        await system.send("bought", "user_id:ann")
        reasons = {name: await _first_reason(system, name) for name in names}
        assert set(reasons.values()) == {
            "the host is unknown, is not public, or did not accept the message"
        }
        assert inner.connections == 0


async def _foreign_subjects(system: WholeSystem) -> list[str]:
    request = CreateWorkspaceRequest(workspace_id="tenant-b", title="B")
    await system.internal.admin.CreateWorkspace(request)
    own = [f"onefold.out.default{end}" for end in ("", ".", "..x", ".*", ".>", ".a b", "x.y")]
    foreign = ["onefold.out.tenant-b.coupons", "onefold.out.x", "onefold.out", "onefold"]
    of_the_system = [
        "onefold.log.0",
        "onefold.in.default.web",
        "onefold.deliver.in",
        "$JS.API.INFO",
    ]
    of_others = ["_INBOX.x", "_INBOX_web.x", "_R_.x", "$SYS.x", "orders.create", "orders", ""]
    return own + foreign + of_the_system + of_others


async def _first_reason(system: WholeSystem, destination_id: str) -> str:
    """Return the reason of a delivery once it was attempted; it may be attempted again."""
    request = pb.ListDeliveriesRequest(destination_id=destination_id)

    async def reasons() -> list[str]:
        response = await system.admin.activation.ListDeliveries(request)
        return [each.reason for each in response.deliveries if each.reason]

    return (await wait_until(reasons))[0]
