"""The ends of deliveries as facts of the log: each once, whatever happens in between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from integration.activation.fake_peers import Peers, peers
from integration.activation.ledger_world import Ledger, W, change, hook, places
from onefold.activation.v1.activation_facts_pb2 import DeliveryEnded

from services.activation.codec import bus as wire
from services.activation.delivery import outcomes as report
from services.activation.delivery.outcomes import Reporter
from services.activation.domain.model import Effect, State
from services.activation.domain.transitions import Next
from services.activation.store import postgres as store
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.tasks import background
from services.chassis.testing import wait_until
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import to_hex

TO = hook("http://127.0.0.1:1/in")


@pytest_asyncio.fixture(loop_scope="session")
async def around() -> AsyncIterator[Peers]:
    async with peers() as there:
        yield there


@pytest_asyncio.fixture(loop_scope="session")
async def reporter(ledger: Ledger, around: Peers) -> AsyncIterator[Reporter]:
    async with open_channel(around.url, "a-key-of-this-test") as log:
        yield Reporter(ledger.database, LogClient(log, "activation"), "activation")


async def ended(ledger: Ledger, *states: State) -> list[Effect]:
    made = await ledger.add([change(n, at_us=n) for n in range(len(states))], TO)
    async with ledger.database.pool.acquire() as conn:
        claim = await store.claim(conn, places(TO)[0], 1_000, lease_s=60, wait_s=60)
        ends = [(a, Next(s, "HTTP 418")) for a, s in zip(claim.begun, states, strict=True)]
        await store.end_attempts(conn, ends)
    return made


def told(around: Peers) -> dict[str, DeliveryEnded]:
    facts = around.log.of_kind(wire.DELIVERY_ENDED)
    ends = [DeliveryEnded.FromString(fact.payload) for fact in facts]
    return {end.effect_id: end for end in ends}


async def test_every_end_is_a_fact(ledger: Ledger, around: Peers, reporter: Reporter) -> None:
    made = await ended(ledger, State.DELIVERED, State.DEAD, State.PENDING)
    (moved,) = await ledger.add([change(9, by_merge=True)], TO)
    assert await reporter.report_once() == 3
    assert await reporter.report_once() == 0
    ends = told(around)
    assert {i: e.state for i, e in ends.items()} == {
        to_hex(made[0].effect_id): State.DELIVERED,
        to_hex(made[1].effect_id): State.DEAD,
        to_hex(moved.effect_id): State.SUPPRESSED,
    }
    dead = ends[to_hex(made[1].effect_id)]
    assert (dead.attempts, dead.reason, dead.segment_id) == (1, "HTTP 418", "trial")
    (fact,) = (f for f in around.log.facts.values() if f.leaf_id == made[1].profile_id)
    assert (fact.workspace_id, fact.actor) == (W, "activation")


async def test_an_answer_that_is_lost_makes_no_second_fact(
    ledger: Ledger, around: Peers, reporter: Reporter
) -> None:
    await ended(ledger, *[State.DELIVERED] * 5)
    around.log.lose_answers = 1
    with pytest.raises(ServiceUnavailable):
        await reporter.report_once()
    assert await reporter.report_once() == 5
    assert len(told(around)) == 5
    assert around.log.duplicates == 5


async def test_two_replicas_tell_the_same_facts(
    ledger: Ledger, around: Peers, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAGE", 7)
    monkeypatch.setattr(report, "PAUSE", 0.01)
    await ended(ledger, *[State.DELIVERED] * 100)
    async with background(reporter.run(), reporter.run()):
        await wait_until(lambda: len(told(around)) == 100)
        await wait_until(lambda: _all_reported(ledger))


async def _all_reported(ledger: Ledger) -> bool:
    return not await ledger.rows(reported=False)


async def test_the_log_away_is_waited_for(
    ledger: Ledger, around: Peers, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAUSE", 0.01)
    around.log.away = True
    await ended(ledger, State.DELIVERED)
    async with background(reporter.run()):
        assert not await _all_reported(ledger)
        around.log.away = False
        await wait_until(lambda: _all_reported(ledger))
    assert len(told(around)) == 1


async def test_one_that_is_dead_again_ends_again(
    ledger: Ledger, around: Peers, reporter: Reporter
) -> None:
    (made,) = await ended(ledger, State.DEAD)
    assert await _retry(ledger, made) is None, "the log is to know of the first end before"
    await reporter.report_once()
    assert await _retry(ledger, made)
    async with ledger.database.pool.acquire() as conn:
        claim = await store.claim(conn, places(TO)[0], 1, lease_s=60, wait_s=60)
        await store.end_attempts(conn, [(claim.begun[0], Next(State.DELIVERED, "HTTP 200"))])
    await reporter.report_once()
    facts = around.log.of_kind(wire.DELIVERY_ENDED)
    ends = [DeliveryEnded.FromString(fact.payload) for fact in facts]
    assert [(e.state, e.attempts) for e in ends] == [(State.DEAD, 1), (State.DELIVERED, 2)]


async def test_a_retry_while_an_end_is_told_does_not_hide_the_next_one(
    ledger: Ledger, around: Peers, reporter: Reporter
) -> None:
    """Marking is for the end that was told, and not for one that came meanwhile."""
    (made,) = await ended(ledger, State.DEAD)
    rows = await ledger.database.pool.fetch(store.Q.unreported, 10)
    await reporter.report_once()
    await _retry(ledger, made)
    async with ledger.database.pool.acquire() as conn:
        claim = await store.claim(conn, places(TO)[0], 1, lease_s=60, wait_s=60)
        await store.end_attempts(conn, [(claim.begun[0], Next(State.DEAD, "HTTP 500"))])
        late = [[r[name] for r in rows] for name in ("effect_id", "shard", "attempts")]
        await conn.execute(store.Q.mark_reported, *late)
    assert not (await ledger.row(made))["reported"]
    assert await reporter.report_once() == 1


async def _retry(ledger: Ledger, made: Effect) -> object:
    return await ledger.database.pool.fetchrow(store.Q.retry, W, made.effect_id)
