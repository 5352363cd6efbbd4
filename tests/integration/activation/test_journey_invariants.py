"""What holds of runs whatever happens, in whatever order, and whatever fails in between.

The store, the fold, the player and the publisher are real; the log and the clock are the test's.
The invariants are checked after every step: I1 one effect for each run, step and visit · I2 nothing
can be sent before the log has its transition · I7 no person as known gets a step twice · I9 every
open run has a reason · I11 transitions have no gaps, and a run is their fold · I12 every transition
follows from what the log has · I15 a lost answer, a second worker or a lost database changes
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from integration.activation.journey_fixture import BEGIN, EMPTY, JourneyBench, leaf
from integration.activation.ledger_fixture import Ledger, W
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from oracle.random_journeys import BEGIN as CASE_BEGIN
from oracle.random_journeys import Engine, hours_of, make_case, run_facts, truth
from properties import examples

from services.activation.codec.journey_runs import record_from_bytes
from services.activation.domain.journeys import looks, persons
from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.transitions import run_effect_id
from services.activation.projection.journeys import player, publisher
from services.activation.store import run_reads, runs
from services.activation.store.runs import DueKey
from services.chassis.postgres.database import transaction
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.time import HOUR_US

LEAVES = (1, 2, 3)
JOURNEY: dict[str, Any] = {
    "id": "j",
    "enter": {"event": "entered", "again": "never"},
    "goal": [{"event": "paid"}],
    "steps": [
        {"wait": "2h"},
        {"send": {"id": "first", "to": "mail", "template": "t"}},
        {
            "listen": {
                "to": {"event": "clicked"},
                "at_most": "2h",
                "then": [{"send": {"id": "clicked", "to": "mail", "template": "t"}}],
                "otherwise": [{"send": {"id": "silent", "to": "mail", "template": "t"}}],
            },
            "id": "l",
        },
    ],
}


class Step(NamedTuple):
    """Something that happens to the system."""

    what: str
    of: int = 1
    #: Half hours.
    halves: int = 0


def of_leaf(what: str) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(what), st.sampled_from(LEAVES), st.integers(0, 6))


STEPS = st.lists(
    st.one_of(
        *(of_leaf(what) for what in ("entered", "entered", "paid", "clicked", "pass", "pass")),
        *(of_leaf(what) for what in ("pass one shard", "move", "part", "two looks")),
        *(of_leaf(what) for what in ("look", "publish", "send", "lose an answer", "fail a look")),
    ),
    min_size=6,
    max_size=30,
)


class Machine:
    """Takes steps, and knows what must hold after each."""

    def __init__(self, bench: JourneyBench) -> None:
        self.bench = bench
        self.pool = bench.ledger.database.pool
        #: The person of each leaf: another leaf.
        self.person = {number: number for number in LEAVES}
        self.version = 0
        #: What has begun: the leaf, the step, the leaves of the person then.
        self.begun: list[tuple[bytes, str, frozenset[bytes]]] = []

    async def take(self, step: Step) -> None:
        bench = self.bench
        match step.what:
            case "entered" | "paid" | "clicked":
                late_us = step.halves * HOUR_US // 2
                await bench.happen(
                    step.what,
                    step.of,
                    occurred_at_us=max(BEGIN + 1, bench.now_us - late_us),
                    profile=self.person[step.of],
                    version=self.version,
                )
            case "pass":
                await bench.pass_time(step.halves / 2, us=1)
            case "pass one shard":
                await bench.pass_time(step.halves / 2, us=1, shards=[step.of])
            case "move" | "part":
                to = step.of if step.what == "part" else LEAVES[step.halves % 3]
                if self.person[to] == to:
                    self.version += 1
                    self.person[step.of] = to
                    await bench.move(step.of, to, self.version)
            case "look":
                await bench.look()
            case "two looks":
                await asyncio.gather(*(bench.engine.player.look_once() for _ in range(2)))
            case "publish":
                await bench.engine.publisher.publish_once()
            case "send":
                await self.send()
            case "lose an answer":
                await self._lose_answer()
            case _:
                await self._fail_look()

    async def send(self) -> None:
        """Begin an attempt at everything that may be sent."""
        rows = await self.pool.fetch("SELECT leaf_id, step_id FROM effect WHERE state = 1")
        for row in rows:
            own = self._leaves_of(row["leaf_id"])
            before = {(b, s) for b, s, _ in self.begun if b in own}
            assert not any(step == row["step_id"] for _, step in before), "I7"
            self.begun.append((row["leaf_id"], row["step_id"], own))
        await self.bench.send()

    def _leaves_of(self, leaf_id: bytes) -> frozenset[bytes]:
        number = next(number for number in LEAVES if leaf(number) == leaf_id)
        person = self.person[number]
        return frozenset(leaf(n) for n in LEAVES if self.person[n] == person)

    async def _lose_answer(self) -> None:
        append = self.bench.log.append

        async def lost(facts: list[Any]) -> None:
            await append(facts)
            raise ServiceUnavailable("the answer is lost")

        self.bench.log.append = lost  # type: ignore[method-assign]
        try:
            await self.bench.engine.publisher.publish_once()
        except ServiceUnavailable:
            pass
        finally:
            self.bench.log.append = append  # type: ignore[method-assign]

    async def _fail_look(self) -> None:
        """Let a look fail just before its commit."""

        async def failing(*_: Any) -> None:
            raise ServiceUnavailable("the store is away")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, "save_dues", failing)
            with suppress(ServiceUnavailable):
                await self.bench.engine.player.look_once()

    async def check(self) -> None:
        """Check what must hold after every step."""
        logged: dict[bytes, list[runs_pb.RunTransitioned]] = {}
        for each in self.bench.log.transitions():
            logged.setdefault(each.run_id, []).append(each)
        planned = {
            run_effect_id(run_id, (effect.step_id, effect.visit))
            for run_id, own in logged.items()
            for each in own
            for effect in each.planned.effects
        }
        for row in await self.bench.ledger.rows():
            key = run_effect_id(row["run_id"], (row["step_id"], row["visit"]))
            assert row["effect_id"] == key, "I1"
            may_be_sent = row["state"] not in (5, 7)
            assert not may_be_sent or key in planned, "I2"
        for row in await self.bench.runs():
            stored = runs_pb.RunTransitions.FromString(row["transitions"]).transitions
            assert [t.number for t in stored] == list(range(1, row["number"] + 1)), "I11"
            assert record_from_bytes(row["transitions"]).run_id == row["run_id"], "I11"
            own = sorted(logged.get(row["run_id"], ()), key=lambda t: t.number)
            assert own == list(stored)[: len(own)], "I11"
            assert len(own) >= row["published"], "I2"
        problems = await self.pool.fetch(run_reads.Q.find_problems, W, "", -1)
        assert {row["problem"] for row in problems} <= {3}, "I9"

    async def check_end(self) -> None:
        """Let everything come to rest, and check what must hold then."""
        for _ in range(3):
            await self.bench.come_to_rest(4)
            await self.send()
        await self.bench.come_to_rest()
        await self.check()
        found = await self.bench.verify()
        assert found.unjustified == [], "I12"
        effects = {bytes(row["effect_id"]) for row in await self.bench.ledger.rows()}
        sent = {bytes(row["effect_id"]) for row in await self.bench.ledger.rows(state=3)}
        states = {bytes(row["run_id"]): row["end_reason"] for row in await self.bench.runs()}
        await self.bench.publish_ends()
        await self.bench.lose_database()
        assert {bytes(row["effect_id"]) for row in await self.bench.ledger.rows(state=3)} == sent
        assert {bytes(r["run_id"]): r["end_reason"] for r in await self.bench.runs()} == states
        known = len(self.bench.log.facts)
        await self.bench.come_to_rest(4)
        assert len(self.bench.log.facts) == known, "I15"
        assert {bytes(row["effect_id"]) for row in await self.bench.ledger.rows()} <= effects


async def live(ledger: Ledger, steps: list[Step]) -> None:
    """Take steps from an empty store on, and check the invariants after each."""
    await ledger.database.pool.execute(EMPTY)
    machine = Machine(JourneyBench(ledger))
    await machine.bench.define(**JOURNEY)
    for step in steps:
        await machine.take(step)
        await machine.check()
    await machine.check_end()


@examples(8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_invariants_hold_whatever_happens(ledger: Ledger, steps: list[Step]) -> None:
    await live(ledger, steps)


#: Steps that find each mutant.
ENTER, PASS = Step("entered"), Step("pass", 1, 6)
MERGED = [ENTER, PASS, Step("look"), Step("publish"), Step("send"), Step("entered", 2)]
MUTANTS: dict[str, list[Step]] = {
    "effects are released before their transition is in the log": [ENTER, PASS, Step("look")],
    "a run that another one has repeated sends again": [
        *MERGED,
        Step("move", 2, 0),
        *(PASS, Step("look"), Step("publish"), Step("send")),
    ],
    "dues are forgotten": [ENTER, Step("pass", 1, 1), Step("look"), Step("publish")],
    "a look knows facts that not every shard has passed": [
        *(ENTER, Step("pass", 1, 2), Step("look"), Step("publish"), Step("paid", 2)),
        *(Step("move", 2, 0), Step("look"), Step("publish")),
    ],
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Break one guard."""
    with pytest.MonkeyPatch.context() as patch:
        match name:
            case "effects are released before their transition is in the log":
                add = player.add_planned_effects

                async def add_and_release(conn: Any, effects: Any, shards: int) -> None:
                    await add(conn, effects, shards)
                    keys = [(effect.effect_id, effect.leaf_id) for effect in effects]
                    await publisher.release_effects(conn, keys, shards)

                patch.setattr(player, "add_planned_effects", add_and_release)
            case "a run that another one has repeated sends again":
                patch.setattr(persons._Group, "_refusal_beside", lambda *_: None)
            case "dues are forgotten":
                save = runs.save_dues

                async def forget(conn: Any, dues: Any) -> None:
                    await save(conn, dict.fromkeys(dues))

                patch.setattr(runs, "save_dues", forget)
            case _:
                look = looks.look_at

                def early(person: Any, history: Any, known_us: int) -> Any:
                    facts = [replace(f, recorded_at_us=f.occurred_at_us) for f in person.facts]
                    return look(replace(person, facts=facts), history, known_us)

                patch.setattr(player, "look_at", early)
        yield


