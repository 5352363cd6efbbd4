"""Tests runs of journeys over the real store: begun by events, due by time, ended by goals."""

from __future__ import annotations

from integration.activation.journey_fixture import BEGIN, CART, JourneyBench

from services.kernel.time import HOUR_US


async def test_cart_that_is_not_paid_gets_one_message_after_its_transition(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated")
    await bench.settle(1.9)
    assert bench.log.kinds() == ["began"]
    await bench.pass_time(0.2)
    await bench.look()
    assert await bench.effects() == {"reminder": "planned"}
    await bench.settle()
    assert bench.log.kinds() == ["began", "planned", "ended"]
    assert await bench.send() == ["reminder"]
    await bench.settle(24)
    assert await bench.send() == []
    [run] = await bench.runs()
    assert (run["state"], run["published"]) == (3, 3)


async def test_payment_of_another_shard_at_the_last_microsecond_stops_the_message(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.move(2, 1, version=1)
    due_us = BEGIN + 2 * HOUR_US
    # The shard of the payment is behind: the due has passed on every other one.
    bench.now_us = due_us + 1
    await bench.pass_time(shards=[0, 1, 3])
    await bench.look()
    assert await bench.effects() == {}
    bench.now_us = due_us
    await bench.happen("order_paid", 2, profile=1, version=1)
    await bench.settle(1)
    assert bench.log.kinds() == ["began", "ended"]
    assert await bench.effects() == {}


async def test_payment_before_the_attempt_withdraws_the_message(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.settle(2)
    assert await bench.effects() == {"reminder": "pending"}
    paid = await bench.happen("order_paid", 1)
    await bench.settle()
    assert bench.log.kinds() == ["began", "planned", "ended", "withdrawn"]
    [row] = await bench.ledger.rows()
    assert (row["state"], row["reason"]) == (5, f"overtaken:{paid.fact_id.hex()}")


async def test_payment_after_the_attempt_leaves_the_message(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.settle(2)
    assert await bench.send() == ["reminder"]
    await bench.happen("order_paid", 1)
    await bench.settle()
    assert bench.log.kinds() == ["began", "planned", "ended"]
