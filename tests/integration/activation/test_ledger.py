"""Tests the ledger: one row for each effect, exclusive attempts, and query plans."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from integration.activation.ledger_fixture import (
    MAX_IN_FLIGHT,
    SHARDS,
    FakeRenderer,
    Ledger,
    W,
    change,
    hook,
    keys_of,
    open_ledger,
    profile,
)
from integration.activation.receiver import Receiver
from onefold.activation.v1.activation_facts_pb2 import DestinationDefined
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipChange, MembershipsChanged
from service_fixtures import wait_until

from services.activation.codec.definitions import DESTINATION_DEFINED, destination_to_fact
from services.activation.domain.model import DeliveryState, Destination
from services.activation.domain.transitions import Transition
from services.activation.projection.fold import ActivationProjection
from services.activation.store import effects as store
from services.activation.store.destinations import load_destinations
from services.activation.store.effects import DestinationKey
from services.chassis.messaging.stream import Batch, FoldResult, StreamMessage
from services.chassis.postgres.database import transaction
from services.kernel.ids import WorkspaceId, to_hex

TO = hook("http://127.0.0.1:1/in")
(KEY,) = keys_of(TO)


def published_change(n: int, ordinal: int = 1, **fields: object) -> MembershipChange:
    plain = {
        "workspace_id": W,
        "segment_id": "trial",
        "profile_id": profile(n),
        "entered": ordinal % 2 == 1,
        "ordinal": ordinal,
        "changed_at_us": 1_000 + ordinal,
        "cause": 1,
    }
    return MembershipChange(**(plain | fields))  # type: ignore[arg-type]


def defined(to: Destination) -> Fact:
    message = destination_to_fact(to)
    return Fact(workspace_id=W, kind=DESTINATION_DEFINED, payload=message.SerializeToString())


def batch(*messages: MembershipsChanged, shard: int = 0, first: int = 0) -> Batch:
    wrapped = tuple(
        StreamMessage(first + n, first + n + 1, message.SerializeToString())
        for n, message in enumerate(messages)
    )
    return Batch(shard, first, first + len(messages), wrapped, 0, 0, 0)


class ProjectionHarness:
    """A projection that records its callbacks."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.keys: list[DestinationKey] = []
        self.defined = self.access = 0
        self.projection = ActivationProjection(
            SHARDS,
            on_effects=self.keys.extend,
            on_defined=self._count_defined,
            on_access=self._count_access,
        )

    def _count_defined(self) -> None:
        self.defined += 1

    def _count_access(self) -> None:
        self.access += 1

    async def fold(self, *messages: MembershipsChanged, shard: int = 0) -> FoldResult:
        async with transaction(self.ledger.database.pool) as conn:
            folded = await self.projection.fold(conn, batch(*messages, shard=shard))
        self.projection.committed(shard)
        return folded


async def test_repeated_batch_adds_no_effect(ledger: Ledger) -> None:
    harness = ProjectionHarness(ledger)
    messages = [
        MembershipsChanged(broadcast_facts=[defined(TO)], changes=[published_change(1)]),
        MembershipsChanged(
            changes=[published_change(1, 2), published_change(2)], log_offset=9, log_time_us=99
        ),
    ]
    assert await harness.fold(*messages) == FoldResult(2, 9, 99)
    first = await ledger.rows()
    assert await harness.fold(*messages) == FoldResult(2, 9, 99)
    assert await ledger.rows() == first
    assert [(r["ordinal"], r["state"]) for r in first] == [(1, 1), (1, 1), (2, 1)]
    assert set(harness.keys) == {KEY}


async def test_callbacks_run_after_the_commit(ledger: Ledger) -> None:
    harness = ProjectionHarness(ledger)
    async with transaction(ledger.database.pool) as conn:
        message = MembershipsChanged(broadcast_facts=[defined(TO)], changes=[published_change(1)])
        await harness.projection.fold(conn, batch(message))
        harness.projection.committed(1)
        assert not harness.keys
        assert not harness.defined
    harness.projection.committed(0)
    assert (harness.keys, harness.defined) == ([KEY], 1)


