"""Attempts, their order, repeats and ends, against a receiver that answers by script."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

import pytest
from aiohttp import web
from integration.activation.ledger_world import (
    QUICK,
    SECRET,
    Bodies,
    Ledger,
    change,
    hook,
    places,
    profile,
)
from integration.activation.receiver import Answer, Receiver, receiving, with_headers
from standardwebhooks.webhooks import Webhook as Verifier

from services.activation.delivery import dispatcher as dispatch
from services.activation.delivery import worker as courier
from services.activation.domain.circuit_breaker import FULL
from services.activation.domain.model import State, Webhook
from services.activation.domain.transitions import Retries
from services.activation.store import postgres as store
from services.chassis.testing import wait_until
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import to_hex

PATIENT = Retries(attempts=3, first_pause=30.0)


async def test_everybody_is_told_once(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    made = await ledger.add([change(n) for n in range(300)], to)
    async with ledger.dispatching():
        await ledger.all_are(State.DELIVERED)
    assert Counter(receiver.keys()) == Counter(to_hex(e.effect_id) for e in made)
    for got in receiver.got:
        told = Verifier(SECRET).verify(got.body, got.headers)
        assert told["id"] == got.key
        assert told["type"] == "segment.entered"
    assert {row["attempts"] for row in await ledger.rows()} == {1}


async def test_no_wake_up_is_lost(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the wake-ups calls the courier, so with one lost the rest would never be sent."""
    monkeypatch.setattr(dispatch, "LOOK_EVERY", 3_600.0)
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(0)], to)
    async with ledger.dispatching() as dispatcher:
        for n in range(1, 40):
            await wait_until(lambda: len(receiver.got) >= n)  # noqa: B023 - asked at once
            await ledger.add([change(n)], to)
            dispatcher.wake(places(to))
        await ledger.all_are(State.DELIVERED)


@pytest.mark.parametrize(
    ("script", "state", "attempts", "reason"),
    [
        ([500, 500, 200], State.DELIVERED, 3, "HTTP 200"),
        ([400], State.DEAD, 1, "HTTP 400"),
        ([500, 400], State.DEAD, 2, "HTTP 400"),
        ([429, 503, 204], State.DELIVERED, 3, "HTTP 204"),
        ([500], State.DEAD, QUICK.attempts, "HTTP 500"),
        ([with_headers(302, location="http://127.0.0.1:1/")], State.DEAD, 1, "HTTP 302"),
    ],
)
async def test_scripts(
    ledger: Ledger,
    receiver: Receiver,
    script: list[Answer],
    state: State,
    attempts: int,
    reason: str,
) -> None:
    receiver.script = script
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    async with ledger.dispatching():
        await ledger.all_are(state)
    row = await ledger.row(made)
    assert (row["attempts"], row["reason"]) == (attempts, reason)
    assert receiver.keys() == [to_hex(made.effect_id)] * attempts
    assert len({got.body for got in receiver.got}) == 1, "every attempt says the same"


async def test_lost_connections_and_slow_answers_are_tried_again(
    ledger: Ledger, receiver: Receiver
) -> None:
    receiver.script = [receiver.reset, receiver.drip_head, receiver.nonsense, receiver.hang, 200]
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    async with ledger.dispatching(timeout_s=0.2):
        await ledger.all_are(State.DELIVERED)
    # The last answer may be slow, too, where the machine is: then it is tried once more.
    assert len(receiver.keys()) >= 5
    assert set(receiver.keys()) == {to_hex(made.effect_id)}
    assert len({got.body for got in receiver.got}) == 1


async def test_a_receiver_that_names_a_time_is_left_alone(
    ledger: Ledger, receiver: Receiver
) -> None:
    receiver.paths["/busy"] = [with_headers(429, retry_after="3600")]
    to = hook(receiver.url("/busy"))
    await ledger.define(to)
    (first,) = await ledger.add([change(1)], to)
    async with ledger.dispatching(retries=Retries()) as dispatcher:

        async def put_off() -> bool:
            return (await ledger.row(first))["reason"] == "HTTP 429"

        await wait_until(put_off)
        await ledger.add([change(n) for n in range(2, 50)], to)
        dispatcher.wake(places(to))
        due = "extract(epoch FROM due_at - now()) > 3500"
        assert await ledger.database.pool.fetchval(
            f"SELECT {due} FROM effect WHERE effect_id = $1", first.effect_id
        )
        other = hook(receiver.url(), "other")
        await ledger.define(other)
        await ledger.add([change(1)], other)
        await wait_until(lambda: receiver.keys("/in"))
    assert len(receiver.keys("/busy")) == 1


