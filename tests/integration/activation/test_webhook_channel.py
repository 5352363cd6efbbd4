"""Tests one attempt over HTTP: the request, the result of every response, and SSRF protection."""

from __future__ import annotations

import base64
import gc
import json
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult
from integration.activation.ledger_fixture import KEYS, LOOPBACK_TARGETS, SECRET, hook
from integration.activation.receiver import Receiver, receiving, with_headers
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from services.activation.channels import Message
from services.activation.channels.http import (
    MAX_RETRY_AFTER,
    HttpAnswer,
    HttpClient,
    retry_after_seconds,
)
from services.activation.channels.ssrf import TargetGuard
from services.activation.channels.webhook import WebhookSender, judge
from services.activation.domain.sealing import SecretKeys
from services.activation.domain.targets import AllowedTargets
from services.activation.domain.transitions import AttemptResult, AttemptStatus

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
DELIVERED = AttemptResult(AttemptStatus.DELIVERED, "HTTP 200")
NOT_REACHED = AttemptResult(
    AttemptStatus.FAILED, "the host is unknown, is not public, or did not accept the message"
)
NOTHING = AllowedTargets()


@asynccontextmanager
async def sending(
    allowed: AllowedTargets = LOOPBACK_TARGETS,
    *,
    timeout_s: float = 2.0,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[WebhookSender]:
    guard = TargetGuard(allowed)
    async with HttpClient(guard, timeout_s=timeout_s, resolver=resolver) as http:
        yield WebhookSender(http, KEYS)


def message(attempt: int = 1) -> Message:
    return Message(secrets.token_hex(16), '{"name":"王小明"}'.encode(), attempt)


class FakeResolver(AbstractResolver):
    """A name server: each lookup returns the next address, and the last one from then on."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.resolved: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.resolved.append(host)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
        ]

    async def close(self) -> None: ...


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def sender() -> AsyncIterator[WebhookSender]:
    async with sending(timeout_s=5.0) as opened:
        yield opened


async def test_signature_follows_standard_webhooks(
    receiver: Receiver, sender: WebhookSender
) -> None:
    sent = message()
    assert await sender.send(hook(receiver.url()), sent) == DELIVERED
    (received,) = receiver.received
    assert received.body == sent.payload
    assert received.key == sent.key
    assert received.headers["content-type"] == "application/json"
    assert Verifier(SECRET).verify(received.body, received.headers) == json.loads(sent.payload)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(received.body + b" ", received.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(base64.b64encode(bytes(32)).decode()).verify(received.body, received.headers)
    for seconds in (-3_600, -301, 301, 1):
        replayed = dict(received.headers)
        replayed["webhook-timestamp"] = str(int(replayed["webhook-timestamp"]) + seconds)
        with pytest.raises(WebhookVerificationError):
            Verifier(SECRET).verify(received.body, replayed)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, AttemptStatus.DELIVERED) for status in (200, 201, 202, 204, 299)],
        *[(status, AttemptStatus.REJECTED) for status in (300, 301, 304, 400, 401, 403, 404, 422)],
        (410, AttemptStatus.CREDENTIALS),
        *[
            (status, AttemptStatus.FAILED)
            for status in (408, 409, 425, 429, 500, 501, 502, 503, 504)
        ],
    ],
)
async def test_http_status_decides_the_result(
    receiver: Receiver, sender: WebhookSender, status: int, expected: AttemptStatus
) -> None:
    receiver.script = [status]
    result = await sender.send(hook(receiver.url()), message())
    assert result == AttemptResult(expected, f"HTTP {status}")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("9" * 400, MAX_RETRY_AFTER),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sat, 21 Nov 2026 20:01:00 -0000", 60.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("٣", 0.0),
        ("Sat, 99 Nov 99999999999 20:01:00 GMT", 0.0),
    ],
)
def test_retry_after_header_is_parsed(header: str, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_counts_for_failures_only(status: int) -> None:
    def judged(status: int) -> AttemptResult:
        return judge(HttpAnswer(status, {"retry-after": "30"}, b""))

    assert judged(status) == AttemptResult(AttemptStatus.FAILED, f"HTTP {status}", 30.0)
    assert judged(400).retry_after == 0.0
    assert judged(200).retry_after == 0.0


async def test_retry_after_is_read_from_the_response(
    receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.script = [with_headers(429, retry_after="30"), 429]
    sent = message()
    assert (await sender.send(hook(receiver.url()), sent)).retry_after == 30.0
    assert (await sender.send(hook(receiver.url()), sent)).retry_after == 0.0


async def test_redirect_is_not_followed(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [with_headers(307, location=receiver.url("/elsewhere"))]
    result = await sender.send(hook(receiver.url()), message())
    assert result == AttemptResult(AttemptStatus.REJECTED, "HTTP 307")
    assert [each.path for each in receiver.received] == ["/in"]


async def test_cookies_are_not_stored(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [with_headers(200, set_cookie="a=b; Path=/"), 200]
    sent = message()
    for _ in range(2):
        await sender.send(hook(receiver.url()), sent)
    assert all("cookie" not in each.headers for each in receiver.received)


async def test_response_after_the_timeout_fails_the_attempt(receiver: Receiver) -> None:
    receiver.script = [receiver.hang]
    async with sending(timeout_s=0.2) as sender:
        result = await sender.send(hook(receiver.url()), message())
        assert result == AttemptResult(AttemptStatus.FAILED, "no response within 0.2 s")
        assert len(receiver.received) == 1


async def test_endless_response_head_fails_the_attempt(receiver: Receiver) -> None:
    receiver.script = [receiver.drip_head]
    async with sending(timeout_s=0.2) as sender:
        result = await sender.send(hook(receiver.url()), message())
        assert result == AttemptResult(AttemptStatus.FAILED, "no response within 0.2 s")


async def test_endless_response_body_is_ignored(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [receiver.drip_body]
    assert await sender.send(hook(receiver.url()), message()) == DELIVERED


async def test_huge_response_body_is_not_read(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [receiver.huge]
    gc.collect()
    assert await sender.send(hook(receiver.url()), message()) == DELIVERED
    # At most what the buffers of the operating system hold at both ends.
    assert receiver.sent < 32 * 1024 * 1024


async def test_lost_connection_fails_the_attempt(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [receiver.reset]
    result = await sender.send(hook(receiver.url()), message())
    assert result == AttemptResult(AttemptStatus.FAILED, "the connection was lost")


async def test_response_that_is_not_http_fails_the_attempt(
    receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.script = [receiver.nonsense]
    result = await sender.send(hook(receiver.url()), message())
    assert result == AttemptResult(AttemptStatus.FAILED, "the response is not HTTP")


async def test_refused_connection_fails_the_attempt(sender: WebhookSender) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        result = await sender.send(hook(f"http://127.0.0.1:{bound.getsockname()[1]}/"), message())
    assert result == AttemptResult(AttemptStatus.FAILED, "no connection")


async def test_name_without_address_fails_the_attempt() -> None:
    async with sending(resolver=FakeResolver()) as sender:
        result = await sender.send(hook("http://unknown.invalid/"), message())
        assert result == AttemptResult(AttemptStatus.FAILED, NOT_REACHED.reason)


async def test_plain_http_receiver_of_https_url_fails_the_attempt(
    receiver: Receiver, sender: WebhookSender
) -> None:
    url = receiver.url().replace("http:", "https:")
    assert (await sender.send(hook(url), message())).status is AttemptStatus.FAILED


@pytest.mark.parametrize("host", ["a..b", "a" * 70, ""])
async def test_malformed_host_fails_the_attempt(sender: WebhookSender, host: str) -> None:
    result = await sender.send(hook(f"http://{host}/in"), message())
    assert result.status in (AttemptStatus.FAILED, AttemptStatus.REJECTED)


async def test_connection_is_reused(receiver: Receiver, sender: WebhookSender) -> None:
    for status in (200, 500, 400, 204):
        receiver.script = [status]
        await sender.send(hook(receiver.url()), message())
    ports = {each.headers["x-peer"] for each in receiver.received}
    assert len(ports) == 1


PRIVATE_HOSTS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "169.254.169.254",
    "100.64.0.1",
    "10.0.0.1",
    "[fd00::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
]


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
async def test_private_address_is_not_dialled(receiver: Receiver, host: str) -> None:
    async with sending(NOTHING) as sender:
        result = await sender.send(hook(receiver.url(host=host)), message())
        assert result == NOT_REACHED
        assert not receiver.received


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "ⓛocalhost"])
async def test_name_of_the_local_machine_is_not_dialled(receiver: Receiver, name: str) -> None:
    async with sending(NOTHING) as sender:
        result = await sender.send(hook(receiver.url(host=name)), message())
        assert result == NOT_REACHED
        assert not receiver.received


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.1.2.3", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1"]
)
async def test_name_with_private_address_is_not_dialled(receiver: Receiver, address: str) -> None:
    names = FakeResolver(address)
    async with sending(NOTHING, resolver=names) as sender:
        result = await sender.send(hook(receiver.url(host="x.example")), message())
        assert result == NOT_REACHED
        assert names.resolved == ["x.example"]
        assert not receiver.received


async def test_name_that_changes_to_a_private_address_is_not_dialled(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is public when it is resolved and private when it is dialled."""
    async with sending(NOTHING, resolver=FakeResolver("127.0.0.1")) as sender:
        monkeypatch.setattr(
            "services.activation.channels.ssrf.GuardedResolver.resolve",
            lambda self, *args, **kwargs: self._inner.resolve(*args, **kwargs),
        )
        result = await sender.send(hook(receiver.url(host="x.example")), message())
        assert result == NOT_REACHED
        assert not receiver.received


async def test_redirect_to_a_private_address_is_not_followed(receiver: Receiver) -> None:
    receiver.script = [with_headers(302, location="http://169.254.169.254/latest/meta-data")]
    async with sending() as sender:
        result = await sender.send(hook(receiver.url()), message())
        assert result == AttemptResult(AttemptStatus.REJECTED, "HTTP 302")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "１２７.０.０.１"]
)
async def test_private_target_is_reached_where_allowed(
    receiver: Receiver, sender: WebhookSender, host: str
) -> None:
    assert await sender.send(hook(receiver.url(host=host)), message()) == DELIVERED


