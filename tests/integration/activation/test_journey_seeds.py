"""Kills activation at random moments: whatever a channel promises about repeats, it holds (T2).

Each seed lives through kills at random statements, appends and calls of providers, before or after
they are done. Fold, player, publisher, gate and delivery are real. Whole systems of real processes
are killed in tests/faults. `./onefold test --faults N` lives through N seeds, the suite through 50.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from random import Random
from typing import Any

import asyncpg
import pytest
from integration.activation.gated_ledger import template
from integration.activation.journey_fixture import BEGIN, EMPTY, JourneyBench, calls, leaf
from integration.activation.ledger_fixture import (
    KEYS,
    SHARDS,
    FakeRenderer,
    Ledger,
    W,
    destination,
    webhook,
)
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.log.v1.log_pb2 import Fact

from services.activation.channels import Message, Sender
from services.activation.delivery import worker
from services.activation.delivery.admission import RunAdmission
from services.activation.delivery.coupons import CouponIssuer
from services.activation.delivery.metrics import DeliveryMetrics
from services.activation.delivery.worker import DeliveryContext, DestinationWorker
from services.activation.domain.contracts import Repeat
from services.activation.domain.message_channels import AliyunSms, TwilioSms
from services.activation.domain.model import DeliveryState, Destination
from services.activation.domain.recipients import Recipient
from services.activation.domain.sealing import NONCE_BYTES, SecretPlace
from services.activation.domain.transitions import AttemptResult, AttemptStatus, RetryPolicy
from services.activation.projection.journeys.engine import JourneyEngine
from services.activation.store import effects
from services.chassis.codec.journeys import contact_policy_to_proto
from services.chassis.runtime.telemetry import Metrics
from services.cli.commands.development import FAULT_SEEDS
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.journeys.contact_policy import parse_contact_policy
from services.kernel.tokens import Token

SEEDS = max(50, int(os.environ.get(FAULT_SEEDS, 0)))
SEEDS_A_TEST, PERSONS, KILLS, MOST_ROUNDS = 10, 5, 3, 40
#: Of the test that loses the database: with the seeds of faults, half of a thousand messages.
MANY_PERSONS, SENT_BEFORE = (334, 500) if FAULT_SEEDS in os.environ else (20, 30)
LOSSES = 5 if FAULT_SEEDS in os.environ else 1
JOURNEY: dict[str, Any] = {
    "id": "hello",
    "enter": {"event": "entered", "again": "never"},
    "steps": [
        {"wait": "1h"},
        {"put": {"tag": "greeted"}},
        {"send": {"id": "first", "to": "keyed", "template": "hello"}},
        {"send": {"id": "second", "to": "queried", "template": "hello"}},
        {"send": {"id": "third", "to": "keyless", "template": "hello"}},
    ],
}
POLICY = {"purposes": {"marketing": {"consent": "implied"}}}
SECRET = KEYS.seal(SecretPlace(W, "sms", "secret"), "secret", bytes(NONCE_BYTES))
DESTINATIONS = (
    destination(webhook("https://x.example/in", "keyed"), "keyed"),
    destination(AliyunSms("AKID", SECRET, "x"), "queried"),
    destination(TwilioSms("AC1", SECRET, "+12025550123"), "keyless"),
)
SENT = (DeliveryState.DELIVERED, DeliveryState.ACCEPTED)
SHOWN = DeliveryState.UNCONFIRMED
#: What is open is due, and the leases of attempts that were killed have ended.
HURRY = "UPDATE effect SET due_at = now() WHERE state IN (1, 2, 8) AND run_id IS NOT NULL"


class Killed(BaseException):
    """Stands for the end of the process."""


class Kills:
    """Ends the process at a moment: at a statement, an append or a call, before it or after it."""

    def __init__(self) -> None:
        #: How many moments the process has still to live; below 1 = for ever.
        self.remaining = 0
        #: How many messages are still accepted before it ends; below 1 = any number.
        self.messages = 0

    def at(self, moments: int) -> None:
        """End the process after so many moments."""
        self.remaining = moments

    def at_message(self, messages: int) -> None:
        """End the process once so many messages were accepted."""
        self.messages = messages

    def accept(self) -> None:
        """Raise Killed with the last message that is accepted."""
        self.messages -= 1
        if self.messages == 0:
            raise Killed

    def pass_moment(self) -> None:
        """Raise Killed where this is the last moment."""
        self.remaining -= 1
        if self.remaining == 0:
            raise Killed


class Provider(Sender):
    """Accepts messages, and loses some answers; it remembers what it has accepted."""

    def __init__(self, random: Random, kills: Kills) -> None:
        self._random, self._kills = random, kills
        self.accepted: Counter[str] = Counter()

    async def send(self, to: Destination, message: Message) -> AttemptResult:
        self._kills.pass_moment()
        script = self._random.choices(["accepted", "lost", "unanswered", "failed"], [7, 1, 1, 1])[0]
        if script in ("accepted", "unanswered"):
            self.accepted[message.key] += 1
            self._kills.accept()
        self._kills.pass_moment()
        status = {"accepted": AttemptStatus.DELIVERED, "failed": AttemptStatus.FAILED}
        return AttemptResult(status.get(script, AttemptStatus.LOST), script)

    async def find(self, to: Destination, message: Message) -> AttemptResult | None:
        self._kills.pass_moment()
        found = AttemptResult(AttemptStatus.DELIVERED, "found")
        return found if self.accepted[message.key] else None


class Life:
    """A journey of some persons, whose process is killed now and then."""

    def __init__(self, ledger: Ledger, seed: int, kills: Kills, persons: int = PERSONS) -> None:
        self.bench, self.random, self.kills = JourneyBench(ledger), Random(seed), kills
        self.persons = persons
        self.pool = ledger.database.pool
        channels = {type(to.channel): to.destination_id for to in DESTINATIONS}
        self.providers = {name: Provider(self.random, kills) for name in channels.values()}
        log: Any = self
        issuer = CouponIssuer(ledger.database, log, "activation", b"k" * 32)
        own: Any = (ledger.database, log, self._persons, self._template, SHARDS, issuer)
        self.context = DeliveryContext(
            ledger.database,
            FakeRenderer(),  # type: ignore[arg-type]
            {channel: self.providers[name] for channel, name in channels.items()},
            RetryPolicy(max_attempts=1_000),
            DeliveryMetrics(Metrics("activation")),
            max_in_flight=4,
            admission=RunAdmission(*own),
        )
        self._append = self.bench.log.append
        self.bench.log.append = self.append  # type: ignore[method-assign]

    async def append(self, facts: list[Fact], known_us: int = 0) -> None:
        """Append facts to the log, which may end the process."""
        self.kills.pass_moment()
        await self._append(facts)
        self.kills.pass_moment()

    async def now(self) -> tuple[Token, int]:
        return Token({}), self.bench.now_us

    async def run(self) -> None:
        """Let all persons enter, and do what is due through kills until everything is at rest."""
        bench, random = self.bench, self.random
        await self.enter()
        for _ in range(KILLS):
            await bench.pass_time(random.choice((0.0, 1.1)), us=1)
            self.kills.at(random.randrange(1, 90))
            await self._work_until_killed()
            self.kills.at(0)
            self._restart()
        await bench.pass_time(3.0)
        await self.rest()

    async def run_without_database(self) -> None:
        """Lose the database and the process when half of the messages are sent."""
        await self.enter()
        await self.bench.pass_time(3.0, us=1)
        self.kills.at_message(SENT_BEFORE)
        await self._work_until_killed()
        assert sum(each.accepted.total() for each in self.providers.values()) < 2 * SENT_BEFORE
        await self.bench.publish_ends()
        await self.bench.lose_database()
        self._restart()
        await self.bench.ledger.define(*DESTINATIONS)
        await self.bench.pass_time(us=1)
        await self.rest()

    async def enter(self) -> None:
        """Let all persons enter an empty store."""
        bench = self.bench
        await self.pool.execute(EMPTY)
        await bench.ledger.define(*DESTINATIONS)
        await bench.policy(contact_policy_to_proto(parse_contact_policy(POLICY)))
        await bench.define(**JOURNEY)
        for n in range(self.persons):
            await bench.happen("entered", n, occurred_at_us=BEGIN + n)

    async def rest(self) -> None:
        """Do what is due until nothing is open any more."""
        rounds = 0
        while await self._work():
            assert (rounds := rounds + 1) < MOST_ROUNDS, "it never comes to rest"

    async def _work_until_killed(self) -> None:
        with suppress(Killed):
            try:
                await self._work()
            except BaseExceptionGroup as group:
                others = group.split(Killed)[1]
                raise (others or Killed()) from group

    def _restart(self) -> None:
        """Begin with nothing in memory."""
        old, bench = self.bench.engine, self.bench
        own: Any = (bench.ledger.database, old.player.runner, bench.log, bench.upstream)
        bench.engine = JourneyEngine(*own, SHARDS, bench.queues.extend)
        for shard in range(SHARDS):
            bench.projection.forget(shard)

    async def _work(self) -> bool:
        """Do all that is due; return whether anything is open still."""
        engine = self.bench.engine
        while await engine.player.look():
            pass
        while await engine.publisher.publish_once():
            pass
        while await engine.own_effects.carry_out():
            pass
        await self.pool.execute(HURRY)
        for to in DESTINATIONS:
            own = DestinationWorker(to, self.context)
            async with asyncio.TaskGroup() as group:
                await own._cycle(group)
            while own._ended:
                async with asyncio.TaskGroup() as group:
                    await own._cycle(group)
        rows = await self.bench.ledger.rows()
        return len(rows) < 4 * self.persons or any(row["state"] in (1, 2, 7, 8) for row in rows)

    async def check(self) -> None:
        """Check what each channel promises, and that each decision follows from the log."""
        rows = await self.bench.ledger.rows()
        assert Counter(row["destination_id"] for row in rows) == dict.fromkeys(
            ("", *self.providers), self.persons
        )
        states = {row["effect_id"].hex(): row["state"] for row in rows if row["destination_id"]}
        of = {
            name: {row["effect_id"].hex() for row in rows if row["destination_id"] == name}
            for name in self.providers
        }
        keyed, queried, keyless = (self.providers[name].accepted for name in of)
        assert {states[key] for key in of["keyed"] | of["queried"]} <= set(SENT)
        assert keyed.keys() == of["keyed"], "each once, as a repeat is dropped by its key"
        assert queried == Counter(of["queried"]), "each exactly once"
        assert all(times == 1 for times in keyless.values()), "a message was sent twice"
        sent = {key for key in of["keyless"] if states[key] in SENT}
        shown = {key for key in of["keyless"] if states[key] == SHOWN}
        assert sent | shown == of["keyless"]
        assert sent <= keyless.keys(), "one that is shown as sent was not"
        found = await self.bench.verify()
        assert found.unjustified == []
        rpc = await calls(self.bench)
        assert not (await rpc.AuditRuns(pb.AuditRunsRequest(), None)).findings
        summary = await rpc.SummarizeJourney(pb.SummarizeJourneyRequest(journey_id="hello"), None)
        assert summary.begun == sum(each.count for each in summary.ended) == self.persons

    async def _persons(
        self, workspace_id: WorkspaceId, leaf_ids: Collection[LeafId], token: Token
    ) -> dict[LeafId, Recipient]:
        numbers = {leaf(n): n for n in range(self.persons)}
        return {
            id_: Recipient([("phone", f"+86138{numbers[id_]:08}")], leaf_ids=(id_,))
            for id_ in leaf_ids
        }

    async def _template(self, workspace_id: WorkspaceId, name: str) -> Any:
        return template(name, "hello") if name == "hello" else None


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Kills:
    """What ends the process at a statement, too."""
    own = Kills()
    for name in ("fetch", "fetchval", "fetchrow", "execute"):
        original = getattr(asyncpg.Connection, name)

        async def counted(conn: Any, *args: Any, _call: Any = original, **named: Any) -> Any:
            own.pass_moment()
            result = await _call(conn, *args, **named)
            own.pass_moment()
            return result

        monkeypatch.setattr(asyncpg.Connection, name, counted)
    return own


async def live(ledger: Ledger, kills: Kills, first: int) -> None:
    """Live through some seeds from one on."""
    for seed in range(first, first + SEEDS_A_TEST):
        life = Life(ledger, seed, kills)
        try:
            await life.run()
            await life.check()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("first", range(1, SEEDS + 1, SEEDS_A_TEST))
async def test_kills_at_random_moments_break_no_promise_of_a_channel(
    ledger: Ledger, kills: Kills, first: int
) -> None:
    await live(ledger, kills, first)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, 1 + LOSSES))
async def test_lost_database_in_the_midst_of_sending_breaks_no_promise_of_a_channel(
    ledger: Ledger, kills: Kills, seed: int
) -> None:
    life = Life(ledger, seed, kills, MANY_PERSONS)
    await life.run_without_database()
    await life.check()


def _forgets_unanswered(original: Any) -> Any:
    async def claim(*args: Any, **named: Any) -> Any:
        found = await original(*args, **named)
        for attempt in found.attempts:
            object.__setattr__(attempt, "unanswered", False)
        return found

    return claim


MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "a repeat does not know of the attempt before": (effects, "claim", _forgets_unanswered),
    "what has no answer is sent again": (worker, "repeat_of", lambda _: lambda *_: Repeat.SEND),
}


@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_breaks_a_promise(
    ledger: Ledger, kills: Kills, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    holder, attribute, change = MUTANTS[name]
    monkeypatch.setattr(holder, attribute, change(getattr(holder, attribute)))
    with pytest.raises((AssertionError, ValueError, KeyError)):
        await live(ledger, kills, 1)