async def test_one_person_hears_in_order(ledger: Ledger, receiver: Receiver) -> None:
    """Also across segments, also where the first message fails for a while."""
    receiver.script = [500, 200]
    to = hook(receiver.url(), segment_ids=("trial", "other"))
    await ledger.define(to)
    changes = [
        change(n, ordinal, segment_id=segment, at_us=at)
        for n in range(12)
        for at, (segment, ordinal) in enumerate(
            [("trial", 1), ("other", 1), ("trial", 2), ("trial", 3), ("other", 2)], 1
        )
    ]
    made = await ledger.add(reversed(changes), to)
    async with ledger.dispatching():
        await ledger.all_are(State.DELIVERED)
    order = {to_hex(e.effect_id): (e.profile_id, e.at_us) for e in made}
    heard: dict[bytes, list[int]] = {}
    for got in receiver.got:
        person, at = order[got.key]
        heard.setdefault(person, []).append(at)
    assert set(map(tuple, heard.values())) == {(1, 1, 2, 2, 3, 3, 4, 4, 5, 5)}


async def test_what_comes_early_waits_for_what_goes_before(
    ledger: Ledger, receiver: Receiver
) -> None:
    """A shard that is ahead tells of a leaving before the shard that tells of the entering."""
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.reach(1_000)
    (left,) = await ledger.add([change(1, 2, at_us=2_000)], to)
    assert (await ledger.row(left))["early"]
    async with ledger.dispatching() as dispatcher:
        (entered,) = await ledger.add([change(2, 1, at_us=2_000)], to)
        await wait_until(lambda: receiver.keys() == [to_hex(entered.effect_id)])
        (before,) = await ledger.add([change(1, 1, at_us=1_500)], to)
        dispatcher.wake(places(to))
        await wait_until(lambda: to_hex(before.effect_id) in list(receiver.keys()))
        assert to_hex(left.effect_id) not in list(receiver.keys())
        await ledger.reach(2_001)
        await ledger.all_are(State.DELIVERED)
    assert receiver.keys()[1:] == [to_hex(before.effect_id), to_hex(left.effect_id)]


async def test_those_who_were_in_before_the_destination_are_told_when_they_leave(
    ledger: Ledger, receiver: Receiver
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.reach(5_000)
    await ledger.add([change(1, 2)], to)
    async with ledger.dispatching():
        await ledger.all_are(State.DELIVERED)


async def test_a_person_with_a_pair_in_one_batch_does_not_wait(ledger: Ledger) -> None:
    to = hook("http://127.0.0.1:1/")
    made = await ledger.add([change(1, n) for n in (1, 2, 3)], to)
    assert [(await ledger.row(e))["early"] for e in made] == [False] * 3


async def test_what_waits_for_an_earlier_message_is_not_looked_at_all_the_time(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.script = [500]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1, 1), change(1, 2)], to)
    looks: list[int] = []
    claim = store.claim

    async def counted(*told: object, **named: object) -> object:
        found = await claim(*told, **named)  # type: ignore[arg-type]
        looks.append(len(found.begun))
        return found

    monkeypatch.setattr(store, "claim", counted)
    async with ledger.dispatching(retries=PATIENT) as dispatcher:

        async def failed() -> bool:
            return bool(await ledger.rows(reason="HTTP 500"))

        await wait_until(failed)
        await ledger.define(hook(receiver.url("/other"), "other"))
        dispatcher.reload()
        await ledger.add([change(n) for n in range(50)], hook(receiver.url("/other"), "other"))
        await wait_until(lambda: len(receiver.keys("/other")) == 50)
    assert len(receiver.keys("/in")) == 1
    assert len(looks) < 30


