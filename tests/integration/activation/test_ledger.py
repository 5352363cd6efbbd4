"""The ledger: one row an effect, attempts that nobody makes twice at a time, plans that hold."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import asyncpg
import pytest
from aiohttp import web
from integration.activation.ledger_world import (
    SHARDS,
    Bodies,
    Ledger,
    W,
    change,
    hook,
    open_ledger,
    places,
    profile,
)
from integration.activation.receiver import Receiver
from onefold.activation.v1.activation_facts_pb2 import DestinationDefined
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipChange, MembershipsChanged

from services.activation.codec import bus as wire
from services.activation.delivery.worker import Courier
from services.activation.domain.circuit_breaker import FULL
from services.activation.domain.model import Destination, State
from services.activation.domain.transitions import Next
from services.activation.projection.fold import ActivationApp
from services.activation.store import postgres as store
from services.activation.store.postgres import Place
from services.chassis.messaging.stream import Batch, FoldResult, StreamMessage
from services.chassis.postgres.database import transaction
from services.chassis.testing import wait_until
from services.kernel.ids import to_hex

TO = hook("http://127.0.0.1:1/in")
(PLACE,) = places(TO)


def told(n: int, ordinal: int = 1, **fields: object) -> MembershipChange:
    plain = {
        "workspace_id": W,
        "segment_id": "trial",
        "profile_id": profile(n),
        "entered": ordinal % 2 == 1,
        "ordinal": ordinal,
        "at_us": 1_000 + ordinal,
        "cause": 1,
    }
    return MembershipChange(**(plain | fields))  # type: ignore[arg-type]


def defined(to: Destination) -> Fact:
    message = wire.destination_message(to, with_secret=True)
    return Fact(workspace_id=W, kind=wire.DESTINATION_DEFINED, payload=message.SerializeToString())


def batch(*messages: MembershipsChanged, shard: int = 0, first: int = 0) -> Batch:
    wrapped = tuple(
        StreamMessage(first + n, first + n + 1, message.SerializeToString())
        for n, message in enumerate(messages)
    )
    return Batch(shard, first, first + len(messages), wrapped, 0, 0, 0)


class Heard:
    """An app, and what it calls for."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.places: list[Place] = []
        self.defined = self.access = 0
        self.app = ActivationApp(
            SHARDS,
            on_effects=self.places.extend,
            on_defined=self._note_defined,
            on_access=self._note_access,
        )

    def _note_defined(self) -> None:
        self.defined += 1

    def _note_access(self) -> None:
        self.access += 1

    async def fold(self, *messages: MembershipsChanged, shard: int = 0) -> FoldResult:
        async with transaction(self.ledger.database.pool) as conn:
            folded = await self.app.fold(conn, batch(*messages, shard=shard))
        self.app.committed(shard)
        return folded


async def test_the_same_batch_twice_makes_one_effect(ledger: Ledger) -> None:
    heard = Heard(ledger)
    messages = [
        MembershipsChanged(broadcast_facts=[defined(TO)], changes=[told(1)]),
        MembershipsChanged(changes=[told(1, 2), told(2)], log_offset=9, log_time_us=99),
    ]
    assert await heard.fold(*messages) == FoldResult(2, 9, 99)
    first = await ledger.rows()
    assert await heard.fold(*messages) == FoldResult(2, 9, 99)
    assert await ledger.rows() == first
    assert [(r["ordinal"], r["state"]) for r in first] == [(1, 1), (1, 1), (2, 1)]
    assert set(heard.places) == {PLACE}


async def test_nobody_is_called_before_the_commit(ledger: Ledger) -> None:
    heard = Heard(ledger)
    async with transaction(ledger.database.pool) as conn:
        message = MembershipsChanged(broadcast_facts=[defined(TO)], changes=[told(1)])
        await heard.app.fold(conn, batch(message))
        heard.app.committed(1)
        assert not heard.places
        assert not heard.defined
    heard.app.committed(0)
    assert (heard.places, heard.defined) == ([PLACE], 1)


async def test_a_shard_that_is_behind_makes_no_effects_of_what_came_before(ledger: Ledger) -> None:
    """Each shard has the definition in its own place; how far others are decides nothing."""
    heard = Heard(ledger)
    await heard.fold(MembershipsChanged(broadcast_facts=[defined(TO)]), shard=0)
    await heard.fold(MembershipsChanged(changes=[told(1)]), shard=1)
    assert not await ledger.rows()
    await heard.fold(MembershipsChanged(broadcast_facts=[defined(TO)], changes=[told(2)]), shard=1)
    assert [r["profile_id"] for r in await ledger.rows()] == [profile(2)]


