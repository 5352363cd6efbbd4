"""Tests the effects of runs in the ledger: planned, released, withdrawn and planned again."""

from __future__ import annotations

from typing import Any

from integration.activation.ledger_fixture import SHARDS, Ledger, W, hook, profile
from integration.activation.receiver import Receiver
from msgspec.structs import replace

from services.activation.domain.journeys.transitions import run_effect_id
from services.activation.domain.model import DeliveryState, RunEffect
from services.activation.store import effects as ledger_store
from services.activation.store import run_effects as store
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import transaction
from services.kernel.ids import LeafId

KEY = DestinationKey(W, "coupon")


def run_effect(n: int, step_id: str = "reminder", **fields: Any) -> RunEffect:
    run_id = bytes([n]) * 16
    plain = RunEffect(
        run_effect_id(run_id, (step_id, 0)),
        W,
        run_id,
        "recovery",
        1,
        step_id,
        0,
        LeafId(profile(n)),
        profile(n),
        1_000,
        "coupon",
        "marketing",
        50,
    )
    return replace(plain, **fields)


def key_of(effect: RunEffect) -> tuple[bytes, LeafId]:
    return effect.effect_id, effect.leaf_id


async def plan(ledger: Ledger, *effects: RunEffect) -> None:
    async with transaction(ledger.database.pool) as conn:
        await store.add_planned_effects(conn, effects, SHARDS)


async def release(ledger: Ledger, *effects: RunEffect) -> set[DestinationKey]:
    async with transaction(ledger.database.pool) as conn:
        return await store.release_effects(conn, list(map(key_of, effects)), SHARDS)


async def withdraw(ledger: Ledger, *effects: RunEffect) -> set[bytes]:
    async with transaction(ledger.database.pool) as conn:
        keys = list(map(key_of, effects))
        return await store.withdraw_effects(conn, keys, SHARDS, "overtaken:00")


async def test_planned_effect_is_due_only_after_its_release(
    ledger: Ledger, receiver: Receiver
) -> None:
    await ledger.define(hook(receiver.url()))
    effects = [run_effect(n) for n in range(3)]
    await plan(ledger, *effects)
    async with transaction(ledger.database.pool) as conn:
        assert await ledger_store.next_due(conn, [KEY]) == {}
    assert await release(ledger, *effects[:2]) == {KEY}
    assert await ledger.states() == {"PENDING": 2, "PLANNED": 1}
    await plan(ledger, *effects)
    assert await ledger.states() == {"PENDING": 2, "PLANNED": 1}


async def test_withdrawn_effect_is_not_sent_until_it_is_planned_again(ledger: Ledger) -> None:
    planned, released, begun = (run_effect(n) for n in range(3))
    await plan(ledger, planned, released, begun)
    await release(ledger, released, begun)
    await ledger.database.pool.execute(
        "UPDATE effect SET begun_at_us = 1, state = 2 WHERE effect_id = $1", begun.effect_id
    )
    gone = await withdraw(ledger, planned, released, begun)
    assert gone == {planned.effect_id, released.effect_id}
    row = await ledger.row(planned)  # type: ignore[arg-type]
    assert (row["state"], row["reason"]) == (5, "overtaken:00")
    assert await release(ledger, planned) == set()
    await plan(ledger, replace(planned, at_us=2_000), begun)
    row = await ledger.row(planned)  # type: ignore[arg-type]
    assert (row["state"], row["changed_at_us"]) == (DeliveryState.PLANNED, 2_000)
    row = await ledger.row(begun)  # type: ignore[arg-type]
    assert row["state"] == DeliveryState.UNKNOWN
    async with transaction(ledger.database.pool) as conn:
        await store.lock_persons(conn, [begun.profile_id, planned.profile_id])
        leaves = [planned.leaf_id, begun.leaf_id]
        assert await store.load_begun(conn, leaves) == {begun.run_id: {("reminder", 0)}}