async def test_a_hanging_destination_holds_up_nobody(ledger: Ledger, receiver: Receiver) -> None:
    receiver.paths = {f"/hang{n}": [receiver.hang] for n in range(6)}
    bad = [hook(receiver.url(f"/hang{n}"), f"hang{n}") for n in range(6)]
    good = hook(receiver.url("/good"), "good")
    await ledger.define(*bad, good)
    await ledger.add([change(n) for n in range(200)], *bad, good)
    async with ledger.dispatching(drain_s=0.1):
        await wait_until(lambda: len(receiver.keys("/good")) == 200)
        assert max(Counter(got.path for got in receiver.got if "hang" in got.path).values()) <= FULL
        states = await ledger.rows(destination_id="good")
        assert {State(r["state"]) for r in states} <= {State.DELIVERED, State.UNKNOWN}
        receiver.released.set()


async def test_one_message_that_hangs_holds_up_no_other(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    made = await ledger.add([change(n) for n in range(500)], to)
    slow = {to_hex(e.effect_id) for e in made[: FULL // 2]}

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers["webhook-id"] in slow:
            await receiver.released.wait()
        return web.Response()

    receiver.script = [answer]
    async with ledger.dispatching():
        await wait_until(lambda: len(set(receiver.keys()) - slow) == 500 - len(slow))
        receiver.released.set()
        await ledger.all_are(State.DELIVERED)


async def test_dead_for_a_while_then_back(ledger: Ledger) -> None:
    """An outage costs each message an attempt or two, however long it lasts."""
    async with receiving() as early:
        port = early.port
    to = hook(f"http://127.0.0.1:{port}/in")
    await ledger.define(to)
    made = await ledger.add([change(n) for n in range(400)], to)
    async with ledger.dispatching() as dispatcher:

        async def tried() -> bool:
            return (
                await ledger.database.pool.fetchval("SELECT sum(attempts) FROM effect") > FULL + 8
            )

        await wait_until(tried)
        async with receiving(port=port) as back:
            dispatcher.wake(places(to))
            await ledger.all_are(State.DELIVERED, deadline_s=60)
            assert Counter(back.keys()) == Counter(to_hex(e.effect_id) for e in made)
    rows = await ledger.rows()
    assert max(row["attempts"] for row in rows) <= QUICK.attempts


async def test_profile_away_uses_up_no_attempt(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    bodies = Bodies(fail=ServiceUnavailable("profile is away"))
    async with ledger.dispatching(bodies=bodies):

        async def told() -> bool:
            return "SERVICE_UNAVAILABLE" in (await ledger.row(made))["reason"]

        await wait_until(told)
        row = await ledger.row(made)
        assert (row["state"], row["attempts"]) == (State.PENDING, 0)
        bodies.fail = None
        await ledger.all_are(State.DELIVERED)
    assert (await ledger.row(made))["attempts"] == 1
    assert len(receiver.got) == 1


async def test_the_first_body_is_kept(ledger: Ledger, receiver: Receiver) -> None:
    receiver.script = [500, 500, 200]
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    bodies = Bodies()
    async with ledger.dispatching(bodies=bodies):
        await ledger.all_are(State.DELIVERED)
    assert bodies.made == [made.effect_id]
    assert (await ledger.row(made))["body"] == receiver.got[0].body


async def test_a_new_version_is_used_and_what_is_in_flight_ends(
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
        await ledger.all_are(State.DELIVERED)
    assert [len(receiver.keys(path)) for path in ("/old", "/new")] == [1, 1]
    assert {row["attempts"] for row in await ledger.rows()} == {1}


async def test_nothing_is_sent_to_a_retired_destination(ledger: Ledger, receiver: Receiver) -> None:
    receiver.script = [500]
    to = hook(receiver.url())
    await ledger.define(to)
    (tried,) = await ledger.add([change(1)], to)
    async with ledger.dispatching(retries=PATIENT) as dispatcher:

        async def failed() -> bool:
            return bool(await ledger.rows(reason="HTTP 500"))

        await wait_until(failed)
        await ledger.define(hook(receiver.url(), version=2, retired=True))
        (fresh,) = await ledger.add([change(2)], to)
        dispatcher.reload()
        await ledger.all_are(State.DEAD, State.SUPPRESSED)
    assert len(receiver.got) == 1
    assert (await ledger.row(tried))["state"] == State.DEAD
    row = await ledger.row(fresh)
    assert (row["state"], row["reason"]) == (State.SUPPRESSED, "the destination was retired")


async def test_stopping_lets_what_is_in_flight_end(ledger: Ledger, receiver: Receiver) -> None:
    receiver.script = [receiver.hang]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(n) for n in range(20)], to)
    async with ledger.dispatching():
        await wait_until(lambda: len(receiver.got) == 20)
        assert await ledger.states() == {"UNKNOWN": 20}
        asyncio.get_running_loop().call_soon(receiver.released.set)
    assert await ledger.states() == {"DELIVERED": 20}


async def test_stopping_waits_for_nobody_for_ever(ledger: Ledger, receiver: Receiver) -> None:
    receiver.script = [receiver.hang]
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1)], to)
    async with ledger.dispatching(drain_s=0.05):
        await wait_until(lambda: receiver.got)
    assert await ledger.states() == {"UNKNOWN": 1}


