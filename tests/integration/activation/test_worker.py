"""Tests attempts, their order, retries and results against a receiver that responds by a script."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from integration.activation.ledger_fixture import (
    MAX_IN_FLIGHT,
    QUICK,
    SECRET,
    FakeRenderer,
    Ledger,
    change,
    hook,
    keys_of,
    profile,
    webhook,
)
from integration.activation.receiver import Receiver, Response, receiving, with_headers
from service_fixtures import wait_until
from standardwebhooks.webhooks import Webhook as Verifier
from structlog.testing import capture_logs

from services.activation.delivery import dispatcher as dispatcher_module
from services.activation.delivery import worker as worker_module
from services.activation.domain import read_ahead
from services.activation.domain.model import DeliveryState
from services.activation.domain.transitions import RetryPolicy
from services.activation.store import effects as store
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import to_hex
from services.kernel.time import DAY_US

SLOW = RetryPolicy(max_attempts=3, initial_backoff=30.0)


async def test_every_effect_is_sent_once(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    effects = await ledger.add([change(n) for n in range(300)], to)
    async with ledger.dispatching():
        await ledger.all_are(DeliveryState.DELIVERED)
    assert Counter(receiver.keys()) == Counter(to_hex(e.effect_id) for e in effects)
    for received in receiver.received:
        message = Verifier(SECRET).verify(received.body, received.headers)
        assert message["id"] == received.key
        assert message["type"] == "segment.entered"
    assert {row["attempts"] for row in await ledger.rows()} == {1}


async def test_effects_are_sent_after_every_wakeup_without_polls(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without polls, one lost wakeup would leave effects unsent."""
    monkeypatch.setattr(dispatcher_module, "POLL_INTERVAL_S", 3_600.0)
    monkeypatch.setattr(worker_module, "START_INTERVAL_S", 0.01)
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(0)], to)
    async with ledger.dispatching() as dispatcher:
        for n in range(1, 40):
            await wait_until(lambda: len(receiver.received) >= n)  # noqa: B023 - runs at once
            await ledger.add([change(n)], to)
            dispatcher.wake(keys_of(to))
        await ledger.all_are(DeliveryState.DELIVERED)