@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_breaks_an_invariant(ledger: Ledger, name: str) -> None:
    steps = MUTANTS[name]
    await live(ledger, steps)
    with mutated(name), pytest.raises(AssertionError):
        await live(ledger, steps)


@pytest.mark.parametrize("seed", range(6))
async def test_store_sends_what_the_player_alone_sends(bench: JourneyBench, seed: int) -> None:
    case = make_case(Random(seed), late=True, simple=True)
    engine = Engine(case)
    engine.run()
    bench.now_us = CASE_BEGIN - 1
    await bench.define_journey(case.journey)
    bench.upstream.truth = lambda question: truth(*question)
    assert hours_of(case.contact).quiet == {}
    recorded = {h.id: case.recorded.get(h.id, h.at) for h in case.happenings}
    looks_at = sorted({*recorded.values(), case.now})
    pool = bench.ledger.database.pool
    while looks_at:
        look = looks_at.pop(0)
        if look > case.now:
            break
        new = [h for h in case.happenings if recorded[h.id] == look]
        facts: dict[tuple[WorkspaceId, FactId], JourneyFact] = {}
        for happening in new:
            subjects = tuple(fact.subject for fact in run_facts(engine.program, [happening]))
            if subjects:
                facts[W, FactId(happening.id)] = JourneyFact(
                    LeafId(case.leaf),
                    FactId(happening.id),
                    *(happening.at, look, subjects, happening.properties),
                )
        key = DueKey(W, case.journey.journey_id, LeafId(case.leaf))
        async with transaction(pool) as conn:
            await runs.add_facts(conn, facts)
            await runs.add_dues(conn, [(key, look)])
        bench.now_us = look
        await bench.come_to_rest()
        bench.now_us = look
        await bench.send()
        due = await pool.fetchval("SELECT min(due_us) FROM journey_due WHERE due_us > $1", look)
        if due is not None and due <= case.now:
            looks_at = sorted({*looks_at, due})
    rows = await bench.ledger.rows(state=3)
    sent = sorted((row["step_id"], row["visit"], row["changed_at_us"]) for row in rows)
    expected = sorted(
        (step_id, visit, at)
        for (_, step_id, visit), instants in engine.messages().items()
        for at in instants
    )
    assert sent == expected