async def test_what_a_sender_does_wrong_is_told_and_tried_again(
    ledger: Ledger, receiver: Receiver
) -> None:
    """A secret that cannot be read is refused when it is defined; one day one is there anyway."""
    broken = replace(hook(receiver.url(), "broken"), channel=Webhook(receiver.url(), "whsec_*"))
    good = hook(receiver.url("/good"), "good")
    await ledger.define(broken, good)
    await ledger.add([change(1)], broken, good)
    async with ledger.dispatching(retries=Retries(attempts=2, first_pause=0.01)):
        await ledger.all_are(State.DELIVERED, State.DEAD)
    assert [row["state"] for row in await ledger.rows(destination_id="good")] == [State.DELIVERED]
    (dead,) = await ledger.rows(destination_id="broken")
    assert dead["state"] == State.DEAD


async def test_a_message_tells_who_did_what(ledger: Ledger, receiver: Receiver) -> None:
    to = hook(receiver.url(), content='{"coupon":"TRIAL-50","文":"优惠"}'.encode())
    await ledger.define(to)
    await ledger.add([change(7, at_us=1_700_000_000_000_000), change(7, 2)], to)
    async with ledger.dispatching():
        await ledger.all_are(State.DELIVERED)
    left, entered = (json.loads(got.body) for got in receiver.got)
    assert entered["type"] == "segment.entered"
    assert entered["timestamp"] == "2023-11-14T22:13:20.000000Z"
    assert entered["data"] == {
        "workspace": "school",
        "segment": "trial",
        "ordinal": 1,
        "profile": {"id": to_hex(profile(7))},
        "content": {"coupon": "TRIAL-50", "文": "优惠"},
    }
    assert (left["type"], left["data"]["ordinal"]) == ("segment.left", 2)


async def test_an_effect_whose_attempts_never_end_is_given_up(
    ledger: Ledger, receiver: Receiver
) -> None:
    """As one does that kills the process whenever it is sent."""
    to = hook(receiver.url())
    await ledger.define(to)
    lost, again = await ledger.add([change(1), change(2)], to)
    await ledger.database.pool.execute("UPDATE effect SET attempts = $1", QUICK.attempts)
    unknown = "UPDATE effect SET state = 2 WHERE effect_id = $1"
    await ledger.database.pool.execute(unknown, lost.effect_id)
    async with ledger.dispatching():
        await ledger.all_are(State.DEAD, State.DELIVERED)
    assert receiver.keys() == [to_hex(again.effect_id)], "one that is tried again by hand is sent"
    row = await ledger.row(lost)
    assert (row["state"], row["reason"]) == (State.DEAD, "its attempts never came to an end")


async def test_an_attempt_that_was_begun_too_long_ago_is_not_made(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the process stood still: by then somebody else may have taken it over."""
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)

    async def put_back() -> bool:
        row = await ledger.row(made)
        return (row["attempts"], row["reason"]) == (0, "it was begun too long ago")

    with monkeypatch.context() as patched:
        patched.setattr(courier, "STALE_S", -1.0)
        async with ledger.dispatching():
            await wait_until(put_back)
    assert not receiver.got
    async with ledger.dispatching():
        await ledger.all_are(State.DELIVERED)
    assert (await ledger.row(made))["attempts"] == 1