async def test_shard_that_is_behind_plans_no_effects_before_the_definition(ledger: Ledger) -> None:
    """Each shard has the definition at its own offset; other shards do not matter."""
    harness = ProjectionHarness(ledger)
    await harness.fold(MembershipsChanged(broadcast_facts=[defined(TO)]), shard=0)
    await harness.fold(MembershipsChanged(changes=[published_change(1)]), shard=1)
    assert not await ledger.rows()
    await harness.fold(
        MembershipsChanged(broadcast_facts=[defined(TO)], changes=[published_change(2)]), shard=1
    )
    assert [r["profile_id"] for r in await ledger.rows()] == [profile(2)]


async def test_definition_applies_from_its_own_message_on(ledger: Ledger) -> None:
    harness = ProjectionHarness(ledger)
    retired = hook("http://127.0.0.1:1/in", version=2, retired=True)
    await harness.fold(
        MembershipsChanged(changes=[published_change(1)]),
        MembershipsChanged(broadcast_facts=[defined(TO)], changes=[published_change(2)]),
        MembershipsChanged(changes=[published_change(3)]),
        MembershipsChanged(broadcast_facts=[defined(retired)], changes=[published_change(4)]),
        MembershipsChanged(broadcast_facts=[defined(TO)], changes=[published_change(5)]),
    )
    assert {r["profile_id"] for r in await ledger.rows()} == {profile(2), profile(3)}


async def test_effect_of_a_merge_is_stored_as_suppressed(ledger: Ledger) -> None:
    harness = ProjectionHarness(ledger)
    moved = published_change(1, cause=2, other_profile_id=profile(2))
    await harness.fold(MembershipsChanged(broadcast_facts=[defined(TO)], changes=[moved]))
    (row,) = await ledger.rows()
    assert row["state"] == DeliveryState.SUPPRESSED
    assert "merge" in row["reason"]


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xff", b"", DestinationDefined(destination_id="x", triggers=[9]).SerializeToString()],
)
async def test_malformed_definition_is_skipped(ledger: Ledger, payload: bytes) -> None:
    harness = ProjectionHarness(ledger)
    junk = Fact(workspace_id=W, kind=DESTINATION_DEFINED, payload=payload)
    await harness.fold(
        MembershipsChanged(broadcast_facts=[junk, defined(TO)], changes=[published_change(1)])
    )
    assert len(await ledger.rows()) == 1


async def test_shards_with_the_same_definitions_do_not_deadlock(ledger: Ledger) -> None:
    harness = ProjectionHarness(ledger)
    destinations = [hook("http://127.0.0.1:1/in", f"d{n}") for n in range(20)]

    async def define(shard: int) -> None:
        facts = [defined(d) for d in random.Random(shard).sample(destinations, 20)]
        for fact in facts:
            await harness.fold(
                MembershipsChanged(broadcast_facts=[fact], changes=[published_change(shard)]),
                shard=shard,
            )

    await asyncio.gather(*map(define, range(SHARDS)))
    async with ledger.database.pool.acquire() as conn:
        assert len(await load_destinations(conn)) == 20


async def claim(ledger: Ledger, limit: int = 10, lease_s: float = 60.0) -> list[store.Attempt]:
    async with transaction(ledger.database.pool) as conn:
        claimed = await store.claim(conn, KEY, limit, lease_s=lease_s, blocked_recheck_s=60.0)
    return list(claimed.attempts)


async def end(ledger: Ledger, attempt: store.Attempt, state: DeliveryState) -> None:
    async with ledger.database.pool.acquire() as conn:
        await store.end_attempts(conn, [(attempt, Transition(state, "ended"))])


async def test_interrupted_attempt_is_shown_as_unknown_and_repeated(
    ledger: Ledger, receiver: Receiver
) -> None:
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    (interrupted,) = await claim(ledger, lease_s=0.2)
    row = await ledger.row(effect)
    assert (row["state"], row["attempts"]) == (DeliveryState.UNKNOWN, 1)
    assert not await claim(ledger), "the attempt is leased"
    async with ledger.dispatching():
        await ledger.all_are(DeliveryState.DELIVERED)
        await end(ledger, interrupted, DeliveryState.DEAD)
    row = await ledger.row(effect)
    assert (row["state"], row["attempts"]) == (DeliveryState.DELIVERED, 2), (
        "a late result changes nothing"
    )
    assert receiver.keys() == [to_hex(effect.effect_id)]


