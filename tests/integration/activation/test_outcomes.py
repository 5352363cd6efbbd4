"""Tests that every final state of an effect becomes exactly one fact of the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from integration.activation.fake_peers import FakePeers, fake_peers
from integration.activation.ledger_fixture import Ledger, W, change, hook, keys_of
from onefold.activation.v1.activation_facts_pb2 import DeliveryEnded
from service_fixtures import wait_until

from services.activation.codec.bus import DELIVERY_ENDED
from services.activation.delivery import outcomes
from services.activation.delivery.outcomes import OutcomePublisher
from services.activation.domain.model import DeliveryState, Effect
from services.activation.domain.transitions import Transition
from services.activation.store import effects as store
from services.chassis.postgres.database import transaction
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.tasks import background
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import to_hex

TO = hook("http://127.0.0.1:1/in")
(KEY,) = keys_of(TO)


@pytest_asyncio.fixture(loop_scope="session")
async def peers() -> AsyncIterator[FakePeers]:
    async with fake_peers() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def publisher(ledger: Ledger, peers: FakePeers) -> AsyncIterator[OutcomePublisher]:
    async with open_channel(peers.url, "a-key-of-this-test") as log:
        yield OutcomePublisher(ledger.database, LogClient(log, "activation"), "activation")


async def ended(ledger: Ledger, *states: DeliveryState) -> list[Effect]:
    effects = await ledger.add([change(n, changed_at_us=n) for n in range(len(states))], TO)
    async with transaction(ledger.database.pool) as conn:
        claim = await store.claim(conn, KEY, 1_000, lease_s=60, blocked_recheck_s=60)
        transitions = [Transition(state, "HTTP 418") for state in states]
        await store.end_attempts(conn, list(zip(claim.attempts, transitions, strict=True)))
    return effects


def published(peers: FakePeers) -> dict[str, DeliveryEnded]:
    """Return the outcomes in the log, by effect id."""
    messages = [DeliveryEnded.FromString(f.payload) for f in peers.log.of_kind(DELIVERY_ENDED)]
    return {message.effect_id: message for message in messages}


async def test_every_final_state_becomes_a_fact(
    ledger: Ledger, peers: FakePeers, publisher: OutcomePublisher
) -> None:
    effects = await ended(
        ledger, DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PENDING
    )
    (moved,) = await ledger.add([change(9, by_merge=True)], TO)
    assert await publisher.publish_once() == 3
    assert await publisher.publish_once() == 0
    outcomes_by_id = published(peers)
    assert {i: e.state for i, e in outcomes_by_id.items()} == {
        to_hex(effects[0].effect_id): DeliveryState.DELIVERED,
        to_hex(effects[1].effect_id): DeliveryState.DEAD,
        to_hex(moved.effect_id): DeliveryState.SUPPRESSED,
    }
    dead = outcomes_by_id[to_hex(effects[1].effect_id)]
    assert (dead.attempts, dead.reason, dead.segment_id) == (1, "HTTP 418", "trial")
    (fact,) = (f for f in peers.log.facts.values() if f.leaf_id == effects[1].profile_id)
    assert (fact.workspace_id, fact.actor) == (W, "activation")


async def test_lost_response_of_the_log_makes_no_second_fact(
    ledger: Ledger, peers: FakePeers, publisher: OutcomePublisher
) -> None:
    await ended(ledger, *[DeliveryState.DELIVERED] * 5)
    peers.log.lose_responses = 1
    with pytest.raises(ServiceUnavailable):
        await publisher.publish_once()
    assert await publisher.publish_once() == 5
    assert len(published(peers)) == 5
    assert peers.log.duplicates == 5


async def test_two_replicas_publish_the_same_facts(
    ledger: Ledger, peers: FakePeers, publisher: OutcomePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "PAGE", 7)
    monkeypatch.setattr(outcomes, "POLL_INTERVAL_S", 0.01)
    await ended(ledger, *[DeliveryState.DELIVERED] * 100)
    async with background(publisher.run(), publisher.run()):
        await wait_until(lambda: len(published(peers)) == 100)
        await wait_until(lambda: _all_are_published(ledger))


async def _all_are_published(ledger: Ledger) -> bool:
    return not await ledger.rows(outcome_published=False)


async def test_publisher_retries_while_the_log_is_away(
    ledger: Ledger, peers: FakePeers, publisher: OutcomePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "POLL_INTERVAL_S", 0.01)
    peers.log.away = True
    await ended(ledger, DeliveryState.DELIVERED)
    async with background(publisher.run()):
        assert not await _all_are_published(ledger)
        peers.log.away = False
        await wait_until(lambda: _all_are_published(ledger))
    assert len(published(peers)) == 1


async def test_effect_that_is_retried_and_ends_again_has_two_facts(
    ledger: Ledger, peers: FakePeers, publisher: OutcomePublisher
) -> None:
    (effect,) = await ended(ledger, DeliveryState.DEAD)
    assert await _retry(ledger, effect) is None, "the first end is not in the log yet"
    await publisher.publish_once()
    assert await _retry(ledger, effect)
    async with transaction(ledger.database.pool) as conn:
        claim = await store.claim(conn, KEY, 1, lease_s=60, blocked_recheck_s=60)
        await store.end_attempts(
            conn, [(claim.attempts[0], Transition(DeliveryState.DELIVERED, "HTTP 200"))]
        )
    await publisher.publish_once()
    facts = peers.log.of_kind(DELIVERY_ENDED)
    messages = [DeliveryEnded.FromString(fact.payload) for fact in facts]
    assert [(m.state, m.attempts) for m in messages] == [
        (DeliveryState.DEAD, 1),
        (DeliveryState.DELIVERED, 2),
    ]


async def test_retry_during_publication_does_not_hide_the_next_outcome(
    ledger: Ledger, peers: FakePeers, publisher: OutcomePublisher
) -> None:
    """The mark is for the published outcome, and not for a later one."""
    (effect,) = await ended(ledger, DeliveryState.DEAD)
    rows = await ledger.database.pool.fetch(store.Q.load_unpublished_outcomes, 10)
    await publisher.publish_once()
    await _retry(ledger, effect)
    async with transaction(ledger.database.pool) as conn:
        claim = await store.claim(conn, KEY, 1, lease_s=60, blocked_recheck_s=60)
        await store.end_attempts(
            conn, [(claim.attempts[0], Transition(DeliveryState.DEAD, "HTTP 500"))]
        )
        columns = [[r[name] for r in rows] for name in ("effect_id", "shard", "attempts")]
        await conn.execute(store.Q.mark_outcomes_published, *columns)
    assert not (await ledger.row(effect))["outcome_published"]
    assert await publisher.publish_once() == 1


async def _retry(ledger: Ledger, effect: Effect) -> object:
    try:
        async with transaction(ledger.database.pool) as conn:
            return await store.retry_dead(conn, W, effect.effect_id)
    except ServiceUnavailable:
        return None


async def test_pages_that_are_not_full_are_followed_by_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "POLL_INTERVAL_S", 3_600.0)
    pages = [outcomes.PAGE, outcomes.PAGE, 1, 1, 1]
    published = 0

    async def publish_once() -> int:
        nonlocal published
        published += 1
        await asyncio.sleep(0)
        return pages[published - 1]

    async with background(outcomes.publish_pages(publish_once, "outcomes")):
        await wait_until(lambda: published >= 3)
        for _ in range(20):
            await asyncio.sleep(0)
    assert published == 3
