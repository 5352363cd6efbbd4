"""A replay of a journey is the journey: what was sent, what would be, and what should have been."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle.random_journeys import (
    BEGIN,
    HOUR_US,
    Case,
    Engine,
    hours_of,
    ideal,
    make_case,
    oracle_runs,
    run_facts,
    truth,
)
from properties import examples

from services.activation.domain.journeys import replays
from services.activation.domain.journeys.catalogue import JourneyHistory, JourneyVersion
from services.activation.domain.journeys.looks import JourneyFact, LeafMoved
from services.activation.domain.journeys.persons import EntryRefusal, entry_key
from services.activation.domain.journeys.program import compile_journey, event_subject
from services.activation.domain.journeys.regrets import MessageKey, messages_of, regrets
from services.activation.domain.journeys.replay_tally import ReplayTally, effects_within
from services.activation.domain.journeys.replays import (
    LeafGroup,
    PersonalQuestion,
    Replay,
    messages_of_edit,
    replay_as_happened,
    replay_as_learnt,
    replay_recorded,
)
from services.activation.domain.journeys.run import ContactHours, RunEnd
from services.activation.domain.journeys.verified import BegunEffect
from services.activation.projection.journeys.replays import check_tried, count_persons, lacks_facts
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import EventTrigger
from services.kernel.local_time import ZoneHistory
from services.kernel.rules.ids import structure_id
from services.kernel.time import DAY_US

WORKSPACE = WorkspaceId("shop")


def history_of(case: Case) -> JourneyHistory:
    return JourneyHistory((JourneyVersion(BEGIN - 1, compile_journey(case.journey)),))


def group_of(case: Case) -> LeafGroup:
    """Return what the log has of the person of a case."""
    program = compile_journey(case.journey)
    facts = [
        JourneyFact(
            case.leaf, FactId(h.id), h.at, case.recorded.get(h.id, h.at), subjects, h.properties
        )
        for h in case.happenings
        if (subjects := tuple(fact.subject for fact in run_facts(program, [h])))
    ]
    return LeafGroup(WORKSPACE, frozenset((case.leaf,)), facts)


def answered(replay_of: Any, case: Case, group: LeafGroup) -> tuple[Replay, dict[Any, bool]]:
    """Replay a case, and answer what it needs; return both."""
    hours = hours_of(case.contact)
    answers: dict[PersonalQuestion, bool] = {}
    while True:
        found = replay_of(group, history_of(case), lambda *_: hours, case.now, answers)
        if not found.questions:
            return found, answers
        answers |= {needed: truth(*needed.question) for needed in found.questions}


def learnt(case: Case, group: LeafGroup) -> Replay:
    return answered(replay_as_learnt, case, group)[0]


def happened(case: Case, group: LeafGroup) -> Replay:
    return answered(replay_as_happened, case, group)[0]


def messages(case: Case, found: Replay) -> dict[MessageKey, list[int]]:
    """Return the instants of the effects of a replay that stand, by message."""
    program = compile_journey(case.journey)
    sent: dict[MessageKey, list[int]] = {}
    for each in found.effects.values():
        if each.withdrawn:
            continue
        run = found.runs[each.effect.run_id]
        key = entry_key(program, run.record.first) or ""
        own = sent.setdefault((key, each.effect.step_id, each.effect.visit), [])
        own.append(each.effect.at_us)
    return {message: sorted(instants) for message, instants in sent.items()}


@given(st.randoms(use_true_random=False))
@examples(60)
def test_replay_as_learnt_sends_what_an_engine_sends(random: Random) -> None:
    case = make_case(random, late=True)
    engine = Engine(case)
    engine.run()
    assert messages(case, learnt(case, group_of(case))) == engine.messages()


@given(st.randoms(use_true_random=False))
@examples(60)
def test_replay_as_happened_is_the_play_with_all_that_is_known(random: Random) -> None:
    case = make_case(random, late=True)
    wanted = messages_of(compile_journey(case.journey), ideal(case))
    assert messages(case, happened(case, group_of(case))) == wanted


@given(st.randoms(use_true_random=False))
@examples(60)
def test_replays_of_what_is_never_late_are_the_slow_player(random: Random) -> None:
    case = make_case(random)
    wanted = sorted((step, visit, at) for run in oracle_runs(case) for step, visit, at in run[2])
    for replay_of in (learnt, happened):
        found = replay_of(case, group_of(case))
        own = [e.effect for e in found.effects.values() if not e.withdrawn]
        assert sorted((e.step_id, e.visit, e.at_us) for e in own) == wanted


@given(st.randoms(use_true_random=False))
@examples(60)
def test_difference_of_both_replays_is_the_regrets(random: Random) -> None:
    case = make_case(random, late=True)
    group = group_of(case)
    sent, wanted = messages(case, learnt(case, group)), messages(case, happened(case, group))
    engine = Engine(case)
    engine.run()
    ideal_ = messages_of(compile_journey(case.journey), ideal(case))
    assert regrets(sent, wanted) == regrets(engine.messages(), ideal_)


def recorded_group(case: Case, group: LeafGroup) -> tuple[LeafGroup, Replay]:
    """Return a group with the looks and the effects of a replay as its record, and the replay."""
    found, answers = answered(replay_as_learnt, case, group)
    recorded = replace(
        group,
        answers={case.leaf: {needed.question: answer for needed, answer in answers.items()}},
        transitions=found.transitions,
        begun=[
            BegunEffect(each.effect.at_us, each.effect.run_id, (e.step_id, e.visit))
            for each in found.effects.values()
            if not each.withdrawn and (e := each.effect)
        ],
    )
    return recorded, found


def key_of(found: Replay) -> list[tuple[Any, ...]]:
    return sorted(
        (id_, each.effect.step_id, each.effect.visit, each.effect.at_us, each.withdrawn)
        for id_, each in found.effects.items()
    )


@given(st.randoms(use_true_random=False))
@examples(60)
def test_replay_of_recorded_looks_is_the_ledger_row_for_row(random: Random) -> None:
    case = make_case(random, simple=True)
    recorded, live = recorded_group(case, group_of(case))
    hours = hours_of(case.contact)
    found = replay_recorded(recorded, history_of(case), lambda *_: hours, case.now)
    assert key_of(found) == key_of(live)
    assert found.transitions == live.transitions


def _simple(of: Iterable[tuple[str, int, int]], **enter: Any) -> tuple[LeafGroup, JourneyHistory]:
    """Return a group with events, each a name, a leaf and hours, and a journey over them."""
    form = {
        "id": "j",
        "enter": {"event": "entered", **enter},
        "goal": [{"event": "paid"}],
        "steps": [{"wait": "2h"}, {"send": {"id": "s", "to": "mail", "template": "t"}}],
    }
    program = compile_journey(parse_journey(form))
    triggers = [program.journey.entry.by, *program.journey.goals]
    subjects = {
        name: event_subject(structure_id(trigger.events))
        for name, trigger in zip(("entered", "paid"), triggers, strict=True)
        if isinstance(trigger, EventTrigger)
    }
    facts = [
        JourneyFact(
            LeafId(bytes([leaf]) * 16),
            FactId(bytes([number]) * 16),
            *(BEGIN + hours * HOUR_US,) * 2,
            (subjects[name],),
        )
        for number, (name, leaf, hours) in enumerate(of, 1)
    ]
    leaves = frozenset(fact.leaf_id for fact in facts)
    history = JourneyHistory((JourneyVersion(BEGIN - 1, program),))
    return LeafGroup(WORKSPACE, leaves, facts), history


def _hours(*_: Any) -> ContactHours:
    return ContactHours(ZoneHistory("UTC"), {})


@pytest.mark.parametrize(("merged_at", "sent"), [(1, 0), (3, 1)])
def test_persons_of_a_replay_are_those_of_each_look(merged_at: int, sent: int) -> None:
    group, history = _simple([("entered", 1, 0), ("paid", 2, 1)])
    one, two = sorted(group.leaves)
    moved = LeafMoved(WORKSPACE, two, ProfileId(one), 1, BEGIN + merged_at * HOUR_US)
    group = replace(group, moves=[moved])
    until_us = BEGIN + 4 * HOUR_US
    found = replay_as_learnt(group, history, _hours, until_us, {})
    assert sum(not each.withdrawn for each in found.effects.values()) == sent
    happened_ = replay_as_happened(group, history, _hours, until_us, {})
    assert not happened_.effects


def test_look_that_was_never_taken_is_found_by_the_replay_of_what_is_recorded() -> None:
    group, history = _simple([("entered", 1, 0)])
    found = replay_recorded(group, history, _hours, BEGIN + 3 * HOUR_US)
    assert [each.effect.step_id for each in found.effects.values()] == ["s"]


def test_entries_that_begin_nothing_have_their_reasons_once() -> None:
    group, history = _simple(
        [("entered", 1, 0), ("entered", 1, 1), ("entered", 1, 5)], again="never"
    )
    found = replay_as_learnt(group, history, _hours, BEGIN + 9 * HOUR_US, {})
    reasons = [reason for _, reason in found.refusals]
    assert reasons == [EntryRefusal.INSIDE, EntryRefusal.ALREADY_RUN]


def test_replay_looks_no_more_often_than_something_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    group, history = _simple([("entered", 1, 0), *(("paid", 1, hour) for hour in range(6, 9))])
    looks: list[int] = []

    def counted(*args: Any) -> Any:
        looks.append(args[2])
        return look_at(*args)

    look_at = replays.look_at
    monkeypatch.setattr(replays, "look_at", counted)
    replay_as_learnt(group, history, _hours, BEGIN + 9 * HOUR_US, {})
    hours = [(at - BEGIN) // HOUR_US for at in looks]
    # The first look after the end of the run sees what it has sent; nothing follows from others.
    assert hours == [0, 2, 6]


def test_goal_that_is_learnt_after_the_end_of_a_run_ends_it_earlier() -> None:
    group, history = _simple([("entered", 1, 0), ("paid", 1, 4), ("paid", 1, 5), ("paid", 1, 1)])
    late = msgspec.structs.replace(group.facts[-1], recorded_at_us=BEGIN + 6 * HOUR_US)
    group = replace(group, facts=[*group.facts[:-1], late])
    found = replay_as_learnt(group, history, _hours, BEGIN + 9 * HOUR_US, {})
    [run] = found.runs.values()
    assert run.record.ending is not None
    assert run.record.ending.fact_id == late.fact_id


@given(st.randoms(use_true_random=False))
@examples(60)
def test_looks_that_are_left_out_would_have_found_nothing(random: Random) -> None:
    case = make_case(random, late=True)
    group = group_of(case)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(replays, "can_change", lambda *_: True)
        every = learnt(case, group)
    assert learnt(case, group) == every


def test_edit_counts_only_the_messages_that_it_adds() -> None:
    group, history = _simple([("entered", leaf, 0) for leaf in (1, 2, 3)] + [("paid", 3, 1)])
    now_us = BEGIN + HOUR_US + 1
    live = replay_as_learnt(group, history, _hours, now_us, {})
    group = replace(group, transitions=live.transitions)
    form = {
        "id": "j",
        "enter": {"event": "entered"},
        "people_inside": "move",
        "steps": [
            {"wait": "30m", "id": "wait-1"},
            {"send": {"id": "s", "to": "mail", "template": "t"}},
            {"wait": "1m"},
            {"put": {"tag": "t"}, "id": "no-message"},
        ],
    }
    program = compile_journey(replace(parse_journey(form), version=1))
    edited = replace(history, versions=(*history.versions, JourneyVersion(now_us, program)))

    def added(until_us: int) -> int:
        return messages_of_edit(group, history, edited, _hours, now_us, until_us)

    # Two people are inside. After two hours they would have had the message anyway.
    assert [added(BEGIN + hours * HOUR_US // 2) for hours in (3, 4)] == [2, 0]


def test_tally_counts_by_step_and_day_and_names_some_persons_once() -> None:
    group, history = _simple([("entered", leaf, 24 * leaf) for leaf in (1, 2, 3)], again="never")
    found = replay_as_learnt(group, history, _hours, BEGIN + 73 * HOUR_US, {})
    tally = ReplayTally(people=1)
    own = list(effects_within(found, BEGIN, BEGIN + 60 * HOUR_US))
    assert [each.effect.at_us for each in own] == [BEGIN + 26 * HOUR_US, BEGIN + 50 * HOUR_US]
    tally.add(found, own, BEGIN + 30 * HOUR_US)
    assert (tally.begun, dict(tally.ended)) == (2, {RunEnd.DONE: 1})
    [inside] = tally.open.values()
    assert (inside.count, len(inside.profile_ids)) == (1, 1)
    assert [at.day_us % DAY_US for at in tally.effects] == [0, 0]
    assert [each.count for each in tally.effects.values()] == [1, 1]
    tally.add(found, own)
    [first, _] = tally.effects.values()
    assert (first.count, len(first.profile_ids)) == (2, 1)


def test_run_whose_fact_is_deleted_is_found() -> None:
    group, history = _simple([("entered", 1, 0), ("paid", 1, 1)])
    live = replay_as_learnt(group, history, _hours, BEGIN + 3 * HOUR_US, {})
    group = replace(group, transitions=live.transitions)
    assert not lacks_facts(group, history)
    assert lacks_facts(replace(group, facts=group.facts[1:]), history)
    assert not lacks_facts(replace(group, facts=group.facts[:1]), history)


def test_persons_of_a_group_are_those_of_the_instant_and_computed_once_at_the_end() -> None:
    group, _ = _simple([("entered", 1, 0), ("entered", 2, 0)])
    one, two = sorted(group.leaves)
    group = replace(group, leaves=group.leaves | {LeafId(bytes(16))})
    assert count_persons(group, BEGIN) == 2
    moved = replace(group, moves=[LeafMoved(WORKSPACE, two, ProfileId(one), 1, BEGIN)])
    assert [count_persons(moved, at_us) for at_us in (BEGIN - 1, BEGIN)] == [2, 1]


@pytest.mark.parametrize(
    ("enter", "is_tried"),
    [
        ({"event": "entered"}, True),
        ({"segment": {"id": "vip"}}, True),
        ({"call": True}, False),
        ({"date": {"trait": "birthday", "clock": "09:00"}}, False),
    ],
)
def test_only_what_the_log_has_of_everybody_can_be_tried(enter: Any, is_tried: bool) -> None:
    journey = parse_journey({"id": "j", "enter": enter, "steps": [{"wait": "1h"}]})
    if is_tried:
        check_tried(journey)
    else:
        with pytest.raises(InvalidField, match="backtest it by its id"):
            check_tried(journey)


def test_persons_of_a_group_are_those_of_each_instant_and_computed_once_after_the_last_move() -> (
    None
):
    first, second = LeafId(b"1" * 16), LeafId(b"2" * 16)
    moves = [
        LeafMoved(WORKSPACE, first, ProfileId(second), 1, 10),
        LeafMoved(WORKSPACE, first, ProfileId(first), 2, 20),
    ]
    group = LeafGroup(WORKSPACE, frozenset((first, second)), moves=moves)
    apart = {ProfileId(first): {first}, ProfileId(second): {second}}
    assert group.persons(9) == apart
    assert group.persons(10) == group.persons(19) == {ProfileId(second): {first, second}}
    assert group.persons(20) == apart
    assert group.persons(20) is group.persons(1_000)