async def test_a_definition_holds_from_its_own_message_on(ledger: Ledger) -> None:
    heard = Heard(ledger)
    retired = hook("http://127.0.0.1:1/in", version=2, retired=True)
    await heard.fold(
        MembershipsChanged(changes=[told(1)]),
        MembershipsChanged(broadcast_facts=[defined(TO)], changes=[told(2)]),
        MembershipsChanged(changes=[told(3)]),
        MembershipsChanged(broadcast_facts=[defined(retired)], changes=[told(4)]),
        MembershipsChanged(broadcast_facts=[defined(TO)], changes=[told(5)]),
    )
    assert {r["profile_id"] for r in await ledger.rows()} == {profile(2), profile(3)}


async def test_a_merge_is_written_down_and_not_sent(ledger: Ledger) -> None:
    heard = Heard(ledger)
    moved = told(1, cause=2, other_profile_id=profile(2))
    await heard.fold(MembershipsChanged(broadcast_facts=[defined(TO)], changes=[moved]))
    (row,) = await ledger.rows()
    assert row["state"] == State.SUPPRESSED
    assert "merge" in row["reason"]


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xff", b"", DestinationDefined(destination_id="x", triggers=[9]).SerializeToString()],
)
async def test_a_definition_that_cannot_be_read_stops_nothing(
    ledger: Ledger, payload: bytes
) -> None:
    heard = Heard(ledger)
    junk = Fact(workspace_id=W, kind=wire.DESTINATION_DEFINED, payload=payload)
    await heard.fold(MembershipsChanged(broadcast_facts=[junk, defined(TO)], changes=[told(1)]))
    assert len(await ledger.rows()) == 1


async def test_shards_that_define_the_same_do_not_wait_for_each_other(ledger: Ledger) -> None:
    heard = Heard(ledger)
    destinations = [hook("http://127.0.0.1:1/in", f"d{n}") for n in range(20)]

    async def define(shard: int) -> None:
        facts = [defined(d) for d in random.Random(shard).sample(destinations, 20)]
        for fact in facts:
            await heard.fold(
                MembershipsChanged(broadcast_facts=[fact], changes=[told(shard)]), shard=shard
            )

    await asyncio.gather(*map(define, range(SHARDS)))
    async with ledger.database.pool.acquire() as conn:
        assert len(await store.load_destinations(conn)) == 20


async def claim(ledger: Ledger, limit: int = 10, lease_s: float = 60.0) -> list[store.Attempt]:
    async with ledger.database.pool.acquire() as conn:
        found = await store.claim(conn, PLACE, limit, lease_s=lease_s, wait_s=60.0)
    return list(found.begun)


async def end(ledger: Ledger, attempt: store.Attempt, state: State) -> None:
    async with ledger.database.pool.acquire() as conn:
        await store.end_attempts(conn, [(attempt, Next(state, "told"))])


async def test_a_crash_between_begin_and_end_is_shown_and_made_good(
    ledger: Ledger, receiver: Receiver
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    (lost,) = await claim(ledger, lease_s=0.2)
    row = await ledger.row(made)
    assert (row["state"], row["attempts"]) == (State.UNKNOWN, 1)
    assert not await claim(ledger), "it is somebody's until its lease has run out"
    async with ledger.dispatching():
        await ledger.all_are(State.DELIVERED)
        await end(ledger, lost, State.DEAD)
    row = await ledger.row(made)
    assert (row["state"], row["attempts"]) == (State.DELIVERED, 2), "who comes late changes nothing"
    assert receiver.keys() == [to_hex(made.effect_id)]


async def test_a_crash_after_sending_repeats_the_same_message(
    ledger: Ledger, receiver: Receiver
) -> None:
    """The first process sends and dies before it can tell; the second says the very same."""
    to = hook(receiver.url())
    await ledger.define(to)
    (made,) = await ledger.add([change(1)], to)
    receiver.script = [receiver.hang, 200]
    async with ledger.dispatching(drain_s=0.0, lease_s=0.3):
        await wait_until(lambda: receiver.got)
    assert (await ledger.row(made))["state"] == State.UNKNOWN
    other = hook(receiver.url(), version=2, content=b'{"coupon":"other"}')
    await ledger.define(other)
    bodies = Bodies()
    async with ledger.dispatching(bodies=bodies):
        await ledger.all_are(State.DELIVERED)
    assert receiver.keys() == [to_hex(made.effect_id)] * 2
    assert receiver.got[0].body == receiver.got[1].body
    assert not bodies.made


async def test_two_that_make_the_message_at_once_send_one_message(
    ledger: Ledger, receiver: Receiver
) -> None:
    """Whoever made a message and lost the attempt meanwhile must not send what it made."""
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1)], to)
    going = asyncio.Event()
    slow = Bodies(before=going.wait)
    async with ledger.dispatching(bodies=slow, lease_s=0.2):
        await wait_until(lambda: _is_unknown(ledger))
        async with ledger.dispatching():
            await ledger.all_are(State.DELIVERED)
        going.set()
        await wait_until(lambda: slow.made)
    assert len(receiver.got) == 1
    assert await ledger.states() == {"DELIVERED": 1}


