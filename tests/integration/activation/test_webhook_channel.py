"""One attempt over HTTP: what is sent, what every answer means, and where nothing is sent."""

from __future__ import annotations

import base64
import gc
import json
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult
from integration.activation.receiver import Receiver, receiving, with_headers
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from services.activation.channels import Message
from services.activation.channels.webhook import MAX_RETRY_AFTER, WebhookSender, judge, pause_asked
from services.activation.domain.model import Destination, Trigger, Webhook
from services.activation.domain.transitions import Outcome, Verdict
from services.kernel.ids import WorkspaceId

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
DELIVERED = Outcome(Verdict.DELIVERED, "HTTP 200")


def destination(url: str) -> Destination:
    triggers = frozenset({Trigger.ENTERED})
    channel = Webhook(url, SECRET)
    return Destination(WorkspaceId("w"), "d", 1, "", channel, ("s",), triggers, b"{}", ())


def message(attempt: int = 1) -> Message:
    return Message(secrets.token_hex(16), '{"name":"王小明"}'.encode(), attempt)


class Names(AbstractResolver):
    """A name server under our control: each look-up gets the next answer, the last for ever."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        kind = socket.AF_INET6 if ":" in answer else socket.AF_INET
        return [ResolveResult(hostname=host, host=answer, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None: ...


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def sender() -> AsyncIterator[WebhookSender]:
    async with WebhookSender(private=True, timeout_s=5.0) as opened:
        yield opened


async def test_the_signature_is_what_the_standard_asks(
    receiver: Receiver, sender: WebhookSender
) -> None:
    sent = message()
    assert await sender.send(destination(receiver.url()), sent) == DELIVERED
    (got,) = receiver.got
    assert got.body == sent.body
    assert got.key == sent.key
    assert got.headers["content-type"] == "application/json"
    assert Verifier(SECRET).verify(got.body, got.headers) == json.loads(sent.body)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(got.body + b" ", got.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(base64.b64encode(bytes(32)).decode()).verify(got.body, got.headers)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *[(status, Verdict.DELIVERED) for status in (200, 201, 202, 204, 299)],
        *[(status, Verdict.REFUSED) for status in (300, 301, 304, 400, 401, 403, 404, 410, 422)],
        *[(status, Verdict.FAILED) for status in (408, 409, 425, 429, 500, 501, 502, 503, 504)],
    ],
)
async def test_what_a_status_means(
    receiver: Receiver, sender: WebhookSender, status: int, verdict: Verdict
) -> None:
    receiver.script = [status]
    outcome = await sender.send(destination(receiver.url()), message())
    assert outcome == Outcome(verdict, f"HTTP {status}")


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
def test_how_long_a_receiver_asks_to_wait(header: str, seconds: float) -> None:
    assert pause_asked(header, NOW) == seconds


@pytest.mark.parametrize("status", [429, 503])
def test_only_a_failure_can_ask_to_wait(status: int) -> None:
    assert judge(status, "30") == Outcome(Verdict.FAILED, f"HTTP {status}", 30.0)
    assert judge(400, "30").retry_after == 0.0
    assert judge(200, "30").retry_after == 0.0


async def test_retry_after_is_read_from_the_answer(
    receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.script = [with_headers(429, retry_after="30"), 429]
    sent = message()
    assert (await sender.send(destination(receiver.url()), sent)).retry_after == 30.0
    assert (await sender.send(destination(receiver.url()), sent)).retry_after == 0.0


async def test_a_redirect_is_not_followed(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [with_headers(307, location=receiver.url("/elsewhere"))]
    outcome = await sender.send(destination(receiver.url()), message())
    assert outcome == Outcome(Verdict.REFUSED, "HTTP 307")
    assert [got.path for got in receiver.got] == ["/in"]


async def test_cookies_are_not_kept(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [with_headers(200, set_cookie="a=b; Path=/"), 200]
    sent = message()
    for _ in range(2):
        await sender.send(destination(receiver.url()), sent)
    assert all("cookie" not in got.headers for got in receiver.got)


async def test_no_answer_in_time_is_a_failure_though_the_receiver_has_it(
    receiver: Receiver,
) -> None:
    receiver.script = [receiver.hang]
    async with WebhookSender(private=True, timeout_s=0.2) as sender:
        outcome = await sender.send(destination(receiver.url()), message())
        assert outcome == Outcome(Verdict.FAILED, "no answer within 0.2 s")
        assert len(receiver.got) == 1


async def test_a_head_that_does_not_end_is_a_failure(receiver: Receiver) -> None:
    receiver.script = [receiver.drip_head]
    async with WebhookSender(private=True, timeout_s=0.2) as sender:
        outcome = await sender.send(destination(receiver.url()), message())
        assert outcome == Outcome(Verdict.FAILED, "no answer within 0.2 s")


async def test_a_body_that_does_not_end_changes_nothing(
    receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.script = [receiver.drip_body]
    assert await sender.send(destination(receiver.url()), message()) == DELIVERED


async def test_a_huge_answer_is_not_taken_in(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [receiver.huge]
    gc.collect()
    assert await sender.send(destination(receiver.url()), message()) == DELIVERED
    # What the kernel's buffers hold on both ends, and not more.
    assert receiver.sent < 32 * 1024 * 1024


async def test_a_lost_connection_is_a_failure(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [receiver.reset]
    outcome = await sender.send(destination(receiver.url()), message())
    assert outcome == Outcome(Verdict.FAILED, "the connection was lost")


async def test_nonsense_is_a_failure(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.script = [receiver.nonsense]
    outcome = await sender.send(destination(receiver.url()), message())
    assert outcome == Outcome(Verdict.FAILED, "the answer is no HTTP")


async def test_nobody_there_is_a_failure(sender: WebhookSender) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        outcome = await sender.send(
            destination(f"http://127.0.0.1:{taken.getsockname()[1]}/"), message()
        )
    assert outcome == Outcome(Verdict.FAILED, "no connection")


async def test_a_name_without_an_address_is_a_failure() -> None:
    async with WebhookSender(private=True, resolver=Names()) as sender:
        outcome = await sender.send(destination("http://nobody.invalid/"), message())
        assert outcome == Outcome(Verdict.FAILED, "the host has no address")


async def test_plain_http_where_tls_is_wanted_is_a_failure(
    receiver: Receiver, sender: WebhookSender
) -> None:
    url = receiver.url().replace("http:", "https:")
    assert (await sender.send(destination(url), message())).verdict is Verdict.FAILED


@pytest.mark.parametrize("host", ["a..b", "a" * 70, ""])
async def test_what_is_no_host_kills_nothing(sender: WebhookSender, host: str) -> None:
    outcome = await sender.send(destination(f"http://{host}/in"), message())
    assert outcome.verdict in (Verdict.FAILED, Verdict.REFUSED)


async def test_a_connection_is_used_again(receiver: Receiver, sender: WebhookSender) -> None:
    for status in (200, 500, 400, 204):
        receiver.script = [status]
        await sender.send(destination(receiver.url()), message())
    ports = {got.headers["x-peer"] for got in receiver.got}
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
async def test_private_addresses_are_not_dialled(receiver: Receiver, host: str) -> None:
    async with WebhookSender(private=False, timeout_s=2.0) as sender:
        outcome = await sender.send(destination(receiver.url(host=host)), message())
        assert outcome.verdict is Verdict.REFUSED
        assert not receiver.got


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "ⓛocalhost"])
async def test_names_of_this_machine_are_not_dialled(receiver: Receiver, name: str) -> None:
    async with WebhookSender(private=False, timeout_s=2.0) as sender:
        outcome = await sender.send(destination(receiver.url(host=name)), message())
        assert outcome == Outcome(Verdict.REFUSED, "the host has an address that is not public")
        assert not receiver.got


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.1.2.3", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1"]
)
async def test_a_name_that_leads_inside_is_not_dialled(receiver: Receiver, address: str) -> None:
    names = Names(address)
    async with WebhookSender(private=False, timeout_s=2.0, resolver=names) as sender:
        outcome = await sender.send(destination(receiver.url(host="x.example")), message())
        assert outcome == Outcome(Verdict.REFUSED, "the host has an address that is not public")
        assert names.asked == ["x.example"]
        assert not receiver.got


async def test_a_name_that_is_bound_anew_is_not_dialled(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public when it is looked up, private at the moment of dialling: the last door is shut."""
    async with WebhookSender(private=False, timeout_s=2.0, resolver=Names("127.0.0.1")) as sender:
        monkeypatch.setattr(
            "services.activation.channels.ssrf.PublicResolver.resolve",
            lambda self, *asked, **named: self._inner.resolve(*asked, **named),
        )
        outcome = await sender.send(destination(receiver.url(host="x.example")), message())
        assert outcome == Outcome(Verdict.REFUSED, "the host has an address that is not public")
        assert not receiver.got


async def test_a_redirect_inside_is_not_followed(receiver: Receiver) -> None:
    receiver.script = [with_headers(302, location="http://169.254.169.254/latest/meta-data")]
    async with WebhookSender(private=True, timeout_s=2.0) as sender:
        outcome = await sender.send(destination(receiver.url()), message())
        assert outcome == Outcome(Verdict.REFUSED, "HTTP 302")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "１２７.０.０.１"]
)
async def test_private_targets_are_reached_where_they_are_allowed(
    receiver: Receiver, sender: WebhookSender, host: str
) -> None:
    assert await sender.send(destination(receiver.url(host=host)), message()) == DELIVERED
