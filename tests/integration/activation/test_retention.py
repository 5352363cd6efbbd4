"""Tests what is stored of ended deliveries, and which of them may be retried."""

from __future__ import annotations

import pytest
from integration.activation.ledger_fixture import Ledger, W, change, hook, keys_of
from integration.activation.receiver import Receiver
from service_fixtures import wait_until

from services.activation.codec.bus import delivery_to_proto
from services.activation.commands.retries import RetryCommands
from services.activation.delivery import retention as retention_module
from services.activation.delivery.retention import PayloadRetention
from services.activation.domain.model import DeliveryState, Effect
from services.activation.domain.transitions import RetryPolicy
from services.activation.store import effects as store
from services.chassis.postgres.database import transaction
from services.chassis.runtime.tasks import background
from services.kernel.errors import InvalidField
from services.kernel.ids import to_hex

DAY_S = 86_400
ENDED = (DeliveryState.DELIVERED, DeliveryState.DEAD)


async def pass_days(ledger: Ledger, days: float) -> None:
    """Let every end lie `days` further back."""
    await ledger.database.pool.execute(
        "UPDATE effect SET ended_at = ended_at - $1::float8 * interval '1 day'", days
    )


async def deliver(ledger: Ledger, receiver: Receiver, *statuses: int) -> list[Effect]:
    """Deliver one message for each of these responses, one after the other."""
    to = hook(receiver.url())
    await ledger.define(to)
    effects = []
    async with ledger.dispatching(retry_policy=RetryPolicy(max_attempts=1)) as dispatcher:
        for n, status in enumerate(statuses):
            receiver.script = [status]
            effects += await ledger.add([change(n)], to)
            dispatcher.wake(keys_of(to))
            await ledger.all_are(*ENDED)
    return effects


async def publish_ends(ledger: Ledger) -> None:
    await ledger.database.pool.execute("UPDATE effect SET outcome_published = state > 2")


async def retry(ledger: Ledger, effect: Effect) -> None:
    await RetryCommands(ledger.database, lambda _: None).retry(W, effect.effect_id)


async def test_payloads_are_deleted_after_their_time_and_outcomes_stay(
    ledger: Ledger, receiver: Receiver
) -> None:
    delivered, dead = await deliver(ledger, receiver, 200, 400)
    to = hook(receiver.url())
    retention = PayloadRetention(ledger.database, 7 * DAY_S)
    await pass_days(ledger, 6.9)
    assert await retention.delete_once() == 0
    await pass_days(ledger, 0.2)
    receiver.script = [500]
    (pending,) = await ledger.add([change(9)], to)
    async with ledger.dispatching(retry_policy=RetryPolicy(initial_backoff=900.0)) as dispatcher:
        dispatcher.wake(keys_of(to))
        await wait_until(lambda: ledger.rows(effect_id=pending.effect_id, reason="HTTP 500"))
    assert await retention.delete_once() == 2
    for effect, state, reason in (
        (delivered, DeliveryState.DELIVERED, "HTTP 200"),
        (dead, DeliveryState.DEAD, "HTTP 400"),
    ):
        row = await ledger.row(effect)
        assert (row["state"], row["attempts"], row["reason"]) == (state, 1, reason)
        assert (row["payload"], row["payload_deleted"]) == (None, True)
    row = await ledger.row(pending)
    assert row["payload"] is not None
    assert not row["payload_deleted"], "an open effect has its message"
    async with transaction(ledger.database.pool) as conn:
        listed = [delivery_to_proto(row) for row in await store.list_effects(conn, W, 10)]
    assert {d.effect_id: d.payload_deleted for d in listed} == {
        to_hex(delivered.effect_id): True,
        to_hex(dead.effect_id): True,
        to_hex(pending.effect_id): False,
    }
    assert await retention.delete_once() == 0


async def test_payloads_are_deleted_page_by_page(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "PAGE", 2)
    monkeypatch.setattr(retention_module, "PAUSE_S", 0.0)
    await deliver(ledger, receiver, *[200] * 5)
    await pass_days(ledger, 8)
    retention = PayloadRetention(ledger.database, 7 * DAY_S)
    assert await retention.delete_once() == 2

    async def are_deleted() -> bool:
        return not await ledger.rows(payload_deleted=False)

    async with background(retention.run()):
        await wait_until(are_deleted)


