"""Tests the channels to Kafka, SFTP and PostgreSQL against servers on this machine."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import asyncssh
import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult
from confluent_kafka import Consumer, Producer
from contract.channels.rigs import KEYS, LOOPBACK, change, destination_of, message_of
from toy.certificates import Authority

from services.activation.channels import Message, extras
from services.activation.channels.kafka import KafkaSender, result_of_error
from services.activation.channels.postgres import PostgresSender, PostgresServers, result_of_state
from services.activation.channels.sftp import SftpSender
from services.activation.channels.ssrf import Resolver, TargetDialer, TargetGuard
from services.activation.domain.system_channels import Kafka, PostgresTable, Sftp
from services.activation.domain.targets import AllowedTargets
from services.activation.domain.transitions import AttemptStatus

DELIVERED, LOST, FAILED = AttemptStatus.DELIVERED, AttemptStatus.LOST, AttemptStatus.FAILED
CREDENTIALS, REJECTED = AttemptStatus.CREDENTIALS, AttemptStatus.REJECTED
GUARD = TargetGuard(LOOPBACK)
DIALER = TargetDialer(GUARD, Resolver())
NOWHERE = TargetGuard(AllowedTargets())
#: Hosts that the operator allows together, so that none may show why it fails.
RANGE = AllowedTargets(networks=((ip_network("127.0.0.0/8"), frozenset(range(65_536))),))


def message() -> Message:
    return message_of(change("li.lei@x.example"))


# --- PostgreSQL -------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def table(database: str) -> AsyncIterator[tuple[PostgresTable, asyncpg.Connection]]:
    """The settings of a table with the columns that the page names, and a connection to it."""
    conn = await asyncpg.connect(database)
    await conn.execute(
        "CREATE SCHEMA crm; CREATE TABLE crm.messages (effect_id text PRIMARY KEY, message jsonb)"
    )
    dsn = urlsplit(database)
    channel = PostgresTable(
        "127.0.0.1", dsn.port or 0, dsn.path[1:], dsn.username or "", dsn.password or "",
        "crm.messages", "none",
    )  # fmt: skip
    yield channel, conn
    await conn.close()


async def test_row_of_a_message_is_inserted_once_whoever_repeats_it(
    table: tuple[PostgresTable, asyncpg.Connection],
) -> None:
    channel, conn = table
    async with PostgresServers(DIALER, KEYS) as servers:
        sender, sent = PostgresSender(servers), [message() for _ in range(5)]
        for _ in range(2):
            results = [await sender.send(destination_of(channel), each) for each in sent]
            assert {result.status for result in results} == {DELIVERED}
        # The server goes away under an open connection: the answer is lost, the row comes once.
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        fresh = message()
        lost = await sender.send(destination_of(channel), fresh)
        assert lost.status in (LOST, FAILED)
        assert (await sender.send(destination_of(channel), fresh)).status is DELIVERED
    rows = await conn.fetch("SELECT effect_id, message ->> 'type' AS type FROM crm.messages")
    assert sorted(row["effect_id"] for row in rows) == sorted(m.key for m in [*sent, fresh])
    assert {row["type"] for row in rows} == {"segment.entered"}


async def test_what_a_server_lacks_pauses_the_destination_and_names_no_data(
    table: tuple[PostgresTable, asyncpg.Connection],
) -> None:
    channel, _ = table
    async with PostgresServers(DIALER, KEYS) as servers:
        sender = PostgresSender(servers)
        for wrong, state in (
            (replace(channel, table="crm.nothing"), "42P01"),
            (replace(channel, password="wrong"), "28P01"),
            (replace(channel, database="nowhere"), "3D000"),
        ):
            result = await sender.send(destination_of(wrong), message())
            assert (result.status, result.reason) == (CREDENTIALS, f"SQLSTATE {state}")
    assert result_of_state("22P05").status is REJECTED
    assert result_of_state("57P01").status is FAILED


async def test_private_server_is_not_dialled_and_shows_nothing(
    table: tuple[PostgresTable, asyncpg.Connection],
) -> None:
    channel, _ = table
    async with PostgresServers(TargetDialer(NOWHERE, Resolver()), KEYS) as servers:
        result = await PostgresSender(servers).send(destination_of(channel), message())
        assert (result.status, "public" in result.reason) == (FAILED, True)
    # A range of hosts that the operator allows together: all failures have one reason.
    async with PostgresServers(TargetDialer(TargetGuard(RANGE), Resolver()), KEYS) as servers:
        wrong = replace(channel, password="wrong")
        shown = await PostgresSender(servers).send(destination_of(wrong), message())
        assert shown == result


class OneName(AbstractResolver):
    """Resolves every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return