async def test_crash_after_sending_repeats_the_same_message(
    ledger: Ledger, receiver: Receiver
) -> None:
    """The first process sends and dies before it records the result."""
    to = hook(receiver.url())
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    receiver.script = [receiver.hang, 200]
    async with ledger.dispatching(drain_s=0.0, lease_s=0.3):
        await wait_until(lambda: receiver.received)
    assert (await ledger.row(effect))["state"] == DeliveryState.UNKNOWN
    other = hook(receiver.url(), version=2, content=b'{"coupon":"other"}')
    await ledger.define(other)
    renderer = FakeRenderer()
    async with ledger.dispatching(renderer=renderer):
        await ledger.all_are(DeliveryState.DELIVERED)
    assert receiver.keys() == [to_hex(effect.effect_id)] * 2
    assert receiver.received[0].body == receiver.received[1].body
    assert not renderer.rendered


async def test_two_replicas_that_render_at_once_send_one_message(
    ledger: Ledger, receiver: Receiver
) -> None:
    """A replica whose lease expired while it rendered must not send."""
    to = hook(receiver.url())
    await ledger.define(to)
    await ledger.add([change(1)], to)
    resumed = asyncio.Event()
    slow = FakeRenderer(before=resumed.wait)
    async with ledger.dispatching(renderer=slow, lease_s=0.2):
        await wait_until(lambda: _is_unknown(ledger))
        async with ledger.dispatching():
            await ledger.all_are(DeliveryState.DELIVERED)
        resumed.set()
        await wait_until(lambda: slow.rendered)
    assert len(receiver.received) == 1
    assert await ledger.states() == {"DELIVERED": 1}


async def _is_unknown(ledger: Ledger) -> bool:
    return await ledger.states() == {"UNKNOWN": 1}


async def test_replicas_never_attempt_the_same_effect_at_once(
    ledger: Ledger, receiver: Receiver
) -> None:
    """With three dispatchers and failures, no key has two open requests at the receiver."""
    open_requests: Counter[str] = Counter()
    most: Counter[str] = Counter()
    chance = random.Random(7)

    async def respond(request: web.Request) -> web.StreamResponse:
        key = request.headers["webhook-id"]
        open_requests[key] += 1
        most[key] = max(most[key], open_requests[key])
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        open_requests[key] -= 1
        return web.Response(status=500 if chance.random() < 0.2 else 200)

    receiver.script = [respond]
    to = hook(receiver.url())
    await ledger.define(to)
    effects = await ledger.add([change(n, o) for n in range(150) for o in (1, 2)], to)
    async with ledger.dispatching(), ledger.dispatching(), ledger.dispatching():
        await ledger.all_are(DeliveryState.DELIVERED, DeliveryState.DEAD)
    assert set(most) == {to_hex(e.effect_id) for e in effects}
    assert set(most.values()) == {1}
    rows = {to_hex(r["effect_id"]): r["attempts"] for r in await ledger.rows()}
    assert Counter(receiver.keys()) == rows, "each attempt in the ledger is one request"


async def test_ended_effect_unblocks_the_next_effect(ledger: Ledger) -> None:
    first, second = await ledger.add([change(1, 1), change(1, 2)], TO)
    (attempt,) = await claim(ledger)
    assert attempt.effect_id == first.effect_id
    assert not await claim(ledger)
    await end(ledger, attempt, DeliveryState.DELIVERED)
    (attempt,) = await claim(ledger)
    assert attempt.effect_id == second.effect_id


async def test_dead_effect_does_not_block_the_next_effect(ledger: Ledger) -> None:
    _, second = await ledger.add([change(1, 1), change(1, 2)], TO)
    (attempt,) = await claim(ledger)
    await end(ledger, attempt, DeliveryState.DEAD)
    assert [a.effect_id for a in await claim(ledger)] == [second.effect_id]