async def test_deletion_does_not_read_the_ledger(ledger: Ledger) -> None:
    """The job reads what it deletes, however many deliveries there are."""
    to = hook("http://127.0.0.1:1/")
    await ledger.add([change(n) for n in range(2_000)], to)
    await ledger.database.pool.execute("ANALYZE effect")
    statement = store.Q.delete_payloads.rstrip(";").replace("$1", "1.0").replace("$2", "10")
    rows = await ledger.database.pool.fetch(f"EXPLAIN {statement}")
    plan = "\n".join(row[0] for row in rows)
    assert "effect_payload" in plan
    assert "Seq Scan on effect" not in plan


async def test_delivery_whose_payload_was_deleted_cannot_be_retried(
    ledger: Ledger, receiver: Receiver
) -> None:
    (dead,) = await deliver(ledger, receiver, 400)
    await publish_ends(ledger)
    await pass_days(ledger, 8)
    await PayloadRetention(ledger.database, 7 * DAY_S).delete_once()
    with pytest.raises(InvalidField, match="has no message any more"):
        await retry(ledger, dead)
    assert (await ledger.row(dead))["state"] == DeliveryState.DEAD


async def test_retried_delivery_has_no_end(ledger: Ledger, receiver: Receiver) -> None:
    """Its message must not be deleted while it is open."""
    (dead,) = await deliver(ledger, receiver, 400)
    await publish_ends(ledger)
    await retry(ledger, dead)
    row = await ledger.row(dead)
    assert (row["state"], row["ended_at"]) == (DeliveryState.PENDING, None)


@pytest.mark.parametrize("later", [DeliveryState.DELIVERED, DeliveryState.UNKNOWN])
async def test_dead_entry_cannot_be_retried_after_the_exit_was_sent(
    ledger: Ledger, later: DeliveryState
) -> None:
    to = hook("http://127.0.0.1:1/")
    entered, left, _ = await ledger.add([change(1, 1), change(1, 2), change(2, 1)], to)
    await _set_state(ledger, entered, DeliveryState.DEAD)
    await _set_state(ledger, left, later)
    await publish_ends(ledger)
    with pytest.raises(InvalidField, match="a later change of the same membership"):
        await retry(ledger, entered)
    assert (await ledger.row(entered))["state"] == DeliveryState.DEAD


@pytest.mark.parametrize("later", [DeliveryState.DEAD, DeliveryState.PENDING])
async def test_dead_entry_is_retried_before_an_exit_that_was_not_sent(
    ledger: Ledger, later: DeliveryState
) -> None:
    to = hook("http://127.0.0.1:1/")
    entered, left = await ledger.add([change(1, 1), change(1, 2)], to)
    await _set_state(ledger, entered, DeliveryState.DEAD)
    await _set_state(ledger, left, later)
    await publish_ends(ledger)
    await retry(ledger, entered)
    async with transaction(ledger.database.pool) as conn:
        (key,) = keys_of(to)
        claim = await store.claim(conn, key, 10, lease_s=60, blocked_recheck_s=60)
    assert [each.effect_id for each in claim.attempts] == [entered.effect_id]


async def test_later_exit_cannot_be_started_while_a_retry_is_decided(ledger: Ledger) -> None:
    """A replica that claims before the retry is committed must not send the exit first."""
    to = hook("http://127.0.0.1:1/")
    entered, _ = await ledger.add([change(1, 1), change(1, 2)], to)
    await _set_state(ledger, entered, DeliveryState.DEAD)
    await publish_ends(ledger)
    (key,) = keys_of(to)
    async with transaction(ledger.database.pool) as deciding:
        await store.retry_dead(deciding, W, entered.effect_id)
        async with transaction(ledger.database.pool) as conn:
            claim = await store.claim(conn, key, 10, lease_s=60, blocked_recheck_s=60)
        assert not claim.attempts


async def _set_state(ledger: Ledger, effect: Effect, state: DeliveryState) -> None:
    await ledger.database.pool.execute(
        "UPDATE effect SET state = $1, attempts = 1 WHERE effect_id = $2",
        int(state),
        effect.effect_id,
    )