@pytest.mark.parametrize(("name", "is_right"), [("db.x.example", True), ("y.example", False)])
async def test_certificate_of_a_server_is_that_of_its_name(
    tmp_path: Path, name: str, is_right: bool
) -> None:
    """Its address is dialled, so that the name cannot lead elsewhere; the name is what counts."""
    authority = Authority(tmp_path, "ca")
    files = authority.issue(name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    shaken: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        try:
            await writer.start_tls(context)
            shaken.append(bool(await reader.read(1)))
        except (ssl.SSLError, OSError):
            shaken.append(False)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = PostgresTable("db.x.example", port, "d", "u", "p", "t")
    dialer = TargetDialer(GUARD, OneName())
    async with server, PostgresServers(dialer, KEYS, authorities=str(authority.file)) as servers:
        result = await PostgresSender(servers).send(destination_of(channel), message())
    assert result.status is FAILED
    assert any(shaken) is is_right


# --- SFTP -------------------------------------------------------------------------------------


class _Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("shop", "sf-secret")


class _Files(asyncssh.SFTPServer):
    """Serves a folder; a script loses answers."""

    lose: list[str] = []  # noqa: RUF012 - the library makes the objects

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        done = super().posix_rename(oldpath, newpath)
        if self.lose and self.lose.pop(0):
            self.channel.get_connection().abort()
        return done


@asynccontextmanager
async def sftp_server(folder: Path) -> AsyncIterator[Sftp]:
    host_key = asyncssh.generate_private_key("ssh-ed25519")

    def files(channel: Any) -> _Files:
        return _Files(channel, chroot=str(folder).encode())

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=_Server, server_host_keys=[host_key], sftp_factory=files
    )
    public = " ".join(host_key.export_public_key().decode().split()[:2])
    try:
        yield Sftp("127.0.0.1", server.get_port(), public, "shop", "sf-secret", "", "/in")
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture(autouse=True)
def _quiet_library() -> Iterator[None]:
    asyncssh.set_log_level(logging.CRITICAL)
    yield
    _Files.lose = []


