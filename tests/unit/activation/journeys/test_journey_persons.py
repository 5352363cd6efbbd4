"""Which entries of a person begin a run, and what late facts, merges and pauses change."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle.journeys_oracle import Happening
from oracle.random_journeys import (
    BEGIN,
    HOUR_US,
    Case,
    Contact,
    Engine,
    entries_of,
    hours_of,
    ideal,
    make_case,
    play_case,
)
from properties import examples

from services.activation.domain.journeys.catalogue import JourneyHistory, JourneyVersion
from services.activation.domain.journeys.persons import (
    EntryRefusal,
    FixedRun,
    PersonPlay,
    entry_key,
    play_person,
)
from services.activation.domain.journeys.program import compile_journey
from services.activation.domain.journeys.regrets import Regret, RegretKind, messages_of, regrets
from services.activation.domain.journeys.run import (
    PersonFacts,
    PlannedEffect,
    RunEnd,
    RunEntry,
    RunPosition,
)
from services.kernel.ids import FactId, LeafId
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.puts import PutStep

PUT = {"put": {"tag": "t"}, "id": "p"}


def case(
    *happenings: tuple[float, str, dict[str, Any]],
    steps: list[Any] | None = None,
    until: float = 1_000,
    late: dict[int, float] | None = None,
    **enter: Any,
) -> Case:
    """Return a case; `late`: by the number of the happening, the hour at which it is learnt."""
    form = {
        "id": "j",
        "enter": {"event": "entered", **enter},
        "goal": [{"event": {"name": "paid", **({"same": "k"} if "per" in enter else {})}}],
        "steps": steps or [{"wait": "2h"}, PUT, {"wait": "2h"}, {"put": {"tag": "t"}, "id": "q"}],
    }
    lived = tuple(
        Happening(BEGIN + int(at * HOUR_US), bytes([number]) * 16, "event", name, "", properties)
        for number, (at, name, properties) in enumerate(happenings)
    )
    recorded = {bytes([n]) * 16: BEGIN + int(at * HOUR_US) for n, at in (late or {}).items()}
    return Case(parse_journey(form), lived, Contact(), BEGIN + int(until * HOUR_US), recorded)


def sent(played: PersonPlay) -> list[tuple[float, float, str]]:
    """Return hours of entry, of effect, and its step."""
    return sorted(
        (
            (run.first.occurred_at_us - BEGIN) / HOUR_US,
            (effect.at_us - BEGIN) / HOUR_US,
            effect.step_id,
        )
        for run in played.runs
        for effect in run.effects
    )


def refusals(played: PersonPlay) -> list[EntryRefusal]:
    return [refusal for _, refusal in played.refusals]


ENTRY, PAID = "entered", "paid"


def test_entry_inside_of_a_run_is_ignored() -> None:
    played = ideal(case((0, ENTRY, {}), (1, ENTRY, {})))
    assert (len(played.runs), refusals(played)) == (1, [EntryRefusal.INSIDE])


@pytest.mark.parametrize(
    ("second", "again", "expected"),
    [
        (5, "always", []),
        (4, "always", [EntryRefusal.INSIDE]),
        (5, "never", [EntryRefusal.ALREADY_RUN]),
        (5, {"after": "2h"}, [EntryRefusal.TOO_SOON]),
        (6, {"after": "2h"}, []),
    ],
)
def test_entry_after_a_run_begins_another_as_configured(
    second: float, again: Any, expected: list[EntryRefusal]
) -> None:
    played = ideal(case((0, ENTRY, {}), (second, ENTRY, {}), again=again))
    assert refusals(played) == expected
    assert len(played.runs) == 2 - len(expected)


def test_entry_at_the_instant_of_a_goal_begins_another_run() -> None:
    assert len(ideal(case((0, ENTRY, {}), (1, PAID, {}), (1, ENTRY, {}))).runs) == 2


def test_entries_with_different_keys_begin_runs_of_their_own() -> None:
    lived = ((0, ENTRY, {"k": 1}), (1, ENTRY, {"k": 2}), (1.5, PAID, {"k": 1}), (1, ENTRY, {}))
    played = ideal(case(*lived, per="k", again="never"))
    assert refusals(played) == [EntryRefusal.NO_KEY]
    assert sent(played) == [(1, 3, "p"), (1, 5, "q")]


def test_restart_begins_the_wait_again_until_something_is_sent() -> None:
    lived = [(at, ENTRY, {}) for at in (0, 1, 2.5, 5)]
    played = ideal(case(*lived, again="never", while_inside="restart"))
    assert sent(played) == [(0, 4.5, "p"), (0, 6.5, "q")]
    assert refusals(played) == [EntryRefusal.INSIDE]


def test_restart_ends_with_its_limit() -> None:
    lived = [(at, ENTRY, {}) for at in (0, 1, 2.5)]
    played = ideal(case(*lived, while_inside="restart", restart_until="2h", until=4))
    assert sent(played) == [(0, 3, "p")]


def test_restart_at_the_instant_of_a_message_goes_before_it() -> None:
    played = ideal(case((0, ENTRY, {}), (2, ENTRY, {}), while_inside="restart", until=4))
    assert sent(played) == [(0, 4, "p")]


def test_entry_that_was_learnt_too_late_begins_no_run() -> None:
    late = case((0, ENTRY, {}), not_after="1h", late={0: 1.1})
    assert refusals(ideal(late)) == [EntryRefusal.LEARNT_TOO_LATE]
    assert len(ideal(case((0, ENTRY, {}), not_after="1h", late={0: 1})).runs) == 1


MEMBER_BY = (
    {"segment": {"id": "s"}},
    {"segment": {"id": "s", "on": "left"}},
    {"stage": {"of": "life", "is": "new"}},
    {"first_seen": True},
)


@pytest.mark.parametrize("enter", MEMBER_BY, ids=lambda enter: next(iter(enter)))
def test_membership_that_an_event_of_long_ago_has_changed_begins_no_run(
    enter: dict[str, Any],
) -> None:
    """The journey need not say so; a run begins at the instant of the change, however old."""

    def played(caused_us: int | None, **more: Any) -> PersonPlay:
        journey = parse_journey({"id": "j", "enter": {**enter, **more}, "steps": [PUT]})
        entry = RunEntry(BEGIN, FactId(bytes(16)), LeafId(bytes(16)), BEGIN, {}, caused_us)
        program, hours = compile_journey(journey), hours_of(Contact())
        return play_person(program, [entry], PersonFacts(()), {}, hours, BEGIN + HOUR_US)

    assert refusals(played(BEGIN - 24 * HOUR_US - 1)) == [EntryRefusal.LEARNT_TOO_LATE]
    assert refusals(played(BEGIN - 2 * HOUR_US, not_after="1h")) == [EntryRefusal.LEARNT_TOO_LATE]
    for caused_us, more in (
        (BEGIN - 24 * HOUR_US, {}),
        (None, {}),
        (BEGIN - 1_000 * HOUR_US, {"not_after": "1000h"}),
    ):
        [run] = played(caused_us, **more).runs
        assert [effect.at_us for effect in run.effects] == [BEGIN]


def test_membership_by_an_event_from_before_the_journey_is_no_entry() -> None:
    journey = parse_journey({"id": "j", "enter": MEMBER_BY[0], "steps": [PUT]})
    history = JourneyHistory((JourneyVersion(BEGIN, compile_journey(journey)),))
    learnt_us = BEGIN + HOUR_US

    def accepts(caused_us: int | None) -> bool:
        entry = (learnt_us, FactId(bytes(16)), LeafId(bytes(16)), learnt_us, {}, caused_us)
        return history.accepts(RunEntry(*entry))

    assert [accepts(at_us) for at_us in (BEGIN - 1, BEGIN, None)] == [False, True, True]


def test_late_goal_before_the_message_stops_it() -> None:
    engine = Engine(case((0, ENTRY, {}), (1, PAID, {}), late={1: 1.9}))
    assert sent(engine.run()) == []


def test_late_goal_after_the_message_is_a_regret_and_ends_the_run() -> None:
    of = case((0, ENTRY, {}), (1, PAID, {}), late={1: 2.5})
    engine = Engine(of)
    real = engine.run()
    assert sent(real) == [(0, 2, "p")]
    found = regrets(engine.messages(), messages_of(engine.program, ideal(of)))
    at = BEGIN + 2 * HOUR_US
    assert found == [Regret(at, RegretKind.UNWANTED, ("", "p", 0), at, None)]


def test_message_that_a_goal_overtook_while_it_was_not_sent_is_not_sent() -> None:
    of = case((0, ENTRY, {}), (3, PAID, {}))
    engine = Engine(of)
    played = engine.run([(BEGIN + HOUR_US, BEGIN + 5 * HOUR_US)])
    assert engine.begun == []
    assert played.runs[0].planned[0].step_id == "p"  # the player alone would send it


def test_last_message_that_a_goal_overtook_is_not_sent() -> None:
    # The run is over with its last message, but the message is not sent before the goal.
    of = case((0, ENTRY, {}), (3, PAID, {}), steps=[{"wait": "2h"}, PUT])
    engine = Engine(of)
    played = engine.run([(BEGIN + HOUR_US, BEGIN + 5 * HOUR_US)])
    assert engine.begun == []
    [run] = played.runs
    assert run.play.ending is not None
    assert run.play.ending.reason is RunEnd.DONE


def test_late_event_before_anything_is_sent_takes_the_other_arm() -> None:
    listen = {
        "to": {"event": "clicked"},
        "at_most": "2h",
        "then": [{"put": {"tag": "t"}, "id": "then"}],
        "otherwise": [{"wait": "2h"}, {"put": {"tag": "t"}, "id": "otherwise"}],
    }
    of = case((0, ENTRY, {}), (1, "clicked", {}), steps=[{"listen": listen}], late={1: 3})
    assert sent(Engine(of).run()) == [(0, 1, "then")]
    sent_before = case((0, ENTRY, {}), (1, "clicked", {}), steps=[{"listen": listen}], late={1: 5})
    engine = Engine(sent_before)
    engine.run()
    found = regrets(
        messages_of(engine.program, engine.run()), messages_of(engine.program, ideal(sent_before))
    )
    assert [each.kind for each in found] == [RegretKind.MISSED, RegretKind.UNWANTED]


def test_earlier_entry_that_is_learnt_late_does_not_send_again() -> None:
    of = case((0, ENTRY, {}), (1, ENTRY, {}), late={0: 3.5}, again="never")
    engine = Engine(of)
    real = engine.run()
    assert sent(real) == [(1, 3, "p"), (1, 5, "q")]
    assert refusals(real) == [EntryRefusal.INSIDE]
    kinds = {
        each.kind for each in regrets(engine.messages(), messages_of(engine.program, ideal(of)))
    }
    assert kinds == {RegretKind.SHIFTED}


class Merged:
    """Two leaves, each with its own life, which may be one person."""

    def __init__(self, first: Case, second: Case) -> None:
        self.cases = (first, second)
        self.program = compile_journey(first.journey)
        self.sent: dict[bytes, FixedRun] = {}
        #: The leaves that were one person at the look, the key of the run, and of the effect.
        self.begun: list[tuple[frozenset[int], str, tuple[str, int]]] = []

    def look(self, at: float, persons: list[list[int]]) -> None:
        """Play persons, each of some leaves, and send what is outstanding."""
        look = BEGIN + int(at * HOUR_US)
        for leaves in persons:
            cases = [self.cases[leaf] for leaf in leaves]
            lived = [h for own in cases for h in own.happenings if h.at <= look]
            entries = [e for own in cases for e in entries_of(self.program, own, own.happenings)]
            begins = {entry.fact_id for entry in entries}
            own = [run for id_, run in self.sent.items() if id_ in begins]
            played = play_case(self.program, cases[0], lived, look, own, entries)
            for run in played.runs:
                if run.outstanding:
                    effects = (*run.sent, *run.outstanding)
                    self.sent[run.first.fact_id] = FixedRun(run.first, run.start, effects)
                    key = entry_key(self.program, run.first) or ""
                    who = frozenset(leaves)
                    self.begun += [(who, key, effect.key) for effect in run.outstanding]


def two(first: float, second: float, **enter: Any) -> Merged:
    """Return two leaves with an entry each."""
    one, other = case((first, ENTRY, {}), **enter), case((9, "other", {}), (second, ENTRY, {}))
    other = Case(one.journey, other.happenings[1:], one.contact, one.now, {}, LeafId(b"2" * 16))
    return Merged(one, other)


def test_merge_of_two_runs_that_have_sent_nothing_leaves_the_earlier_one() -> None:
    merged = two(0, 1, again="never")
    for at in (1, 2, 3, 4, 5):
        merged.look(at, [[0, 1]])
    assert [key for _, _, key in merged.begun] == [("p", 0), ("q", 0)]


def test_merge_lets_the_run_lead_that_has_sent_something() -> None:
    merged = two(1, 0, again="never")
    merged.look(2, [[0], [1]])  # the second leaf's run sends p
    for at in (3, 4, 5):
        merged.look(at, [[0, 1]])
    assert [key for _, _, key in merged.begun] == [("p", 0), ("q", 0)]


def test_merge_of_two_runs_that_have_sent_lets_the_earlier_one_lead() -> None:
    steps = [{"wait": "2h"}, PUT, {"wait": "8h"}, {"put": {"tag": "t"}, "id": "q"}]
    # The second leaf has sent q before the first one comes to it.
    merged = two(6, 0, again="never", steps=steps)
    merged.look(10, [[0], [1]])
    expected = [("p", 0), ("p", 0), ("q", 0)]
    assert [key for _, _, key in merged.begun] == expected
    for at in (12, 14, 16, 18):
        merged.look(at, [[0, 1]])
    assert [key for _, _, key in merged.begun] == expected


def test_merge_does_not_repeat_what_a_run_asleep_beside_the_leader_has_sent() -> None:
    # The click of the second leaf lets its run come to q before that of the first, which leads.
    listen = {"to": {"event": "clicked"}, "at_most": "20h", "then": [PUT]}
    steps = [
        {"put": {"tag": "t"}, "id": "begin"},
        {"listen": listen},
        {"put": {"tag": "t"}, "id": "q"},
    ]
    merged = two(0, 1, again="never", steps=steps)
    clicked = Happening(BEGIN + 3 * HOUR_US, b"c" * 16, "event", "clicked")
    second = merged.cases[1]
    merged.cases = merged.cases[0], replace(second, happenings=(*second.happenings, clicked))
    merged.look(4, [[0], [1]])
    expected = [("begin", 0), ("begin", 0), ("p", 0), ("q", 0)]
    assert [key for _, _, key in merged.begun] == expected
    for at in (5, 20, 22):
        merged.look(at, [[0, 1]])
    assert [key for _, _, key in merged.begun] == expected


def test_effects_that_follow_a_goal_are_sent_once() -> None:
    of = case((0, ENTRY, {}), (1, PAID, {}))
    on_goal = (PutStep("bought", "t"),)
    engine = Engine(replace(of, journey=replace(of.journey, on_goal=on_goal)))
    for hours in (1, 2, 3):
        look = BEGIN + hours * HOUR_US
        engine.look(look, engine.known(look))
    assert [key for _, _, key in engine.begun] == [("bought", 0)]


def test_entry_beside_a_later_fixed_run_waits_for_the_answer_that_decides() -> None:
    steps = [{"choose": [{"when": {"tag": "t"}, "steps": [{"exit": True}]}]}, {"wait": "5h"}, PUT]
    of = case((0, ENTRY, {}), (1, ENTRY, {}), steps=steps)
    program = compile_journey(of.journey)
    first, second = entries_of(program, of, of.happenings)
    position = RunPosition("", BEGIN + 6 * HOUR_US)
    effect = PlannedEffect("p", 0, BEGIN + 6 * HOUR_US, position)
    fixed = [FixedRun(second, second, (effect,))]
    facts, hours = PersonFacts(()), hours_of(of.contact)
    played = play_person(program, [first, second], facts, {}, hours, of.now, fixed)
    [question] = played.questions
    assert refusals(played) == [EntryRefusal.UNDECIDED]
    # It exits before the other run begins, or would be open beside it.
    for answer, expected in ((True, []), (False, [EntryRefusal.INSIDE])):
        answers = {question: answer}
        after = play_person(program, [first, second], facts, answers, hours, of.now, fixed)
        assert refusals(after) == expected


def test_unmerge_gives_each_its_own_run_again() -> None:
    merged = two(0, 1, again="never")
    merged.look(2.5, [[0, 1]])
    merged.look(3, [[0], [1]])
    merged.look(5, [[0], [1]])
    who = [(sorted(leaves), key) for leaves, _, key in merged.begun]
    assert who == [*(([0, 1], ("p", 0)), ([1], ("p", 0)), ([0], ("q", 0)), ([1], ("q", 0)))]


@given(st.randoms(use_true_random=False))
@examples(100)
def test_nothing_late_sends_what_should_be_sent(random: Random) -> None:
    of = make_case(random)
    engine = Engine(of)
    engine.run()
    real = engine.messages()
    assert regrets(real, messages_of(engine.program, ideal(of))) == []


@given(st.randoms(use_true_random=False))
@examples(100)
def test_order_and_repetition_change_nothing(random: Random) -> None:
    of = make_case(random)
    program = compile_journey(of.journey)
    shuffled = [*of.happenings, *random.choices(of.happenings, k=3)]
    random.shuffle(shuffled)
    assert play_case(program, of, shuffled, of.now) == play_case(program, of, of.happenings, of.now)


@given(st.randoms(use_true_random=False))
@examples(100)
def test_every_first_regret_has_a_late_fact(random: Random) -> None:
    of = make_case(random, late=True, simple=True)
    engine = Engine(of)
    engine.run()
    real = engine.messages()
    found = regrets(real, messages_of(engine.program, ideal(of)))
    late = [(h.at, of.recorded.get(h.id, h.at)) for h in of.happenings]
    assert not found or any(at <= found[0].at_us < learnt for at, learnt in late)


def test_late_facts_do_cause_regrets() -> None:
    with_regrets = 0
    for seed in range(150):
        of = make_case(Random(seed), late=True, simple=True)
        engine = Engine(of)
        engine.run()
        real = engine.messages()
        with_regrets += bool(regrets(real, messages_of(engine.program, ideal(of))))
    assert with_regrets >= 3


@given(st.randoms(use_true_random=False))
@examples(100)
def test_pause_sends_nothing_and_loses_no_run(random: Random) -> None:
    of = make_case(random, simple=True)
    start = BEGIN + random.randint(0, 20) * HOUR_US // 2
    end = start + random.randint(1, 20) * HOUR_US // 2
    engine = Engine(of)
    played = engine.run([(start, end)])
    assert not [look for look, _, _ in engine.begun if start <= look < end and look < of.now]
    # Everything that should have been sent was, or was overtaken by the end of its run.
    wanted = ideal(of)
    sent_keys = {(key, effect) for _, key, effect in engine.begun}
    for run in wanted.runs:
        overtaken = run.play.overtaken_by is not None
        key = entry_key(engine.program, run.first) or ""
        assert overtaken or {(key, effect.key) for effect in run.effects} <= sent_keys
    assert {run.first.fact_id for run in played.runs} == {run.first.fact_id for run in wanted.runs}


@given(st.randoms(use_true_random=False))
@examples(100)
def test_person_gets_no_step_twice_as_far_as_is_known(random: Random) -> None:
    first = make_case(random, simple=True)
    other = make_case(random, simple=True)
    entry = replace(first.journey.entry, again_after_us=None)
    never = replace(first.journey, entry=entry)
    lives = []
    for number, own in enumerate((first, other)):
        lived = tuple(
            Happening(h.at, bytes([number]) + h.id[1:], *_rest(h)) for h in own.happenings
        )
        lives.append(Case(never, lived, own.contact, own.now, {}, LeafId(bytes([number]) * 16)))
    merged = Merged(*lives)
    link, unlink = sorted(random.sample(range(16), 2))
    for at in range(16):
        merged.look(at, [[0, 1]] if link <= at < unlink else [[0], [1]])
    for number, (who, key, effect) in enumerate(merged.begun):
        earlier = [
            before
            for leaves, own_key, before in merged.begun[:number]
            if own_key == key and leaves <= who
        ]
        assert effect not in earlier


def _rest(happening: Happening) -> tuple[str, str, str, dict[str, Any]]:
    return happening.kind, happening.name, happening.detail, happening.properties