class Killed(Exception):
    """Stands for the end of the process."""


@contextmanager
def killed_at(statement: int, *, done: bool) -> Iterator[list[int]]:
    """End the process at a statement, before it or when it is `done`; yield how many there were."""
    count = [0]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "fetchval", "fetchrow", "execute"):
            original = getattr(asyncpg.Connection, name)

            async def counted(conn: Any, *args: Any, _call: Any = original, **named: Any) -> Any:
                count[0] += 1
                if count[0] == statement and not done:
                    raise Killed
                result = await _call(conn, *args, **named)
                if count[0] == statement:
                    raise Killed
                return result

            patch.setattr(asyncpg.Connection, name, counted)
        yield count


async def work(bench: JourneyBench) -> None:
    """Do all that is due once."""
    await bench.look()
    while await bench.engine.publisher.publish_once():
        pass
    while await bench.engine.own_effects.carry_out():
        pass


@pytest.mark.parametrize("done", [False, True])
async def test_process_that_is_killed_at_any_statement_repeats_and_loses_nothing(
    ledger: Ledger, done: bool
) -> None:
    steps = [*JOURNEY["steps"][:2], {"put": {"tag": "eager"}, "id": "p"}]
    expected: tuple[Any, ...] | None = None
    reached, statement = True, 0
    while reached:
        await ledger.database.pool.execute(EMPTY)
        bench = JourneyBench(ledger)
        await bench.define(**{**JOURNEY, "steps": steps})
        await bench.happen("entered", 1, occurred_at_us=BEGIN)
        await bench.happen("entered", 2, occurred_at_us=BEGIN)
        await bench.happen("paid", 2, occurred_at_us=BEGIN + 1)
        await bench.pass_time(3)
        reached = False
        with killed_at(statement, done=done) as count:
            try:
                await work(bench)
            except Killed:
                reached = True
        # Leases of what was begun and not ended expire.
        await ledger.database.pool.execute("UPDATE effect SET due_at = now()")
        await bench.come_to_rest()
        await work(bench)
        states = sorted((r["step_id"], r["state"]) for r in await bench.ledger.rows())
        kinds = sorted(f.kind.rpartition(".")[2] for f in bench.log.facts.values())
        assert (await bench.verify()).unjustified == []
        expected = expected or (states, kinds)
        assert (states, kinds) == expected, f"killed at statement {statement}"
        reached = reached or statement == 0
        # Each of both tests takes every second statement.
        statement += 2 if statement else 1 + done
    assert statement > 20
    assert count[0] < statement