#: What a private host does with a message instead of accepting it.
REFUSALS: list[int | str] = [400, 404, 429, 503, "nonsense", "reset", "closed"]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("name", ["127.0.0.1", "x.example"])
async def test_refusals_of_a_private_host_in_an_allowed_network_are_alike(
    receiver: Receiver, refusal: int | str, name: str
) -> None:
    receiver.script = [getattr(receiver, refusal, 0) if isinstance(refusal, str) else refusal]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1] if refusal == "closed" else receiver.port
        allowed = AllowedTargets.parse(f"127.0.0.0/8:{port}")
        async with sending(allowed, resolver=FakeResolver("127.0.0.1")) as sender:
            result = await sender.send(hook(f"http://{name}:{port}/in"), message())
    assert result == NOT_REACHED


async def test_private_host_in_an_allowed_network_gets_messages(receiver: Receiver) -> None:
    async with sending(AllowedTargets.parse(f"127.0.0.0/8:{receiver.port}")) as sender:
        assert await sender.send(hook(receiver.url()), message()) == DELIVERED


async def test_host_named_by_the_operator_gets_messages_and_reasons(receiver: Receiver) -> None:
    allowed = AllowedTargets.parse(f"coupons.internal:{receiver.port}")
    names = FakeResolver("127.0.0.1")
    async with sending(allowed, resolver=names) as sender:
        to = hook(receiver.url(host="coupons.internal"))
        assert await sender.send(to, message()) == DELIVERED
        receiver.script = [404]
        rejected = await sender.send(to, message())
        assert rejected == AttemptResult(AttemptStatus.REJECTED, "HTTP 404")
        other = await sender.send(hook(receiver.url(host="other.internal")), message())
        assert other == NOT_REACHED


async def test_name_of_a_private_host_has_the_result_of_an_unknown_name() -> None:
    results = set()
    for names in (FakeResolver(), FakeResolver("10.1.2.3"), FakeResolver("127.0.0.1")):
        async with sending(NOTHING, resolver=names) as sender:
            results.add(await sender.send(hook("http://x.example/in"), message()))
    assert results == {NOT_REACHED}


async def test_secret_of_an_unknown_key_fails_the_attempt_before_a_connection(
    receiver: Receiver,
) -> None:
    other = SecretKeys({2: bytes(32)})
    async with HttpClient(TargetGuard(LOOPBACK_TARGETS)) as http:
        sender = WebhookSender(http, other)
        result = await sender.send(hook(receiver.url()), message())
    assert result.status is AttemptStatus.FAILED
    assert "key version 1" in result.reason
    assert not receiver.received
