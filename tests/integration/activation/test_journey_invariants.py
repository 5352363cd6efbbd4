"""What holds of runs whatever happens, in whatever order, and whatever fails in between.

I1 one effect for each run, step and visit · I2 nothing can be sent before the log has its
transition · I3 an attempt is recorded before it is made, and a repeat is the same message · I4 the
messages to a person and a destination begin in order · I5 none begins in a pause, without consent
or in quiet hours · I6 caps hold in every window · I7 no person as known gets a step twice · I8
nothing is planned after a goal that was known · I9 every open run has a reason · I10 the members of
an occurrence are the sum of what became of them · I11 transitions have no gaps, and a run is their
fold · I12 every transition follows from what the log has · I15 a lost answer, a second worker or a
lost database changes nothing · I16 persons who are two again have the runs of their own
leaves · I17 a coupon has one message, and a message its coupons · I18 a mirror has the members.
I13 and I14 compare the store with the oracle: test_journey_oracle.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from integration.activation import journey_fixture
from integration.activation.journey_fixture import calls, leaf
from integration.activation.journey_machine import LEAVES, Machine, Step
from integration.activation.ledger_fixture import Ledger, W
from msgspec import structs
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.activation.v1 import journey_service_pb2 as pb
from properties import examples

from services.activation.codec.journey_runs import record_from_bytes
from services.activation.delivery import admission, coupons, mirrors
from services.activation.domain.journeys import looks, persons
from services.activation.domain.journeys.transitions import run_effect_id
from services.activation.domain.policy import gate
from services.activation.domain.policy.gate import Flow
from services.activation.domain.transitions import AttemptStatus
from services.activation.projection.journeys import player, publisher, scheduler
from services.activation.store import gate as gate_store
from services.activation.store import mirrors as mirror_store
from services.activation.store import run_reads, runs
from services.kernel.ids import hash_id
from services.kernel.local_time import ZoneHistory

#: States of effects: suppressed, and planned.
SUPPRESSED, PLANNED = 5, 7


def of_leaf(what: str) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(what), st.sampled_from(LEAVES), st.integers(0, 6))


STEP = st.one_of(
    *(of_leaf(what) for what in ("entered", "entered", "paid", "clicked", "pass", "pass")),
    *(of_leaf(what) for what in ("pass one shard", "move", "part", "two looks", "member")),
    *(of_leaf(what) for what in ("look", "publish", "send", "lose an answer", "fail a look")),
    *(of_leaf(what) for what in ("agree", "refuse", "pause", "resume", "take", "mirror")),
)
STEPS = st.lists(STEP, min_size=8, max_size=40)


async def check(machine: Machine) -> None:
    """Check what must hold after every step."""
    assert not machine.found, machine.found
    logged: dict[bytes, list[runs_pb.RunTransitioned]] = {}
    for each in machine.bench.log.transitions():
        logged.setdefault(each.run_id, []).append(each)
    planned = {
        run_effect_id(run_id, (effect.step_id, effect.visit))
        for run_id, own in logged.items()
        for each in own
        for effect in each.planned.effects
    }
    for row in await machine.bench.ledger.rows():
        key = run_effect_id(row["run_id"], (row["step_id"], row["visit"]))
        assert row["effect_id"] == key, "I1"
        assert row["state"] in (SUPPRESSED, PLANNED) or key in planned, "I2"
    waiting = await machine.pool.fetch("SELECT run_id, published FROM run_unpublished")
    published = {row["run_id"]: row["published"] for row in waiting}
    for row in await machine.bench.runs():
        stored = runs_pb.RunTransitions.FromString(row["transitions"]).transitions
        assert [t.number for t in stored] == list(range(1, row["number"] + 1)), "I11"
        assert record_from_bytes(row["transitions"]).run_id == row["run_id"], "I11"
        own = sorted(logged.get(row["run_id"], ()), key=lambda t: t.number)
        assert own == list(stored)[: len(own)], "I11"
        assert len(own) >= published.get(row["run_id"], row["number"]), "I2"
        check_goals(machine, row["leaf_id"], own)
    problems = await machine.pool.fetch(run_reads.Q.find_problems, W, "", -1)
    assert {row["problem"] for row in problems} <= {3}, "I9"
    taken = await machine.pool.fetch("SELECT effect_id, code FROM coupon")
    assert len({row["code"] for row in taken}) == len(taken), "I17: a code is given twice"


def check_goals(
    machine: Machine, leaf_id: bytes, transitions: Sequence[runs_pb.RunTransitioned]
) -> None:
    """Check that no effect was planned after a goal that the look knew."""
    began_us = 0
    for each in transitions:
        if each.journey_id != "j":
            return
        if each.HasField("began"):
            began_us = each.began.entry.occurred_at_us
        leaves = machine.world.leaves_of(leaf_id, each.known_at_us)
        goals = [
            occurred_us
            for occurred_us, recorded_us, of in machine.world.goals
            if recorded_us <= each.known_at_us and leaf(of) in leaves and occurred_us > began_us
        ]
        for effect in each.planned.effects:
            assert not any(goal_us <= effect.at_us for goal_us in goals), "I8"


async def check_end(machine: Machine) -> None:
    """Let everything come to rest, and check what must hold then."""
    bench = machine.bench
    for leaf_number in LEAVES:
        await machine.take(Step("resume", leaf_number))
        await machine.take(Step("part", leaf_number))
    for _ in range(4):
        await bench.come_to_rest(4)
        while await bench.engine.scheduler.take_once():
            pass
        await bench.come_to_rest()
        await machine.send()
    await bench.come_to_rest()
    await check(machine)
    await check_separated(machine)
    await check_audiences(machine)
    await machine.copy()
    members = {leaf(n) for n in machine.world.members_at(bench.now_us)} | machine.joined()
    assert machine.receiver.entries_there.keys() == {each.hex() for each in members}, "I18"
    found = await bench.verify()
    assert found.unjustified == [], "I12"
    await check_restored(machine)


async def check_separated(machine: Machine) -> None:
    rows = [row for row in await machine.bench.runs() if row["journey_id"] == "j"]
    assert all(row["state"] != pb.RUN_STATE_ASLEEP for row in rows), ("I16", machine.taken)
    of_leaves = Counter(row["leaf_id"] for row in rows)
    entered = {leaf(n) for n in LEAVES if machine.entered[n]}
    assert of_leaves == Counter(entered), ("I16", machine.taken)


async def check_audiences(machine: Machine) -> None:
    rpc = await calls(machine.bench)
    named = Counter(leaf_id for own in machine.audience.taken.values() for leaf_id in own)
    for n in LEAVES:
        request = pb.WhyRunRequest(journey_id="news", profile_id=leaf(n).hex())
        entries = (await rpc.WhyRun(request, None)).entries
        assert len(entries) == named[leaf(n)], "I10: a member is missing"
    summary = await rpc.SummarizeJourney(pb.SummarizeJourneyRequest(journey_id="news"), None)
    ends = sum(each.count for each in summary.ended)
    assert summary.begun == summary.open + summary.asleep + ends, "I10"
    messages = sum(each.count for step in summary.steps for each in step.effects)
    # An open run waits for the end of the quiet hours.
    assert messages == summary.begun - summary.asleep - summary.open <= named.total(), "I10"
    audit = await rpc.AuditRuns(pb.AuditRunsRequest(), None)
    assert list(audit.findings) == [], "I9"


async def check_restored(machine: Machine) -> None:
    """Lose the database, and check that what comes from the log is the same."""
    bench = machine.bench
    effects = {bytes(row["effect_id"]) for row in await bench.ledger.rows()}
    sent = {bytes(row["effect_id"]) for row in await bench.ledger.rows(state=3)}
    states = {bytes(row["run_id"]): row["end_reason"] for row in await bench.runs()}
    await bench.publish_ends()
    await bench.lose_database()
    assert {bytes(row["effect_id"]) for row in await bench.ledger.rows(state=3)} == sent, "I15"
    assert {bytes(r["run_id"]): r["end_reason"] for r in await bench.runs()} == states, "I15"
    known = len(bench.log.facts)
    await bench.come_to_rest()
    assert len(bench.log.facts) == known, "I15"
    assert {bytes(row["effect_id"]) for row in await bench.ledger.rows()} <= effects, "I15"


async def live(ledger: Ledger, steps: Sequence[Step]) -> None:
    """Take steps from an empty store on, and check the invariants after each."""
    machine = Machine(ledger)
    await machine.begin()
    for step in steps:
        await machine.take(step)
        await check(machine)
    await check_end(machine)


#: An example that fails is printed as it is: to find a smaller one takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@examples(8, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_invariants_hold_whatever_happens(ledger: Ledger, steps: list[Step]) -> None:
    await live(ledger, steps)


#: Half hours pass, and everything is decided and sent.
ENTER, LOOK, PUBLISH, SEND = Step("entered"), Step("look"), Step("publish"), Step("send")
DUE = [Step("pass", 1, 5), LOOK, PUBLISH]
SENT = [ENTER, *DUE, SEND]
MERGED = [*SENT, Step("entered", 2), Step("move", 2, 0), *DUE, SEND]
MEMBERS = [Step("member", n) for n in LEAVES]
LIVES: dict[str, list[Step]] = {
    "one run": SENT,
    "two runs of one person": MERGED,
    "a merge before the attempt": [
        *(ENTER, Step("entered", 2), *DUE, Step("move", 2, 0), SEND, LOOK, SEND)
    ],
    "a merge that the look before it does not see": [
        *(ENTER, Step("entered", 2), Step("pass", 1, 5), Step("move", 2, 0), LOOK, PUBLISH, SEND),
        *(Step("pass"), LOOK, PUBLISH, SEND),
    ],
    "a goal that is learnt with the due": [
        *(ENTER, Step("pass", 1, 4), Step("paid", 1, 1), LOOK, PUBLISH)
    ],
    "a goal in time": [ENTER, Step("pass", 1, 2), Step("paid"), *DUE, SEND],
    "four messages at once": [
        *(ENTER, *MEMBERS, Step("pass", 1, 17), *[Step("take")] * 5, LOOK, PUBLISH, *[SEND] * 4)
    ],
    "a pause": [ENTER, Step("pause"), *DUE, SEND, Step("resume"), SEND],
    "a refusal": [ENTER, Step("refuse"), *DUE, SEND],
    "the night": [ENTER, *DUE, Step("pass", 1, 2), SEND],
    "a night between two messages": [
        *(ENTER, *DUE, Step("pass", 1, 2), SEND, Step("pass", 1, 4), LOOK, PUBLISH, SEND)
    ],
    "two coupons": [ENTER, Step("entered", 2), *DUE, SEND],
    "an entry that was refused beside another run": [
        *(ENTER, Step("move", 2, 0), Step("entered", 2), *DUE, SEND, Step("part", 2), *DUE, SEND)
    ],
    "an entry that is learnt after a later one": [
        *(Step("pass", 1, 1), ENTER, Step("pass"), LOOK, Step("entered", 1, 1))
    ],
    "a purchase by another leaf of a member": [
        *(ENTER, Step("pass"), LOOK, PUBLISH, Step("mirror"), Step("move", 2, 0)),
        *(Step("paid", 2), Step("pass"), LOOK, PUBLISH, Step("mirror")),
    ],
    "a lost write": [*MEMBERS, Step("mirror", 1, 1), Step("mirror", 1, 0)],
}


def _early(*_: Any) -> Callable[..., Any]:
    look = looks.look_at

    def early(person: Any, history: Any, known_us: int) -> Any:
        facts = [structs.replace(f, recorded_at_us=f.occurred_at_us) for f in person.facts]
        return look(structs.replace(person, facts=facts), history, known_us)

    return early


def _without_goals(*_: Any) -> Callable[..., Any]:
    look = looks.look_at

    def without(person: Any, history: Any, known_us: int) -> Any:
        entries = [f for f in person.facts if f.fact_id == person.facts[0].fact_id]
        return look(structs.replace(person, facts=entries), history, known_us)

    return without


def _released(add: Any) -> Callable[..., Any]:
    async def add_and_release(conn: Any, effects: Any, shards: int) -> None:
        await add(conn, effects, shards)
        keys = [(effect.effect_id, effect.leaf_id) for effect in effects]
        await publisher.release_effects(conn, keys, shards)

    return add_and_release


def _renamed(add: Any) -> Callable[..., Any]:
    async def add_under_other_ids(conn: Any, effects: Any, shards: int) -> None:
        named = [structs.replace(e, effect_id=e.effect_id[::-1]) for e in effects]
        await add(conn, named, shards)

    return add_under_other_ids


def _forgotten(save: Any) -> Callable[..., Any]:
    async def forget(conn: Any, dues: Any, known_us: int) -> None:
        await save(conn, dict.fromkeys(dues), known_us)

    return forget


def _one_for_all(take: Any) -> Callable[..., Any]:
    async def take_one(conn: Any, workspace_id: Any, pool_id: str, ids: Any) -> dict[bytes, str]:
        codes = await take(conn, workspace_id, pool_id, ids)
        return dict.fromkeys(codes, min(codes.values(), default=""))

    return take_one


def _never_back(move: Any) -> Callable[..., Any]:
    async def stay(conn: Any, moves: Any) -> Any:
        return await move(conn, [m for m in moves if m.leaf_id != m.profile_id or not m.version])

    return stay


def _returning(result: Any) -> Callable[[Any], Callable[..., Any]]:
    async def returned(*_: Any, **__: Any) -> Any:
        return result

    return lambda _: returned


def _of_entry(_: Any) -> Callable[..., Any]:
    def id_of(workspace_id: Any, program: Any, entry: Any) -> bytes:
        return hash_id(workspace_id, "run", program.journey.journey_id, entry.fact_id)

    return id_of


def _nothing(result: Any = None) -> Callable[[Any], Callable[..., Any]]:
    return lambda _: lambda *_, **__: result


def _alone(_: Any) -> Callable[..., Any]:
    async def alone(_conn: Any, _workspace_id: Any, leaves: Any) -> dict[Any, list[Any]]:
        return {leaf_id: [leaf_id] for leaf_id in leaves}

    return alone


def _out_of_order(pass_gate: Any) -> Callable[..., Any]:
    def passing(messages: Any, *more: Any) -> Any:
        return pass_gate([replace(m, has_predecessor=False) for m in messages], *more)

    return passing


def _of_another_instant(fact_of: Any) -> Callable[..., Any]:
    def published(workspace_id: Any, leaf_id: Any, transition: Any, *more: Any) -> Any:
        other = runs_pb.RunTransitioned.FromString(transition.SerializeToString())
        other.known_at_us += 1
        return fact_of(workspace_id, leaf_id, other, *more)

    return published


def _found(after: Any) -> Callable[..., Any]:
    def confirmed(entry: Any, version: int, result: Any, *more: Any) -> Any:
        return after(entry, version, replace(result, status=AttemptStatus.DELIVERED), *more)

    return confirmed


#: What breaks each invariant: a name in a module, what replaces it, and a life that finds it.
MUTANTS: dict[str, tuple[str, Any, str, Callable[[Any], Any], str]] = {
    "an effect has another id": ("I1", player, "add_planned_effects", _renamed, "one run"),
    "effects are released before their transition is in the log": (
        *("I2", player, "add_planned_effects", _released),
        "one run",
    ),
    "an attempt is recorded after it": (
        "I3",
        gate_store,
        "begin_attempts",
        _returning(set()),
        "one run",
    ),
    "a message overtakes an earlier one": (
        *("I4", gate, "pass_gate", _out_of_order),
        "a night between two messages",
    ),
    "a pause does not hold": ("I5", admission, "flow_of", _nothing(Flow.OPEN), "a pause"),
    "consent does not count": ("I5", gate, "_consent_refusal", _nothing(), "a refusal"),
    "quiet hours are not kept": (
        *("I5", ZoneHistory, "next_open", lambda _: lambda _self, now_us, _hours: now_us),
        "the night",
    ),
    "a cap does not count": ("I6", gate, "cap_exceeded", _nothing(), "four messages at once"),
    "a run that another one has repeated sends again": (
        *("I7", persons._Group, "_refusal_beside", _nothing()),
        "two runs of one person",
    ),
    "an attempt does not wait for a look": (
        *("I7", gate_store, "load_awaited_looks", _returning(set())),
        "a merge before the attempt",
    ),
    "a move concerns no runs": (
        *("I7", runs, "concerned_by_moves", _returning(runs.ConcernedByMoves())),
        "a merge that the look before it does not see",
    ),
    "goals are not seen": ("I8", player, "look_at", _without_goals, "a goal in time"),
    "dues are forgotten": ("I9", runs, "save_dues", _forgotten, "one run"),
    "members do not enter": (
        *("I10", scheduler, "schedule_subject", _nothing(("schedule", "another"))),
        "four messages at once",
    ),
    "the log gets another transition": (
        *("I11", publisher, "transition_fact", _of_another_instant),
        "one run",
    ),
    "a look knows facts that not every shard has passed": (
        *("I12", player, "look_at", _early),
        "a goal that is learnt with the due",
    ),
    "nothing is restored": ("I15", journey_fixture, "restore_ledger", _returning(set()), "one run"),
    "a leaf that has moved never comes back": (
        *("I16", runs, "move_leaves", _never_back),
        "two runs of one person",
    ),
    "an earlier entry begins another run of its leaf": (
        *("I16", looks, "run_id", _of_entry),
        "an entry that is learnt after a later one",
    ),
    "two messages get one code": ("I17", coupons, "take_codes", _one_for_all, "two coupons"),
    "a purchase removes its own leaf alone": (
        *("I18", mirror_store, "leaves_of_persons", _alone),
        "a purchase by another leaf of a member",
    ),
    "a lost write counts as made": ("I18", mirrors, "after_write", _found, "a lost write"),
}


@pytest.mark.parametrize("name", LIVES)
async def test_life_keeps_the_invariants(ledger: Ledger, name: str) -> None:
    await live(ledger, LIVES[name])


ORDERS = [
    order
    for order in permutations(("enter 1", "enter 2", "merge", "unmerge"))
    if order.index("merge") < order.index("unmerge")
]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
async def test_merge_and_unmerge_in_every_order_repeat_nothing(
    ledger: Ledger, order: tuple[str, ...]
) -> None:
    """T13: two persons in one journey, and each decision is sent before the next thing happens."""
    steps = {
        "enter 1": Step("entered", 1),
        "enter 2": Step("entered", 2),
        "merge": Step("move", 2, 0),
        "unmerge": Step("part", 2),
    }
    await live(ledger, [each for name in order for each in (steps[name], *DUE, SEND)])


@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_breaks_an_invariant(ledger: Ledger, name: str) -> None:
    invariant, holder, attribute, change, life = MUTANTS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holder, attribute, change(getattr(holder, attribute)))
        with pytest.raises((AssertionError, ValueError, KeyError), match=invariant):
            await live(ledger, LIVES[life])
