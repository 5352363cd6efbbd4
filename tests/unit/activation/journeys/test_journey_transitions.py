"""The transitions of a run are its whole state: a worker that has nothing else goes on."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.activation.v1 import journey_runs_pb2 as pb
from oracle.journeys_oracle import Contact, Happening
from oracle.random_journeys import (
    BEGIN,
    HOUR_US,
    Case,
    Engine,
    entries_of,
    hours_of,
    make_case,
    run_facts,
    truth,
)
from properties import examples

from services.activation.codec.journey_runs import transition_from_proto, transition_to_proto
from services.activation.domain.journeys.persons import (
    PersonPlay,
    PersonRun,
    entry_key,
    play_person,
)
from services.activation.domain.journeys.program import Program, compile_journey
from services.activation.domain.journeys.regrets import MessageKey
from services.activation.domain.journeys.run import (
    PersonFacts,
    PlannedEffect,
    Question,
    RunEnd,
    RunEnding,
    RunEntry,
    RunPlay,
    RunPosition,
)
from services.activation.domain.journeys.transitions import (
    EffectsPlanned,
    EffectsWithdrawn,
    RunBegan,
    RunChange,
    RunEnded,
    RunMoved,
    RunRecord,
    RunReopened,
    RunTransition,
    WithdrawalReason,
    decide,
    fold_transitions,
    run_effect_id,
    run_id,
    transition_fact_id,
)
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.yaml_documents import parse_yaml

WORKSPACE = WorkspaceId("shop")
ROOT = Path(__file__).parents[4]
EXAMPLES: Any = parse_yaml((ROOT / "tests/unit/kernel/journeys/examples.yaml").read_bytes())


def _through_the_log(transition: RunTransition) -> RunTransition:
    """Return a transition as it is read from its fact."""
    data = transition_to_proto(transition, "j", BEGIN).SerializeToString(deterministic=True)
    read = transition_from_proto(pb.RunTransitioned.FromString(data))
    assert read == transition
    return read


class Recorder:
    """An engine whose state is the log of transitions, and the ledger of effects that began."""

    def __init__(self, case: Case) -> None:
        self.case, self.program = case, compile_journey(case.journey)
        self.log: list[RunTransition] = []
        #: Effects whose attempts have begun, by their keys, in order.
        self.ledger: dict[bytes, tuple[bytes, tuple[str, int], MessageKey, int]] = {}

    def records(self) -> dict[bytes, RunRecord]:
        """Fold the log from its begin."""
        found: dict[bytes, RunRecord] = {}
        for transition in self.log:
            record = fold_transitions(found.get(transition.run_id), [transition])
            assert record is not None
            found[transition.run_id] = record
        return found

    def begun(self, id_: bytes) -> set[tuple[str, int]]:
        return {key for own, key, _, _ in self.ledger.values() if own == id_}

    def look(self, look: int) -> PersonPlay:
        """Play with what is known, and append what follows to the log."""
        recorded = self.case.recorded
        known = [h for h in self.case.happenings if recorded.get(h.id, h.at) <= look]
        facts = PersonFacts(run_facts(self.program, known))
        entries = entries_of(self.program, self.case, known)
        records = self.records()
        fixed = [
            own for id_, r in records.items() if (own := r.fixed(self.begun(id_), self.program, 1))
        ]
        answers: dict[Question, bool] = {}
        for record in records.values():
            answers |= record.answers
        hours = hours_of(self.case.contact)
        while True:
            played = play_person(self.program, entries, facts, answers, hours, look, fixed)
            if not played.questions:
                break
            answers |= {question: truth(*question) for question in played.questions}
        for run in played.runs:
            id_ = run_id(WORKSPACE, self.program, run.first)
            own = decide(records.get(id_), id_, run, self.begun(id_), answers, 1)
            own = list(map(_through_the_log, own))
            after = fold_transitions(records.get(id_), own)
            assert after is not None
            assert decide(after, id_, run, self.begun(id_), answers, 1) == []
            self.log += own
            for effect in run.outstanding:
                key = run_effect_id(id_, effect.key)
                assert key not in self.ledger, "an effect begins once"
                message = (entry_key(self.program, run.first) or "", *effect.key)
                self.ledger[key] = (id_, effect.key, message, effect.at_us)
        return played

    def run(self) -> None:
        """Look whenever something is learnt or due."""
        looks = {self.case.recorded.get(h.id, h.at) for h in self.case.happenings}
        looks = {look for look in looks if look <= self.case.now} | {self.case.now}
        while looks:
            look = min(looks)
            looks.remove(look)
            due = self.look(look).due_us
            if due is not None and look < due <= self.case.now:
                looks.add(due)

    def messages(self) -> dict[MessageKey, list[int]]:
        found: dict[MessageKey, list[int]] = {}
        for _, _, message, at in self.ledger.values():
            found.setdefault(message, []).append(at)
        return {message: sorted(instants) for message, instants in found.items()}


@given(st.randoms(use_true_random=False), st.booleans())
@examples(60)
def test_worker_with_the_transitions_alone_sends_the_same(random: Random, late: bool) -> None:
    case = make_case(random, late=late, simple=True)
    recorder, engine = Recorder(case), Engine(case)
    recorder.run()
    engine.run()
    assert recorder.messages() == engine.messages()


@given(st.randoms(use_true_random=False))
@examples(40)
def test_transitions_of_a_run_have_no_gaps_and_ids_of_their_own(random: Random) -> None:
    recorder = Recorder(make_case(random, late=True, simple=True))
    recorder.run()
    by_run: dict[bytes, list[int]] = {}
    for transition in recorder.log:
        by_run.setdefault(transition.run_id, []).append(transition.number)
    for numbers in by_run.values():
        assert numbers == list(range(1, len(numbers) + 1))
    ids = {transition_fact_id(WORKSPACE, t.run_id, t.number) for t in recorder.log}
    assert len(ids) == len(recorder.log)


@given(st.randoms(use_true_random=False))
@examples(40)
def test_replay_of_transitions_changes_nothing(random: Random) -> None:
    recorder = Recorder(make_case(random, late=True, simple=True))
    recorder.run()
    for id_, record in recorder.records().items():
        own = [t for t in recorder.log if t.run_id == id_]
        assert fold_transitions(record, own) == record
        assert fold_transitions(None, [*own[:2], *own]) == record


def test_transition_that_is_missing_is_noticed() -> None:
    recorder = Recorder(make_case(Random(5), simple=True))
    recorder.run()
    own = [t for t in recorder.log if t.run_id == recorder.log[0].run_id]
    assert len(own) >= 2
    with pytest.raises(ValueError, match="the first transition"):
        fold_transitions(None, own[1:])
    gap = RunTransition(own[0].run_id, 9, own[-1].change)
    with pytest.raises(ValueError, match="is missing"):
        fold_transitions(None, [own[0], gap])


def test_effects_of_a_run_are_withdrawn_by_a_late_goal() -> None:
    reasons = set()
    for seed in range(150):
        recorder = Recorder(make_case(Random(seed), late=True, simple=True))
        # Nothing begins: what is planned stays open until it is withdrawn.
        recorder.begun = lambda _: set()  # type: ignore[method-assign]
        recorder.ledger = _Blind()
        recorder.run()
        for transition in recorder.log:
            if isinstance(transition.change, EffectsWithdrawn):
                reasons.add(transition.change.reason)
                overtaken = transition.change.reason is WithdrawalReason.OVERTAKEN
                assert overtaken == (transition.change.fact_id is not None)
    assert reasons == {WithdrawalReason.OVERTAKEN, WithdrawalReason.REVISED}


class _Blind(dict):  # type: ignore[type-arg]
    """A ledger that keeps nothing."""

    def __setitem__(self, key: object, value: object) -> None:
        pass


@pytest.mark.parametrize(
    ("happenings", "kinds"),
    [
        ([(0, "cart_updated"), (1, "order_paid")], [RunBegan, RunEnded]),
        ([(0, "cart_updated")], [RunBegan, EffectsPlanned, RunEnded]),
        ([(0, "cart_updated"), (3, "order_paid")], [RunBegan, EffectsPlanned, RunEnded]),
    ],
)
def test_cart_that_is_recovered_has_few_transitions(happenings: Any, kinds: list[type]) -> None:
    [form] = [form for form in EXAMPLES["journeys"] if form["id"] == "cart-recovery"]
    cart = {"cart_id": "A", "item_count": 2}
    lived = tuple(
        Happening(BEGIN + at * HOUR_US, bytes([at]) * 16, "event", name, "", cart)
        for at, name in happenings
    )
    recorder = Recorder(Case(parse_journey(form), lived, Contact(), BEGIN + 9 * HOUR_US))
    recorder.run()
    assert [type(transition.change) for transition in recorder.log] == kinds


def test_answers_of_a_run_are_those_that_have_decided_its_way() -> None:
    answered = 0
    for seed in range(100):
        recorder = Recorder(make_case(Random(seed), simple=True))
        recorder.run()
        for record in recorder.records().values():
            assert all(answer is truth(*question) for question, answer in record.answers.items())
            assert all(question.at_us >= record.first.occurred_at_us for question in record.answers)
            answered += len(record.answers)
    assert answered > 20


def _entry(fact: int, leaf: int = 2, key: str = "A") -> RunEntry:
    return RunEntry(
        BEGIN, FactId(bytes([fact]) * 16), LeafId(bytes([leaf]) * 16), BEGIN, {"k": key}
    )


def _program(**enter: Any) -> Program:
    enter = {"event": "entered", **enter}
    return compile_journey(parse_journey({"id": "j", "enter": enter, "steps": [{"wait": "1h"}]}))


def test_ids_of_runs_and_effects_are_pinned() -> None:
    # Other ids would begin every run and send every message again.
    id_ = run_id(WORKSPACE, _program(), _entry(1))
    assert id_.hex() == "84e23e56485c04ee30ac5c8fb95be11c"
    assert run_effect_id(id_, ("step", 0)).hex() == "8a83bbf1ddee2758860e8e49a41e84c0"
    assert transition_fact_id(WORKSPACE, id_, 1).hex() == "a5d77c1214166b376b042a87600f3c23"


def test_run_that_a_key_has_once_is_that_of_the_key_and_not_of_its_entry() -> None:
    once, often = _program(per="k", again="never"), _program(per="k")
    first = run_id(WORKSPACE, once, _entry(1))
    assert run_id(WORKSPACE, once, _entry(2)) == first
    assert run_id(WORKSPACE, once, _entry(1, key="B")) != first
    assert run_id(WORKSPACE, once, _entry(1, leaf=3)) != first
    assert run_id(WORKSPACE, often, _entry(2)) != run_id(WORKSPACE, often, _entry(1))


def test_run_that_a_leaf_has_once_is_that_of_the_leaf_and_not_of_its_entry() -> None:
    once = _program(again="never")
    first = run_id(WORKSPACE, once, _entry(1))
    assert run_id(WORKSPACE, once, _entry(2, key="B")) == first
    assert run_id(WORKSPACE, once, _entry(1, leaf=3)) != first


def test_run_that_falls_asleep_withdraws_what_it_planned_and_keeps_its_end() -> None:
    program = _program()
    entry, rival = _entry(1), _entry(2, leaf=3)
    effect = PlannedEffect("p", 0, BEGIN, RunPosition("", BEGIN))
    ended = RunPlay((effect,), (), RunPosition("", BEGIN), ending=RunEnding(RunEnd.DONE, BEGIN))
    id_ = run_id(WORKSPACE, program, entry)
    awake = decide(None, id_, PersonRun(entry, entry, ended), (), {}, 1)
    record = fold_transitions(None, awake)
    open_ = RunPlay((effect,), (), RunPosition("", BEGIN), due_us=BEGIN + HOUR_US)
    asleep = decide(record, id_, PersonRun(entry, entry, open_, (), rival), (), {}, 1)
    withdrawn = EffectsWithdrawn((effect.key,), WithdrawalReason.ASLEEP)
    assert [transition.change for transition in asleep] == [withdrawn]


def test_run_whose_goal_belongs_to_another_person_is_open_again() -> None:
    program = _program()
    entry = _entry(1)
    id_ = run_id(WORKSPACE, program, entry)
    here = RunPosition("wait-1", BEGIN)
    ended = RunPlay((), (), here, ending=RunEnding(RunEnd.GOAL, BEGIN, FactId(b"g")))
    record = fold_transitions(None, decide(None, id_, PersonRun(entry, entry, ended), (), {}, 1))
    open_ = RunPlay((), (), here, due_us=BEGIN + HOUR_US)
    after = decide(record, id_, PersonRun(entry, entry, open_), (), {}, 1)
    assert [transition.change for transition in after] == [RunReopened()]
    reopened = fold_transitions(record, after)
    assert reopened is not None
    assert reopened.ending is None


POSITION = RunPosition("w", BEGIN, {"r": 2}, {"c": BEGIN + HOUR_US}, False)


@pytest.mark.parametrize(
    "change",
    [
        RunMoved(3, POSITION),
        RunMoved(3, None),
        RunReopened(),
        RunEnded(RunEnding(RunEnd.EDITED, BEGIN)),
        EffectsPlanned((PlannedEffect("s", 1, BEGIN, POSITION),)),
        EffectsWithdrawn((("s", 1),), WithdrawalReason.ASLEEP),
    ],
    ids=lambda change: type(change).__name__,
)
def test_transition_is_the_same_after_its_fact(change: RunChange) -> None:
    assert _through_the_log(RunTransition(b"r" * 16, 7, change)).change == change


def test_fact_of_a_transition_without_a_change_is_refused() -> None:
    with pytest.raises(InvalidField, match="has no change"):
        transition_from_proto(pb.RunTransitioned(run_id=b"r", number=1))
