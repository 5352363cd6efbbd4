"""Tests coupons of messages: taken once, in the log before the attempt, used, voided, restored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from integration.activation.gated_ledger import GatedLedger, gated, leaf
from integration.activation.journey_fixture import BEGIN, JourneyBench, calls
from integration.activation.journey_fixture import leaf as bench_leaf
from integration.activation.ledger_fixture import Ledger, W, hook
from integration.activation.receiver import Receiver
from onefold.activation.v1 import journey_facts_pb2 as pb
from onefold.activation.v1 import journey_service_pb2 as journeys_pb

from services.activation.codec.coupons import (
    CODES_LOADED,
    COUPON_ISSUED,
    POOL_DEFINED,
    issued_fact,
    pool_definition,
)
from services.activation.domain.coupons import Coupon, coupon_id
from services.activation.domain.model import DeliveryState
from services.activation.store.coupons import Q, add_coupons, count_pools, save_pool
from services.chassis.postgres.database import transaction
from services.kernel.ids import LeafId, WorkspaceId, to_hex
from services.kernel.journeys.coupons import CouponPool, CouponUse
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.tree import with_coupon_uses
from services.kernel.rules.filters import EventFilter
from services.kernel.time import HOUR_US

DELIVERED, SUPPRESSED = DeliveryState.DELIVERED, DeliveryState.SUPPRESSED
ISSUE = {"issue": {"trial": {"pool": "P", "valid": "3d"}}}
OFFER = {"send": {"id": "reminder", "to": "coupon", "template": "offer", **ISSUE}}
EVERYONE = {"purposes": {"marketing": {"consent": "implied"}}}
NO_CODE = "the pool 'P' has no free code: load more"


@pytest_asyncio.fixture(loop_scope="session")
async def gate(ledger: Ledger, receiver: Receiver) -> AsyncIterator[GatedLedger]:
    """A gate with one destination, and a journey that issues coupons of the pool P."""
    async with gated(ledger) as opened:
        await ledger.define(hook(receiver.url()))
        await opened.templates(offer="{{ coupon.trial.code }} {{ coupon.trial.until | date }}")
        await opened.define({"steps": [OFFER]})
        await opened.policy(EVERYONE)
        await ledger.database.pool.execute("TRUNCATE coupon, coupon_code, coupon_pool")
        yield opened


async def define_pool(gate: GatedLedger, *codes: str, prefix: str = "") -> None:
    fact = pool_definition(WorkspaceId(W), CouponPool("P", prefix=prefix, version=1))
    async with transaction(gate.ledger.database.pool) as conn:
        await save_pool(conn, W, fact.payload)
        await conn.execute(Q.add_codes, W, "P", codes)


def texts(receiver: Receiver) -> list[str]:
    return sorted(json.loads(r.body)["data"]["message"]["text"] for r in receiver.received)


async def counts(gate: GatedLedger) -> tuple[int, ...]:
    async with transaction(gate.ledger.database.pool) as conn:
        return tuple((await count_pools(conn, WorkspaceId(W)))["P"])


async def test_codes_of_a_list_are_taken_once_each_and_an_empty_pool_sends_nothing(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await define_pool(gate, "A", "B")
    for n in range(3):
        gate.peers.profile.add(leaf(n))
        await gate.plan(n)
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED, SUPPRESSED)
    assert texts(receiver) == ["A 2026-11-30", "B 2026-11-30"]
    rows = await gate.ledger.rows(state=SUPPRESSED.value)
    assert [row["reason"] for row in rows] == [NO_CODE]
    assert await counts(gate) == (0, 2, 0, 0)
    facts = gate.peers.log.of_kind(COUPON_ISSUED)
    issued = [pb.CouponIssued.FromString(fact.payload) for fact in facts]
    assert {each.code for each in issued} == {"A", "B"}
    # One message has one coupon, and its id is that of the fact.
    assert {fact.fact_id for fact in facts} == {
        coupon_id(bytes.fromhex(each.effect_id), "trial") for each in issued
    }


async def test_message_that_the_gate_refuses_gives_its_code_back(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await define_pool(gate, "A")
    await gate.policy({"purposes": {"marketing": {"consent": "granted"}}}, version=2)
    gate.peers.profile.add(leaf(0))
    await gate.plan(0)
    async with gate.dispatching():
        await gate.ledger.all_are(SUPPRESSED)
    assert await counts(gate) == (1, 0, 0, 0)
    assert not gate.peers.log.of_kind(COUPON_ISSUED)


async def test_attempt_waits_for_the_log_and_a_repeat_takes_no_other_code(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await define_pool(gate, "A", "B")
    gate.peers.profile.add(leaf(0))
    gate.peers.log.lose_responses = 1
    await gate.plan(0)
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED)
    assert gate.peers.log.duplicates == 1
    assert len(texts(receiver)) == 1
    assert await counts(gate) == (1, 1, 0, 0)


async def test_prefix_generates_a_code_for_each_message(
    gate: GatedLedger, receiver: Receiver
) -> None:
    await define_pool(gate, prefix="T-")
    for n in range(2):
        gate.peers.profile.add(leaf(n))
        await gate.plan(n)
    async with gate.dispatching():
        await gate.ledger.all_are(DELIVERED)
    first, second = texts(receiver)
    assert first.startswith("T-")
    assert first != second


USE = CouponUse(EventFilter.of("redeemed"), "code")
LIFE: dict[str, Any] = {
    "id": "life",
    "enter": {"event": "registered", "again": "always"},
    "goal": [{"event": "order_paid"}],
    "steps": [
        {"send": {"id": "offer", "to": "mail", "template": "t", **ISSUE}},
        {"until": {"coupon": "trial", "before": "1d"}},
        {"choose": [{
            "when": {"not": {"coupon": {"name": "trial", "is": "used"}}},
            "steps": [{"send": {"id": "last", "to": "mail", "template": "t"}}],
        }]},
        {"wait": "10d"},
    ],
    "on_goal": [{"void": "trial", "id": "void"}],
}  # fmt: skip


async def begin(
    bench: JourneyBench, *people: int, form: dict[str, Any] = LIFE, hours: float = 0
) -> dict[int, Coupon]:
    """Let runs of persons send the offer with a coupon after some hours; return the coupons."""
    pool = CouponPool("P", used=USE, version=1)
    await bench.broadcast(
        POOL_DEFINED, pb.CouponPoolDefined.FromString(pool_definition(WorkspaceId(W), pool).payload)
    )
    codes = [f"CODE-{n}" for n in people]
    await bench.broadcast(CODES_LOADED, pb.CouponCodesLoaded(pool_id="P", codes=codes))
    await bench.define_journey(with_coupon_uses(parse_journey(form), {"P": USE}))
    for n in people:
        await bench.happen("registered", n)
    await bench.come_to_rest(hours)
    await bench.send()
    issued = {}
    for n in people:
        [row] = await bench.ledger.rows(step_id="offer", leaf_id=bench_leaf(n))
        until_us = row["changed_at_us"] + 3 * 86_400_000_000
        keys = row["effect_id"], row["run_id"], LeafId(row["leaf_id"]), "life"
        id_ = coupon_id(row["effect_id"], "trial")
        coupon = Coupon(
            id_, WorkspaceId(W), *keys, "trial", "P", f"CODE-{n}", until_us, is_published=True
        )
        async with transaction(bench.ledger.database.pool) as conn:
            await add_coupons(conn, [coupon])
        bench.log.facts[coupon.coupon_id] = issued_fact(coupon, "activation")
        issued[n] = coupon
    return issued


async def coupon_rows(bench: JourneyBench) -> dict[str, tuple[bool, bool]]:
    """Return whether each coupon was used and voided, by code."""
    rows = await bench.ledger.database.pool.fetch("SELECT * FROM coupon")
    return {row["code"]: (row["used_at_us"] is not None, row["voided"]) for row in rows}


async def test_use_of_the_own_code_decides_whether_a_reminder_follows(bench: JourneyBench) -> None:
    await begin(bench, 1, 2)
    await bench.happen("redeemed", 1, code="CODE-1")
    await bench.happen("redeemed", 2, code="CODE-9")
    await bench.come_to_rest(47)
    assert await bench.send() == []
    await bench.come_to_rest(2)
    rows = await bench.ledger.rows(step_id="last")
    assert [row["leaf_id"] for row in rows] == [bench_leaf(2)]
    assert await coupon_rows(bench) == {"CODE-1": (True, False), "CODE-2": (False, False)}


async def test_goal_voids_a_coupon_that_was_not_used(bench: JourneyBench) -> None:
    coupons = await begin(bench, 1, 2)
    await bench.happen("redeemed", 1, code="CODE-1")
    await bench.happen("order_paid", 1)
    await bench.happen("order_paid", 2)
    await bench.come_to_rest(1)
    assert await bench.carry_out() == ["CouponVoided"]
    assert await coupon_rows(bench) == {"CODE-1": (True, False), "CODE-2": (False, True)}
    reasons = {row["leaf_id"]: row["reason"] for row in await bench.ledger.rows(step_id="void")}
    assert reasons == {bench_leaf(1): "the coupon was used", bench_leaf(2): ""}
    [voided] = [f for f in bench.log.facts.values() if f.kind.endswith("CouponVoided")]
    message = pb.CouponVoided.FromString(voided.payload)
    assert message.coupon_id == coupons[2].coupon_id.hex()


LATE: dict[str, Any] = {
    "id": "life",
    "enter": {"event": "registered", "again": "never"},
    "goal": [{"event": "order_paid"}],
    "steps": [{"wait": "2h"}, {"send": {"id": "offer", "to": "mail", "template": "t", **ISSUE}}],
    "on_goal": [{"put": {"tag": "bought"}, "id": "bought"}],
    "regret": {"unwanted": [{"void": "trial", "id": "void"}]},
}


async def test_order_that_is_learnt_after_the_message_takes_its_unused_coupon_back(
    bench: JourneyBench,
) -> None:
    """An order before the message, at its instant, before it with a used code, and after it."""
    sent_us = BEGIN + 2 * HOUR_US
    await begin(bench, 1, 2, 3, 4, 5, form=LATE, hours=3)
    orders = {1: sent_us - HOUR_US, 2: sent_us, 3: sent_us - HOUR_US, 4: sent_us + 1}
    await bench.happen("redeemed", 3, code="CODE-3")
    late = {n: await bench.happen("order_paid", n, occurred_at_us=at) for n, at in orders.items()}
    await bench.come_to_rest(1)
    kinds = sorted(await bench.carry_out())
    assert kinds == ["CouponVoided"] * 2 + ["TraitCorrected"] * 3
    assert await coupon_rows(bench) == {
        "CODE-1": (False, True),
        "CODE-2": (False, True),
        "CODE-3": (True, False),
        "CODE-4": (False, False),
        "CODE-5": (False, False),
    }
    rpc = await calls(bench)
    found = (await rpc.ListRegrets(journeys_pb.ListRegretsRequest(journey_id="life"), None)).regrets
    # What follows a regret is none. Each names the order that has shown it.
    unwanted, shifted = journeys_pb.REGRET_KIND_UNWANTED, journeys_pb.REGRET_KIND_SHIFTED
    regretted = [
        *((n, "offer", unwanted) for n in (1, 2, 3)),
        *((n, "bought", shifted) for n in (1, 3)),
    ]
    assert {(r.profile_id, r.step_id, r.kind, r.fact_id) for r in found} == {
        (to_hex(bench_leaf(n)), step, kind, to_hex(late[n].fact_id)) for n, step, kind in regretted
    }
    assert (await bench.verify()).unjustified == []
    await bench.publish_ends()
    known = set(bench.log.facts)
    await bench.lose_database()
    await bench.come_to_rest(24)
    assert await bench.carry_out() == []
    assert set(bench.log.facts) == known


async def test_goal_in_time_is_followed_by_its_own_steps_and_by_no_others(
    bench: JourneyBench,
) -> None:
    await begin(bench, 1, form={**LATE, "steps": [*LATE["steps"][1:], {"wait": "2h"}]})
    await bench.pass_time(1)
    await bench.happen("order_paid", 1)
    await bench.come_to_rest(1)
    assert await bench.carry_out() == ["TraitCorrected"]
    await bench.happen("order_paid", 1)
    await bench.come_to_rest(1)
    assert await bench.carry_out() == []
    assert await coupon_rows(bench) == {"CODE-1": (False, False)}


async def test_coupons_are_restored_with_the_ledger_and_keep_their_codes(
    bench: JourneyBench,
) -> None:
    await begin(bench, 1, 2)
    await bench.happen("redeemed", 1, code="CODE-1")
    await bench.happen("order_paid", 2)
    await bench.come_to_rest(1)
    await bench.carry_out()
    before = await coupon_rows(bench)
    await bench.lose_database()
    assert await coupon_rows(bench) == before
    async with transaction(bench.ledger.database.pool) as conn:
        assert tuple((await count_pools(conn, WorkspaceId(W)))["P"]) == (0, 2, 1, 1)