async def test_destination_of_another_workspace_has_its_own_queue(ledger: Ledger) -> None:
    await ledger.add([change(1)], TO)
    other = DestinationKey(WorkspaceId("other"), TO.destination_id)
    async with transaction(ledger.database.pool) as conn:
        claimed = await store.claim(conn, other, 10, lease_s=1, blocked_recheck_s=1)
    assert not claimed.attempts


FREQUENT = (
    "lock_due",
    "start_attempts",
    "postpone",
    "end_attempts",
    "save_payloads",
    "mark_outcomes_published",
    "add_effects",
)


@pytest.mark.parametrize("when", ["before any statistics", "statistics of an empty queue"])
async def test_no_statement_scans_the_queue(ledger: Ledger, when: str) -> None:
    """An attempt costs the same in a long queue, whatever statistics the planner has."""
    await ledger.add([change(n) for n in range(2_000)], TO)
    async with ledger.database.pool.acquire() as conn:
        if when != "before any statistics":
            await conn.execute("UPDATE effect SET state = 3, outcome_published = true")
            await conn.execute("VACUUM ANALYZE effect")
            await conn.execute("UPDATE effect SET state = 1, outcome_published = false")
        await conn.execute("SET plan_cache_mode = force_generic_plan")
        for name in FREQUENT:
            plan = await _plan(conn, name)
            assert "Seq Scan on effect" not in plan, f"{name}\n{plan}"
            for line in plan.splitlines():
                scans = "effect_due" in line and not (name == "lock_due" and "effect c" in line)
                assert not scans, f"{name}\n{plan}"
        await conn.execute("RESET plan_cache_mode")


async def _plan(conn: asyncpg.Connection, name: str) -> str:
    statement = await conn.prepare(getattr(store.Q, name))
    arguments = ", ".join(
        f"ARRAY[]::{p.name}" if p.kind == "array" else f"NULL::{p.name}"
        for p in statement.get_parameters()
    )
    types = ", ".join(p.name for p in statement.get_parameters())
    text = getattr(store.Q, name).rstrip(";")
    await conn.execute(f"PREPARE explained ({types}) AS {text}")
    rows = await conn.fetch(f"EXPLAIN EXECUTE explained ({arguments})")
    await conn.execute("DEALLOCATE explained")
    return "\n".join(row[0] for row in rows)


async def test_list_has_the_newest_effects_first(ledger: Ledger) -> None:
    await ledger.add([change(n, changed_at_us=1_000 + n) for n in range(MAX_IN_FLIGHT)], TO)
    async with open_ledger(ledger.dsn) as reopened:
        rows = await _listed(reopened)
    assert rows == [1_000 + MAX_IN_FLIGHT - 1 - n for n in range(5)]


async def _listed(ledger: Ledger, *before: tuple[int, bytes], **filters: Any) -> list[int]:
    """Return the instants of the first five effects that filters select."""
    async with transaction(ledger.database.pool) as conn:
        rows = await store.list_effects(conn, W, 5, store.EffectFilters(**filters), *before)
    return [row["changed_at_us"] for row in rows]


@pytest.mark.parametrize(
    ("filters", "selected"),
    [
        ({"since_us": 2_000}, [3_000, 2_000]),
        ({"segment_id": "trial"}, [1_000]),
        ({"segment_id": "paid", "since_us": 2_001}, [3_000]),
        ({"journey_id": "welcome"}, []),
        ({"profile_ids": [profile(2), profile(9)]}, [2_000]),
        ({"destination_id": "elsewhere"}, []),
        ({"state": DeliveryState.PENDING}, [3_000, 2_000, 1_000]),
        ({"state": DeliveryState.DEAD}, []),
    ],
    ids=["since", "segment", "both", "journey", "profile", "destination", "pending", "dead"],
)
async def test_list_has_what_its_filters_select(
    ledger: Ledger, filters: dict[str, Any], selected: list[int]
) -> None:
    both = hook("http://127.0.0.1:1/in", segment_ids=("trial", "paid"))
    await ledger.add([change(1, changed_at_us=1_000)], both)
    for n in (2, 3):
        await ledger.add([change(n, segment_id="paid", changed_at_us=n * 1_000)], both)
    assert await _listed(ledger, **filters) == selected
    assert await _listed(ledger, (2_000, b""), **filters) == [
        each for each in selected if each < 2_000
    ]