async def _is_unknown(ledger: Ledger) -> bool:
    return await ledger.states() == {"UNKNOWN": 1}


async def test_side_by_side_nobody_attempts_what_another_does(
    ledger: Ledger, receiver: Receiver
) -> None:
    """Three dispatchers, failures in between: no key is at the receiver twice at one time."""
    at_once: Counter[str] = Counter()
    worst: Counter[str] = Counter()
    chance = random.Random(7)

    async def answer(request: web.Request) -> web.StreamResponse:
        key = request.headers["webhook-id"]
        at_once[key] += 1
        worst[key] = max(worst[key], at_once[key])
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        at_once[key] -= 1
        return web.Response(status=500 if chance.random() < 0.2 else 200)

    receiver.script = [answer]
    to = hook(receiver.url())
    await ledger.define(to)
    made = await ledger.add([change(n, o) for n in range(150) for o in (1, 2)], to)
    async with ledger.dispatching(), ledger.dispatching(), ledger.dispatching():
        await ledger.all_are(State.DELIVERED, State.DEAD)
    assert set(worst) == {to_hex(e.effect_id) for e in made}
    assert set(worst.values()) == {1}
    rows = {to_hex(r["effect_id"]): r["attempts"] for r in await ledger.rows()}
    assert Counter(receiver.keys()) == rows, "an attempt in the ledger is one at the receiver"


async def test_an_earlier_end_lets_the_later_one_go(ledger: Ledger) -> None:
    first, second = await ledger.add([change(1, 1), change(1, 2)], TO)
    (begun,) = await claim(ledger)
    assert begun.effect_id == first.effect_id
    assert not await claim(ledger)
    await end(ledger, begun, State.DELIVERED)
    (begun,) = await claim(ledger)
    assert begun.effect_id == second.effect_id


async def test_who_is_dead_does_not_hold_up_the_next_one(ledger: Ledger) -> None:
    _, second = await ledger.add([change(1, 1), change(1, 2)], TO)
    (begun,) = await claim(ledger)
    await end(ledger, begun, State.DEAD)
    assert [b.effect_id for b in await claim(ledger)] == [second.effect_id]


async def test_a_destination_of_another_workspace_is_another_queue(ledger: Ledger) -> None:
    await ledger.add([change(1)], TO)
    async with ledger.database.pool.acquire() as conn:
        other = Place("other", TO.destination_id)  # type: ignore[arg-type]
        assert not (await store.claim(conn, other, 10, lease_s=1, wait_s=1)).begun
    courier = Courier(TO, ledger.tools(senders={}))
    assert courier.destination is TO


BUSY = ("claim", "end_attempts", "keep_bodies", "mark_reported", "add_effects")


@pytest.mark.parametrize("when", ["before any statistics", "statistics of an empty queue"])
async def test_no_statement_walks_through_the_queue(ledger: Ledger, when: str) -> None:
    """Whatever the planner believes of a queue, an attempt costs the same in a long one."""
    await ledger.add([change(n) for n in range(2_000)], TO)
    async with ledger.database.pool.acquire() as conn:
        if when != "before any statistics":
            await conn.execute("UPDATE effect SET state = 3, reported = true")
            await conn.execute("VACUUM ANALYZE effect")
            await conn.execute("UPDATE effect SET state = 1, reported = false")
        await conn.execute("SET plan_cache_mode = force_generic_plan")
        for name in BUSY:
            plan = await _plan(conn, name)
            assert "Seq Scan on effect" not in plan, f"{name}\n{plan}"
            for line in plan.splitlines():
                walks = "effect_due" in line and not (name == "claim" and "effect c" in line)
                assert not walks, f"{name}\n{plan}"
        await conn.execute("RESET plan_cache_mode")


async def _plan(conn: asyncpg.Connection, name: str) -> str:
    statement = await conn.prepare(getattr(store.Q, name))
    nothing = ", ".join(
        f"ARRAY[]::{p.name}" if p.kind == "array" else f"NULL::{p.name}"
        for p in statement.get_parameters()
    )
    types = ", ".join(p.name for p in statement.get_parameters())
    text = getattr(store.Q, name).rstrip(";")
    await conn.execute(f"PREPARE asked ({types}) AS {text}")
    rows = await conn.fetch(f"EXPLAIN EXECUTE asked ({nothing})")
    await conn.execute("DEALLOCATE asked")
    return "\n".join(row[0] for row in rows)


async def test_lists_are_short_and_newest_first(ledger: Ledger) -> None:
    await ledger.add([change(n, at_us=1_000 + n) for n in range(FULL)], TO)
    async with open_ledger(ledger.dsn) as again:
        rows = await again.database.pool.fetch(store.Q.list_effects, W, 2**62, b"", "", 0, b"", 5)
    assert [r["at_us"] for r in rows] == [1_000 + FULL - 1 - n for n in range(5)]