async def test_effects_of_many_wakeups_are_started_together(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    interval_s, starts = 0.5, 0
    monkeypatch.setattr(worker_module, "START_INTERVAL_S", interval_s)
    claim = store.claim

    async def counted(*args: Any, **options: Any) -> store.Claim:
        nonlocal starts
        claimed = await claim(*args, **options)
        starts += bool(claimed.attempts)
        return claimed

    monkeypatch.setattr(store, "claim", counted)
    to = hook(receiver.url())
    await ledger.define(to)
    began = asyncio.get_running_loop().time()
    async with ledger.dispatching() as dispatcher:
        for n in range(20):
            await ledger.add([change(n)], to)
            dispatcher.wake(keys_of(to))
            await asyncio.sleep(0.02)
        await ledger.all_are(DeliveryState.DELIVERED)
    took_s = asyncio.get_running_loop().time() - began
    assert starts <= 2 + took_s / interval_s


async def test_attempts_at_a_healthy_destination_begin_in_groups(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group costs the gate and the ledger as much as one; calls beside each other are bounded."""
    monkeypatch.setattr(read_ahead, "LONG_S", 60.0)
    monkeypatch.setattr(worker_module, "TOO_LONG_S", 60.0)
    claim, starts, calls, most = store.claim, 0, 0, 0

    async def counted(*args: Any, **options: Any) -> store.Claim:
        nonlocal starts
        claimed = await claim(*args, **options)
        starts += bool(claimed.attempts)
        return claimed

    async def respond(_: web.Request) -> web.StreamResponse:
        nonlocal calls, most
        calls += 1
        most = max(most, calls)
        await asyncio.sleep(0)
        calls -= 1
        return web.Response()

    monkeypatch.setattr(store, "claim", counted)
    receiver.script = [respond]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(n) for n in range(800)], to)
    async with ledger.dispatching(max_in_flight=8):
        await ledger.all_are(DeliveryState.DELIVERED)
    assert len(receiver.received) == 800
    assert most <= 8
    assert starts <= 40, "one start for each free call would be a hundred"


@pytest.mark.parametrize(
    ("script", "state", "attempts", "reason"),
    [
        ([500, 500, 200], DeliveryState.DELIVERED, 3, "HTTP 200"),
        ([400], DeliveryState.DEAD, 1, "HTTP 400"),
        ([500, 400], DeliveryState.DEAD, 2, "HTTP 400"),
        ([429, 503, 204], DeliveryState.DELIVERED, 3, "HTTP 204"),
        ([500], DeliveryState.DEAD, QUICK.max_attempts, "HTTP 500"),
        ([with_headers(302, location="http://127.0.0.1:1/")], DeliveryState.DEAD, 1, "HTTP 302"),
    ],
)
async def test_responses_decide_state_attempts_and_reason(
    ledger: Ledger,
    receiver: Receiver,
    script: list[Response],
    state: DeliveryState,
    attempts: int,
    reason: str,
) -> None:
    receiver.script = script
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    async with ledger.dispatching():
        await ledger.all_are(state)
    row = await ledger.row(effect)
    assert (row["attempts"], row["reason"]) == (attempts, reason)
    assert receiver.keys() == [to_hex(effect.effect_id)] * attempts
    assert len({each.body for each in receiver.received}) == 1, "every attempt sends the same"


async def test_lost_connections_and_slow_responses_are_retried(
    ledger: Ledger, receiver: Receiver
) -> None:
    receiver.script = [receiver.reset, receiver.drip_head, receiver.nonsense, receiver.hang, 200]
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    async with ledger.dispatching(timeout_s=0.2):
        await ledger.all_are(DeliveryState.DELIVERED)
    # On a slow machine the last response may be late too; then there is one more attempt.
    assert len(receiver.keys()) >= 5
    assert set(receiver.keys()) == {to_hex(effect.effect_id)}
    assert len({each.body for each in receiver.received}) == 1


async def test_receiver_with_retry_after_gets_no_attempt_before(
    ledger: Ledger, receiver: Receiver
) -> None:
    receiver.paths["/busy"] = [with_headers(429, retry_after="3600")]
    to = hook(receiver.url("/busy"))
    await ledger.define(to)
    (first,) = await ledger.add([change(1)], to)
    async with ledger.dispatching(retry_policy=RetryPolicy()) as dispatcher:

        async def is_postponed() -> bool:
            return (await ledger.row(first))["reason"] == "HTTP 429"

        await wait_until(is_postponed)
        await ledger.add([change(n) for n in range(2, 50)], to)
        dispatcher.wake(keys_of(to))
        due = "extract(epoch FROM due_at - now()) > 3500"
        assert await ledger.database.pool.fetchval(
            f"SELECT {due} FROM effect WHERE effect_id = $1", first.effect_id
        )
        other = hook(receiver.url(), "other")
        await ledger.define(other)
        await ledger.add([change(1)], other)
        await wait_until(lambda: receiver.keys("/in"))
    assert len(receiver.keys("/busy")) == 1


async def test_effects_of_a_profile_are_sent_in_order(ledger: Ledger, receiver: Receiver) -> None:
    """Also across segments, and also where the first message fails for a while."""
    receiver.script = [500, 200]
    to = hook(receiver.url(), segment_ids=("trial", "other"))
    await ledger.define(to)
    changes = [
        change(n, ordinal, segment_id=segment, changed_at_us=at)
        for n in range(12)
        for at, (segment, ordinal) in enumerate(
            [("trial", 1), ("other", 1), ("trial", 2), ("trial", 3), ("other", 2)], 1
        )
    ]
    effects = await ledger.add(reversed(changes), to)
    async with ledger.dispatching():
        await ledger.all_are(DeliveryState.DELIVERED)
    changes_by_key = {to_hex(e.effect_id): (e.profile_id, e.changed_at_us) for e in effects}
    received: dict[bytes, list[int]] = {}
    for each in receiver.received:
        profile_id, changed_at_us = changes_by_key[each.key]
        received.setdefault(profile_id, []).append(changed_at_us)
    assert set(map(tuple, received.values())) == {(1, 1, 2, 2, 3, 3, 4, 4, 5, 5)}


async def test_effect_out_of_order_waits_for_its_predecessor(
    ledger: Ledger, receiver: Receiver
) -> None:
    """The shard with the exit is ahead of the shard with the entry."""
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.advance_to(1_000)
    (left,) = await ledger.add([change(1, 2, changed_at_us=2_000)], to)
    assert (await ledger.row(left))["out_of_order"]
    async with ledger.dispatching() as dispatcher:
        (entered,) = await ledger.add([change(2, 1, changed_at_us=2_000)], to)
        await wait_until(lambda: receiver.keys() == [to_hex(entered.effect_id)])
        (predecessor,) = await ledger.add([change(1, 1, changed_at_us=1_500)], to)
        dispatcher.wake(keys_of(to))
        await wait_until(lambda: to_hex(predecessor.effect_id) in list(receiver.keys()))
        assert to_hex(left.effect_id) not in list(receiver.keys())
        await ledger.advance_to(2_001)
        await ledger.all_are(DeliveryState.DELIVERED)
    assert receiver.keys()[1:] == [to_hex(predecessor.effect_id), to_hex(left.effect_id)]


async def test_exit_of_a_member_from_before_the_destination_is_sent(
    ledger: Ledger, receiver: Receiver
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.advance_to(5_000)
    await ledger.add([change(1, 2)], to)
    async with ledger.dispatching():
        await ledger.all_are(DeliveryState.DELIVERED)


async def test_effects_added_together_are_in_order(ledger: Ledger) -> None:
    to = hook("http://127.0.0.1:1/")
    effects = await ledger.add([change(1, n) for n in (1, 2, 3)], to)
    assert [(await ledger.row(e))["out_of_order"] for e in effects] == [False] * 3


async def test_blocked_effect_is_not_claimed_repeatedly(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.script = [500]
    receiver.paths["/other"] = [200]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1, 1), change(1, 2)], to)
    claims: list[int] = []
    claim = store.claim

    async def counted(*args: object, **kwargs: object) -> object:
        claimed = await claim(*args, **kwargs)  # type: ignore[arg-type]
        claims.append(len(claimed.attempts))
        return claimed

    monkeypatch.setattr(store, "claim", counted)
    async with ledger.dispatching(retry_policy=SLOW) as dispatcher:

        async def failed() -> bool:
            return bool(await ledger.rows(reason="HTTP 500"))

        await wait_until(failed)
        await ledger.define(hook(receiver.url("/other"), "other"))
        dispatcher.reload()
        await ledger.add([change(n) for n in range(50)], hook(receiver.url("/other"), "other"))
        await wait_until(lambda: len(receiver.keys("/other")) == 50)
    assert len(receiver.keys("/in")) == 1
    assert len(claims) < 30


async def test_hanging_destination_blocks_no_other(ledger: Ledger, receiver: Receiver) -> None:
    receiver.paths = {f"/hang{n}": [receiver.hang] for n in range(6)}
    bad = [hook(receiver.url(f"/hang{n}"), f"hang{n}") for n in range(6)]
    good = hook(receiver.url("/good"), "good")
    await ledger.define(*bad, good)
    await ledger.add([change(n) for n in range(200)], *bad, good)
    async with ledger.dispatching(drain_s=0.1):
        await wait_until(lambda: len(receiver.keys("/good")) == 200)
        hanging = Counter(each.path for each in receiver.received if "hang" in each.path)
        assert max(hanging.values()) <= MAX_IN_FLIGHT
        states = await ledger.rows(destination_id="good")
        assert {DeliveryState(r["state"]) for r in states} <= {
            DeliveryState.DELIVERED,
            DeliveryState.UNKNOWN,
        }
        receiver.released.set()


async def test_hanging_message_blocks_no_other(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    effects = await ledger.add([change(n) for n in range(500)], to)
    slow = {to_hex(e.effect_id) for e in effects[: MAX_IN_FLIGHT // 2]}

    async def respond(request: web.Request) -> web.StreamResponse:
        if request.headers["webhook-id"] in slow:
            await receiver.released.wait()
        return web.Response()

    receiver.script = [respond]
    async with ledger.dispatching():
        await wait_until(lambda: len(set(receiver.keys()) - slow) == 500 - len(slow))
        receiver.released.set()
        await ledger.all_are(DeliveryState.DELIVERED)


async def test_effects_survive_an_outage_of_the_receiver(ledger: Ledger) -> None:
    """An outage costs each effect an attempt or two, however long it lasts."""
    async with receiving() as closed:
        port = closed.port
    to = hook(f"http://127.0.0.1:{port}/in")
    await ledger.define(to)
    effects = await ledger.add([change(n) for n in range(400)], to)
    async with ledger.dispatching() as dispatcher:

        async def were_attempted() -> bool:
            return (
                await ledger.database.pool.fetchval("SELECT sum(attempts) FROM effect")
                > MAX_IN_FLIGHT + 8
            )

        await wait_until(were_attempted)
        async with receiving(port=port) as restarted:
            dispatcher.wake(keys_of(to))
            await ledger.all_are(DeliveryState.DELIVERED, deadline_s=60)
            assert Counter(restarted.keys()) == Counter(to_hex(e.effect_id) for e in effects)
    rows = await ledger.rows()
    assert max(row["attempts"] for row in rows) <= QUICK.max_attempts


async def test_unavailable_profile_uses_up_no_attempt(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    renderer = FakeRenderer(error=ServiceUnavailable("profile is away"))
    async with ledger.dispatching(renderer=renderer):

        async def is_requeued() -> bool:
            return "SERVICE_UNAVAILABLE" in (await ledger.row(effect))["reason"]

        await wait_until(is_requeued)
        row = await ledger.row(effect)
        assert (row["state"], row["attempts"]) == (DeliveryState.PENDING, 0)
        renderer.error = None
        await ledger.all_are(DeliveryState.DELIVERED)
    assert (await ledger.row(effect))["attempts"] == 1
    assert len(receiver.received) == 1


async def test_payload_is_rendered_once(ledger: Ledger, receiver: Receiver) -> None:
    receiver.script = [500, 500, 200]
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    renderer = FakeRenderer()
    async with ledger.dispatching(renderer=renderer):
        await ledger.all_are(DeliveryState.DELIVERED)
    assert renderer.rendered == [effect.effect_id]
    assert (await ledger.row(effect))["payload"] == receiver.received[0].body


async def test_new_version_is_used_while_attempts_in_flight_end(
    ledger: Ledger, receiver: Receiver
) -> None:
    receiver.paths["/old"] = [receiver.hang]
    to = hook(receiver.url("/old"))
    await ledger.define(to)
    await ledger.add([change(1)], to)
    async with ledger.dispatching() as dispatcher:
        await wait_until(lambda: receiver.keys("/old"))
        newer = hook(receiver.url("/new"), version=2)
        await ledger.define(newer)
        dispatcher.reload()
        await ledger.add([change(2)], newer)
        await wait_until(lambda: receiver.keys("/new"))
        receiver.released.set()
        await ledger.all_are(DeliveryState.DELIVERED)
    assert [len(receiver.keys(path)) for path in ("/old", "/new")] == [1, 1]
    assert {row["attempts"] for row in await ledger.rows()} == {1}


async def test_retired_destination_gets_no_message(ledger: Ledger, receiver: Receiver) -> None:
    receiver.script = [500]
    to = hook(receiver.url())
    await ledger.define(to)
    (attempted,) = await ledger.add([change(1)], to)
    async with ledger.dispatching(retry_policy=SLOW) as dispatcher:

        async def failed() -> bool:
            return bool(await ledger.rows(reason="HTTP 500"))

        await wait_until(failed)
        await ledger.define(hook(receiver.url(), version=2, retired=True))
        (fresh,) = await ledger.add([change(2)], to)
        dispatcher.reload()
        await ledger.all_are(DeliveryState.DEAD, DeliveryState.SUPPRESSED)
    assert len(receiver.received) == 1
    assert (await ledger.row(attempted))["state"] == DeliveryState.DEAD
    row = await ledger.row(fresh)
    assert (row["state"], row["reason"]) == (
        DeliveryState.SUPPRESSED,
        "the destination was retired",
    )


async def test_stop_waits_for_attempts_in_flight(ledger: Ledger, receiver: Receiver) -> None:
    receiver.script = [receiver.hang]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(n) for n in range(20)], to)
    async with ledger.dispatching():
        await wait_until(lambda: len(receiver.received) == 20)
        assert await ledger.states() == {"UNKNOWN": 20}
        asyncio.get_running_loop().call_soon(receiver.released.set)
    assert await ledger.states() == {"DELIVERED": 20}


async def test_stop_cancels_attempts_after_the_drain_time(
    ledger: Ledger, receiver: Receiver
) -> None:
    receiver.script = [receiver.hang]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1)], to)
    async with ledger.dispatching(drain_s=0.05):
        await wait_until(lambda: receiver.received)
    assert await ledger.states() == {"UNKNOWN": 1}


async def test_crash_of_a_sender_is_retried(ledger: Ledger, receiver: Receiver) -> None:
    """A malformed secret is rejected at definition; the worker survives one all the same."""
    broken = replace(
        hook(receiver.url(), "broken"), channel=webhook(receiver.url(), "broken", "whsec_*")
    )
    good = hook(receiver.url("/good"), "good")
    await ledger.define(broken, good)
    await ledger.add([change(1)], broken, good)
    async with ledger.dispatching(retry_policy=RetryPolicy(max_attempts=2, initial_backoff=0.01)):
        await ledger.all_are(DeliveryState.DELIVERED, DeliveryState.DEAD)
    assert [row["state"] for row in await ledger.rows(destination_id="good")] == [
        DeliveryState.DELIVERED
    ]
    (dead,) = await ledger.rows(destination_id="broken")
    assert dead["state"] == DeliveryState.DEAD


async def test_message_describes_the_change(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url(), content='{"coupon":"TRIAL-50","文":"优惠"}'.encode())
    await ledger.define(to)
    at_us = 1_700_000_000_000_000
    own_us = at_us - 5 * 365 * DAY_US
    changed = change(7, changed_at_us=at_us, occurred_at_us=own_us)
    await ledger.add([changed, change(7, 2, changed_at_us=at_us + 1)], to)
    async with ledger.dispatching():
        await ledger.all_are(DeliveryState.DELIVERED)
    entered, left = (json.loads(each.body) for each in receiver.received)
    assert entered["type"] == "segment.entered"
    assert entered["timestamp"] == "2023-11-14T22:13:20.000000Z"
    assert entered["data"] == {
        "workspace": "school",
        "occurred_at": "2018-11-15T22:13:20.000000Z",
        "segment": "trial",
        "ordinal": 1,
        "profile": {"id": to_hex(profile(7))},
        "content": {"coupon": "TRIAL-50", "文": "优惠"},
    }
    assert (left["type"], left["data"]["ordinal"]) == ("segment.left", 2)
    assert left["data"]["occurred_at"] == left["timestamp"], "no event made the change"


async def test_effect_whose_attempts_are_always_interrupted_ends_dead(
    ledger: Ledger, receiver: Receiver
) -> None:
    """Its message may crash the process each time it is sent."""
    to = hook(receiver.url())
    await ledger.define(to)
    interrupted, retried = await ledger.add([change(1), change(2)], to)
    await ledger.database.pool.execute("UPDATE effect SET attempts = $1", QUICK.max_attempts)
    unknown = "UPDATE effect SET state = 2 WHERE effect_id = $1"
    await ledger.database.pool.execute(unknown, interrupted.effect_id)
    async with ledger.dispatching():
        await ledger.all_are(DeliveryState.DEAD, DeliveryState.DELIVERED)
    assert receiver.keys() == [to_hex(retried.effect_id)], "a retry on request is sent"
    row = await ledger.row(interrupted)
    assert (row["state"], row["reason"]) == (DeliveryState.DEAD, "every attempt was interrupted")


async def test_attempt_that_started_too_long_ago_is_requeued(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause of the process another replica may have taken the attempt over."""
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)

    async def is_requeued() -> bool:
        row = await ledger.row(effect)
        return (row["attempts"], row["reason"]) == (0, "the attempt started too long ago")

    with monkeypatch.context() as patched:
        patched.setattr(worker_module, "MAX_ATTEMPT_AGE_S", -1.0)
        async with ledger.dispatching():
            await wait_until(is_requeued)
    assert not receiver.received
    async with ledger.dispatching():
        await ledger.all_are(DeliveryState.DELIVERED)
    assert (await ledger.row(effect))["attempts"] == 1


async def test_attempts_that_failed_together_are_not_repeated_together(
    ledger: Ledger, receiver: Receiver
) -> None:
    """The pauses are spread by a quarter of the backoff either way."""
    receiver.script = [500]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(n) for n in range(12)], to)
    policy = RetryPolicy(initial_backoff=3_600.0)
    async with ledger.dispatching(retry_policy=policy):
        await ledger.all_are(DeliveryState.PENDING)

        async def all_failed() -> bool:
            return len(await ledger.rows(reason="HTTP 500")) == 12

        await wait_until(all_failed)
    due = [row["due_at"] for row in await ledger.rows()]
    assert (max(due) - min(due)).total_seconds() > 180, "an hour's pause is spread over half of it"


async def test_worker_ends_with_its_last_attempt(ledger: Ledger, receiver: Receiver) -> None:
    """It waits for no other wakeup: otherwise each end takes as long as the drain may."""
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(0)], to)
    receiver.script = [receiver.hang]
    with capture_logs() as logs:
        async with ledger.dispatching(drain_s=10.0):
            await wait_until(lambda: _received(receiver))
            asyncio.get_running_loop().call_later(0.2, receiver.released.set)
    assert not [entry for entry in logs if entry["event"] == "attempts_cancelled"]
    assert await ledger.states() == {"DELIVERED": 1}


async def _received(receiver: Receiver) -> bool:
    return bool(receiver.received)
