"""Endpoints with certificates are reached over TLS only, and follow changes of their files."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from service_fixtures import HANG_S, wait_until
from toy.certificates import Authority
from toy.rpc_services import SOURCE, serving

from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.tls import channel_credentials
from services.chassis.runtime import tls
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics, OperationsServer
from services.chassis.runtime.tls import TlsFiles
from services.kernel.errors import ServiceUnavailable


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def _settings_of(files: TlsFiles, client_ca: Path | None = None) -> dict[str, Any]:
    given: dict[str, Any] = {"tls_certificate_file": files.certificate, "tls_key_file": files.key}
    return given | ({"tls_client_ca_file": client_ca} if client_ca else {})


async def _call(url: str, ca: Path | None, own: TlsFiles | None = None) -> int:
    """Send one event. Raises OnefoldError."""
    credentials = channel_credentials(ca, own)
    async with open_channel(url, SOURCE, credentials=credentials) as channel:
        request = ingest_pb.IngestEventsRequest(events=[{}])
        response = await ingest_grpc.IngestServiceStub(channel).IngestEvents(request, timeout=5)
        return int(response.accepted)


async def test_grpc_with_a_certificate_is_reached_by_clients_that_trust_its_authority(
    authority: Authority, tmp_path: Path
) -> None:
    files = authority.issue("service")
    another = Authority(tmp_path, "another")
    async with serving(**_settings_of(files)) as server:
        for url in (server.url, server.public_url):
            assert await _call(url, authority.file) == 1
            for ca in (None, another.file):
                with pytest.raises(ServiceUnavailable):
                    await _call(url, ca)


async def test_internal_grpc_with_an_authority_of_clients_requires_their_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    files, own = authority.issue("service"), clients.issue("another-service")
    stranger = authority.issue("stranger")
    async with serving(**_settings_of(files, clients.file)) as server:
        assert await _call(server.url, authority.file, own) == 1
        for wrong in (None, stranger):
            with pytest.raises(ServiceUnavailable):
                await _call(server.url, authority.file, wrong)
        assert await _call(server.public_url, authority.file) == 1


async def test_grpc_follows_its_certificate_and_keeps_it_while_the_files_are_wrong(
    authority: Authority, tmp_path: Path
) -> None:
    successor = Authority(tmp_path, "successor")
    files = authority.issue("service")
    async with serving(**_settings_of(files)) as server:
        assert await _call(server.public_url, authority.file) == 1
        files.key.write_text("no key")
        assert await _call(server.public_url, authority.file) == 1
        successor.issue("service")
        assert await _call(server.public_url, successor.file) == 1
        with pytest.raises(ServiceUnavailable):
            await _call(server.public_url, authority.file)


async def _get(port: int, ca: Path) -> int:
    trusting = ssl.create_default_context(cafile=str(ca))
    url = f"https://127.0.0.1:{port}/healthz"
    async with aiohttp.ClientSession() as http, http.get(url, ssl=trusting) as response:
        return response.status


async def _is_trusted(port: int, ca: Path) -> bool:
    try:
        return await _get(port, ca) == 200
    except aiohttp.ClientConnectorCertificateError:
        return False


async def test_http_with_a_certificate_speaks_tls_only_and_follows_its_files(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "RELOAD_S", 0.02)
    successor = Authority(tmp_path, "successor")
    files = authority.issue("service")
    server = OperationsServer(Metrics("test"), host="127.0.0.1", port=0, tls=files)
    async with server.serving(), asyncio.timeout(HANG_S):
        assert await _get(server.port, authority.file) == 200
        assert not await _is_trusted(server.port, successor.file)
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientError):
                await http.get(f"http://127.0.0.1:{server.port}/healthz")
        files.key.write_text("no key")
        stamps: list[tls.Stamp] = []
        stamp = TlsFiles.stamp
        monkeypatch.setattr(
            TlsFiles, "stamp", lambda self: stamps.append(stamp(self)) or stamps[-1]
        )
        await wait_until(lambda: len(stamps) >= 3)
        assert await _get(server.port, authority.file) == 200
        successor.issue("service")
        await wait_until(lambda: _is_trusted(server.port, successor.file))


async def test_http_client_that_does_not_shake_hands_is_cut_off(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.chassis.runtime.http_server.HANDSHAKE_S", 0.2)
    server = OperationsServer(
        Metrics("test"), host="127.0.0.1", port=0, tls=authority.issue("service")
    )
    async with server.serving(), asyncio.timeout(HANG_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()
        assert await _get(server.port, authority.file) == 200


@pytest.mark.parametrize("content", ["", "no certificate"])
async def test_start_with_unusable_files_raises_os_error(
    authority: Authority, content: str
) -> None:
    files = authority.issue("service")
    files.certificate.write_text(content)
    with pytest.raises(ssl.SSLError, match=r"\[SSL|PEM"):
        async with serving(**_settings_of(files)):
            pass


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tls_certificate_file": "{certificate}"}, "needs its key"),
        ({"tls_key_file": "{key}"}, "ONEFOLD_TLS_CERTIFICATE_FILE"),
        ({"tls_client_ca_file": "{key}"}, "ONEFOLD_TLS_CERTIFICATE_FILE"),
        ({"tls_ca_file": "/no/such/file"}, "tls_ca_file"),
    ],
)
def test_settings_of_tls_that_lack_a_file_raise_an_error(
    authority: Authority, fields: dict[str, str], message: str
) -> None:
    files = authority.issue("service")
    given = {n: v.format(certificate=files.certificate, key=files.key) for n, v in fields.items()}
    servers = {"postgres_dsn": "x", "nats_url": "x", "internal_key": "k" * 32, "bus_key": "k" * 32}
    with pytest.raises(ValueError, match=message):
        ServiceSettings(**servers, **given)