async def test_file_is_whole_under_its_name_whatever_answer_is_lost(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    async with sftp_server(tmp_path) as channel, SftpSender(DIALER, KEYS) as sender:
        destination, sent = destination_of(channel), [message() for _ in range(3)]
        for each in sent:
            assert (await sender.send(destination, each)).status is DELIVERED
        _Files.lose = ["lost"]
        fresh = message()
        assert (await sender.send(destination, fresh)).status is LOST
        assert (await sender.send(destination, replace(fresh, attempt=2))).status is DELIVERED
    found = {file.name: file.read_bytes() for file in (tmp_path / "in").iterdir()}
    assert found == {f"{m.key}.json": m.payload for m in [*sent, fresh]}


async def test_wrong_login_host_key_and_folder_pause_the_destination(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    async with sftp_server(tmp_path) as channel, SftpSender(DIALER, KEYS) as sender:
        for wrong in (
            replace(channel, password="wrong"),
            replace(channel, host_key=other),
            replace(channel, folder="/nothing"),
            replace(channel, private_key="-----BEGIN x"),
        ):
            result = await sender.send(destination_of(wrong), message())
            assert result.status is CREDENTIALS, result
            assert "secret" not in result.reason
    assert not list((tmp_path / "in").glob("*.json"))


async def test_host_that_is_private_or_away_is_tried_later(tmp_path: Path) -> None:
    async with sftp_server(tmp_path) as channel:
        async with SftpSender(TargetDialer(NOWHERE, Resolver()), KEYS) as sender:
            assert (await sender.send(destination_of(channel), message())).status is FAILED
        away = replace(channel, port=1)
    async with SftpSender(DIALER, KEYS) as sender:
        assert (await sender.send(destination_of(away), message())).status is FAILED


# --- Kafka ------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[tuple[Kafka, AllowedTargets]]:
    """A cluster with one broker, and what the operator allows."""
    owner = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = owner.list_topics(timeout=10).brokers.values()
    target = f"{broker.host}:{broker.port}"
    yield Kafka(target, "members", "none"), AllowedTargets.parse(target)
    owner.flush()


async def test_records_of_a_person_are_in_order_with_their_keys(
    cluster: tuple[Kafka, AllowedTargets],
) -> None:
    channel, allowed = cluster
    sent = [message() for _ in range(5)]
    async with KafkaSender(TargetGuard(allowed), KEYS) as sender:
        for each in sent:
            assert (await sender.send(destination_of(channel), each)).status is DELIVERED
    consumer = Consumer(
        {
            "bootstrap.servers": channel.brokers,
            "group.id": "g",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe(["members"])
    records = []
    while len(records) < len(sent):
        record = await asyncio.to_thread(consumer.poll, 10.0)
        assert record is not None
        assert not record.error()
        records.append(record)
    await asyncio.to_thread(consumer.close)
    ids = [dict(record.headers())["effect-id"].decode() for record in records]
    assert ids == [each.key for each in sent]
    assert {record.key() for record in records} == {change("li.lei@x.example").profile.id.encode()}
    assert [record.value() for record in records] == [each.payload for each in sent]


async def test_broker_that_the_operator_does_not_name_is_never_dialled(
    cluster: tuple[Kafka, AllowedTargets],
) -> None:
    channel, _ = cluster
    async with KafkaSender(NOWHERE, KEYS) as sender:
        for brokers in (channel.brokers, "kafka.x.example:9092", f"{channel.brokers},9.9.9.9:9092"):
            result = await sender.send(destination_of(replace(channel, brokers=brokers)), message())
            assert result.status is CREDENTIALS
        assert not sender._producers


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("_MSG_TIMED_OUT", LOST),
        ("NOT_ENOUGH_REPLICAS", LOST),
        ("MSG_SIZE_TOO_LARGE", REJECTED),
        ("SASL_AUTHENTICATION_FAILED", CREDENTIALS),
        ("TOPIC_AUTHORIZATION_FAILED", CREDENTIALS),
        ("UNKNOWN_TOPIC_OR_PART", CREDENTIALS),
    ],
)
def test_error_of_kafka_decides_the_result(name: str, status: AttemptStatus) -> None:
    assert result_of_error(name).status is status


@pytest.mark.parametrize(("module", "extra"), [("asyncssh", "sftp"), ("confluent_kafka", "kafka")])
async def test_missing_library_is_named_with_what_to_install(
    cluster: tuple[Kafka, AllowedTargets], monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    channel, allowed = cluster

    def import_nothing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", import_nothing)
    if extra == "kafka":
        async with KafkaSender(TargetGuard(allowed), KEYS) as kafka:
            result = await kafka.send(destination_of(channel), message())
    else:
        sftp = Sftp("127.0.0.1", 1, "ssh-ed25519 AAAA", "u", "p")
        async with SftpSender(DIALER, KEYS) as sender:
            result = await sender.send(destination_of(sftp), message())
    assert result.status is CREDENTIALS
    assert f"onefold[{extra}]" in result.reason
