"""Tests that every provider keeps the contract of its channel, against a fake of its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from contract.channels.fake_apns import FakeApns
from contract.channels.fakes import TAKEN, FakeWechat
from contract.channels.rigs import RIGS, destination_of, message_of, opened
from structlog.testing import capture_logs

from services.activation.channels import provider
from services.activation.channels.providers import PROVIDERS
from services.activation.domain.channels import CHANNELS, secrets_of, with_secrets
from services.activation.domain.contracts import Deduplication, Repeat, repeat_of
from services.activation.domain.transitions import AttemptStatus, RetryPolicy, after_attempt

#: What each outcome of a script is for the ledger.
STATUSES = {
    "accepted": AttemptStatus.DELIVERED,
    "later": AttemptStatus.FAILED,
    "refused": AttemptStatus.REJECTED,
    "address_dead": AttemptStatus.ADDRESS_DEAD,
    "credentials": AttemptStatus.CREDENTIALS,
    "malformed": AttemptStatus.LOST,
    "lost": AttemptStatus.LOST,
    "slow": AttemptStatus.LOST,
}
SIGNED_TOKENS = ["fcm", "apns"]
TOKENS = ["fcm", "wechat_template", "wechat_subscribe", "getui", "wecom_app"]
PAIRS = [
    (name, outcome)
    for name, rig in RIGS.items()
    for outcome in STATUSES
    if outcome in TAKEN or outcome in rig.fake.ANSWERS  # type: ignore[attr-defined]
    # The status of a bucket's answer says everything.
    if (name, outcome) != ("s3", "malformed")
]


def losing(name: str) -> list[str]:
    """Return a script that loses an answer; the client itself repeats a PUT once."""
    return ["lost"] * (2 if name == "s3" else 1)


def test_every_provider_has_a_rig() -> None:
    names = {name for name, kind in CHANNELS.items() if kind in PROVIDERS}
    assert names == RIGS.keys()
    for rig in RIGS.values():
        assert {"later", "refused", "credentials"} <= rig.fake.ANSWERS.keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "outcome"), PAIRS)
async def test_answer_of_a_provider_is_judged_by_what_it_means(name: str, outcome: str) -> None:
    async with opened(name, timeout_s=0.5 if outcome == "slow" else 20.0) as rig:
        rig.fake.script = losing(name) if outcome == "lost" else [outcome]
        message = message_of(rig.message)
        with capture_logs() as lines:
            result = await rig.sender.send(rig.destination, message)
        assert not rig.fake.problems
        assert result.status is STATUSES[outcome], result
        assert len(rig.fake.taken) == (outcome in TAKEN)
        for key, to in rig.fake.taken:
            assert key in ("", message.key)
            address = getattr(rig.message, "to", "")
            assert to in ("", address, address.removeprefix("+86"))
        shown = f"{result} {lines}"
        personal = [
            "li.lei",
            "+8613800138000",
            *(getattr(rig.message, n, "") for n in ("to", "text")),
        ]
        hidden = [*personal, *map(str, secrets_of(rig.channel).values())]
        assert not [text for text in hidden if text and text in shown]


@pytest.mark.parametrize("name", RIGS)
async def test_provider_that_is_not_reached_is_tried_later(name: str) -> None:
    async with opened(name) as rig:
        rig.channel = RIGS[name].channel("http://127.0.0.1:1")
        result = await rig.sender.send(rig.destination, message_of(rig.message))
    assert result.status is AttemptStatus.FAILED


@pytest.mark.parametrize("name", [name for name in RIGS if name not in SIGNED_TOKENS])
async def test_wrong_secret_is_turned_away_and_pauses_the_destination(name: str) -> None:
    async with opened(name) as rig:
        wrong = dict.fromkeys(secrets_of(rig.channel), "SECwrong")
        rig.channel = with_secrets(rig.channel, wrong)
        result = await rig.sender.send(rig.destination, message_of(rig.message))
        assert result.status is AttemptStatus.CREDENTIALS
        assert not rig.fake.taken
        transition = after_attempt(result, 99, RetryPolicy(max_attempts=3), 0.5)
        assert transition.state.name == "PENDING", "no number of attempts makes an effect dead"
        assert not transition.counts


@pytest.mark.parametrize("name", RIGS)
async def test_lost_answer_is_treated_as_the_channel_declares(name: str) -> None:
    """The fake takes one message, its answer is lost, and the contract says what follows."""
    async with opened(name) as rig:
        contract, destination = rig.channel.contract, rig.destination
        rig.fake.script = losing(name)
        message = message_of(rig.message, now_s=time.time())
        assert (await rig.sender.send(destination, message)).status is AttemptStatus.LOST
        match repeat_of(contract, 1.0):
            case Repeat.LEAVE:
                assert contract.deduplication is Deduplication.NONE
            case Repeat.SEND:
                again = await rig.sender.send(destination, replace(message, attempt=2))
                assert again.status is AttemptStatus.DELIVERED
                is_window = contract.deduplication is Deduplication.KEYED_FOR_A_WHILE
                assert (repeat_of(contract, contract.window_s) is Repeat.LEAVE) == is_window
            case Repeat.QUERY:
                found = await rig.sender.find(destination, message)
                assert found is not None
                assert found.status is AttemptStatus.DELIVERED
                other = replace(message, key="0" * 32)
                assert await rig.sender.find(destination, other) is None
        assert len(rig.fake.taken) == 1
        assert not rig.fake.problems


@pytest.mark.parametrize("name", TOKENS)
async def test_token_is_fetched_once_by_many_and_again_when_it_has_expired(name: str) -> None:
    async with opened(name) as rig:
        destination = rig.destination
        sending = (rig.sender.send(destination, message_of(rig.message)) for _ in range(10))
        results = await asyncio.gather(*sending)
        assert {result.status for result in results} == {AttemptStatus.DELIVERED}
        assert rig.fake.tokens == 1
        rig.fake.script = ["expired"]
        expired = await rig.sender.send(destination, message_of(rig.message))
        assert expired.status is AttemptStatus.FAILED
        renewed = await rig.sender.send(destination, message_of(rig.message))
        assert renewed.status is AttemptStatus.DELIVERED
        assert rig.fake.tokens == 2
        # Another version of the destination may have other credentials.
        other = destination_of(rig.channel, version=2)
        await rig.sender.send(other, message_of(rig.message))
        assert rig.fake.tokens == 3


@pytest.mark.parametrize("name", SIGNED_TOKENS)
async def test_key_that_is_none_pauses_the_destination(name: str) -> None:
    async with opened(name) as rig:
        rig.channel = with_secrets(rig.channel, {"private_key": "-----BEGIN x"})
        result = await rig.sender.send(rig.destination, message_of(rig.message))
        assert result.status is AttemptStatus.CREDENTIALS


async def test_robot_gets_as_many_posts_in_a_minute_as_it_takes() -> None:
    async with opened("dingtalk_robot") as rig:
        pace = rig.channel.contract.pace
        assert pace is not None
        for _ in range(pace.limit):
            result = await rig.sender.send(rig.destination, message_of(rig.message))
            assert result.status is AttemptStatus.DELIVERED
        for _ in range(3):
            result = await rig.sender.send(rig.destination, message_of(rig.message))
        assert rig.fake.problems == ["too many posts"], "the fake blocks above its own limit"


async def test_subscription_that_is_used_up_refuses_a_message_and_no_address() -> None:
    async with opened("wechat_subscribe") as rig:
        assert isinstance(rig.fake, FakeWechat)
        rig.fake.consents = 1
        first, second = [
            await rig.sender.send(rig.destination, message_of(rig.message)) for _ in range(2)
        ]
        assert first.status is AttemptStatus.DELIVERED
        assert (second.status, second.reason) == (AttemptStatus.REJECTED, "43101")
        rig.fake.consents = 1
        again = await rig.sender.send(rig.destination, message_of(rig.message))
        assert again.status is AttemptStatus.DELIVERED


@pytest.mark.parametrize("name", ["aliyun_sms", "tencent_sms", "dingtalk_robot", "feishu_robot"])
async def test_fake_turns_away_an_old_timestamp(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(time=lambda: time.time() - 4_000, monotonic=time.monotonic)
    monkeypatch.setattr(provider, "time", slow)
    async with opened(name) as rig:
        result = await rig.sender.send(rig.destination, message_of(rig.message))
        assert result.status is AttemptStatus.CREDENTIALS
        assert rig.fake.problems
        assert not rig.fake.taken


async def test_fake_turns_away_a_nonce_that_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened("aliyun_sms") as rig:
        monkeypatch.setattr(provider.secrets, "token_hex", lambda _: "0" * 32)
        first, second = [
            await rig.sender.send(rig.destination, message_of(rig.message)) for _ in range(2)
        ]
        assert (first.status, second.status) == (AttemptStatus.DELIVERED, AttemptStatus.CREDENTIALS)
        assert rig.fake.problems == ["the nonce was used"]


async def test_pushes_share_one_connection_and_one_token() -> None:
    """Apple refuses new tokens more often than every 20 minutes, and connections for each push."""
    async with opened("apns") as rig:
        assert isinstance(rig.fake, FakeApns)
        sending = (rig.sender.send(rig.destination, message_of(rig.message)) for _ in range(20))
        results = await asyncio.gather(*sending)
        assert {result.status for result in results} == {AttemptStatus.DELIVERED}
        assert (rig.fake.connections, len(rig.fake.seen)) == (1, 1)
        rig.fake.script = ["expired"]
        expired = await rig.sender.send(rig.destination, message_of(rig.message))
        assert expired.status is AttemptStatus.FAILED
        renewed = await rig.sender.send(rig.destination, message_of(rig.message))
        assert (renewed.status, len(rig.fake.seen)) == (AttemptStatus.DELIVERED, 2)


async def test_object_is_written_once_whoever_repeats_it() -> None:
    async with opened("s3") as rig:
        message = message_of(rig.message)
        for _ in range(2):
            result = await rig.sender.send(rig.destination, message)
            assert result.status is AttemptStatus.DELIVERED
        assert rig.fake.taken == [(message.key, "")]
