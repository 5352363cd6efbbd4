"""The player walks a run through virtual time by its six rules, and agrees with the oracle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle.mutants import mutated
from oracle.random_journeys import (
    BEGIN,
    HOUR_US,
    LEAF,
    Case,
    entries_of,
    hours_of,
    make_case,
    oracle_runs,
    player_runs,
    run_facts,
    truth,
)
from properties import examples

from services.activation.domain.journeys import persons, player, program, run
from services.activation.domain.journeys.player import play, share_of
from services.activation.domain.journeys.program import (
    compile_journey,
    coupon_subject,
    event_subject,
    report_subject,
)
from services.activation.domain.journeys.run import (
    COUPON_END,
    ContactHours,
    PersonFacts,
    Question,
    RunEnd,
    RunEntry,
    RunFact,
    RunPlay,
    RunPosition,
)
from services.kernel.ids import FactId, LeafId
from services.kernel.journeys.journey_form import dump_journey, parse_journey
from services.kernel.journeys.model import Journey, ReportKind
from services.kernel.local_time import DailyWindow, ZoneHistory
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import structure_id

MAIL = {"to": "mail", "template": "hello"}
NIGHT = {"marketing": (DailyWindow(21 * 60, 9 * 60),)}
#: The cases that are tried until one of them finds a mistake.
CASES = 6_000


def journey(*steps: dict[str, Any], **more: Any) -> Journey:
    form = {"id": "j", "enter": {"event": "entered"}, "goal": [{"event": "paid"}], **more}
    return parse_journey({**form, "steps": list(steps)})


def fact(hours: float, name: str, id_: int = 1, **properties: Any) -> RunFact:
    return _at(hours, event_subject(structure_id(EventFilter.of(name))), id_, properties)


def _at(hours: float, subject: tuple[str, ...], id_: int, properties: Any = None) -> RunFact:
    return RunFact(BEGIN + int(hours * HOUR_US), FactId(bytes([id_])), subject, properties or {})


def played(
    of: Journey,
    *facts: RunFact,
    until: float = 1_000,
    answers: dict[Question, bool] | None = None,
    quiet: dict[str, tuple[DailyWindow, ...]] | None = None,
    leaf: LeafId = LEAF,
    entry: dict[str, Any] | None = None,
    zone: str = "UTC",
) -> RunPlay:
    begin = RunEntry(BEGIN, FactId(b"e"), leaf, BEGIN, entry or {})
    hours = ContactHours(ZoneHistory(zone), quiet or {})
    now = BEGIN + int(until * HOUR_US)
    return play(compile_journey(of), begin, PersonFacts(facts), answers or {}, hours, now)


def sent(result: RunPlay) -> list[tuple[str, float]]:
    """Return the effects: their steps and hours since the entry."""
    return [(e.step_id, (e.at_us - BEGIN) / HOUR_US) for e in result.effects]


SIMPLE = journey({"wait": "2h"}, {"send": {"id": "m", **MAIL}})


def test_player_before_the_due_instant_waits_for_it() -> None:
    result = played(SIMPLE, until=1.9)
    assert (result.effects, result.due_us) == ((), BEGIN + 2 * HOUR_US)
    assert result.ending is None


def test_player_at_the_due_instant_sends() -> None:
    result = played(SIMPLE, until=2)
    assert sent(result) == [("m", 2)]
    assert result.ending == (RunEnd.DONE, BEGIN + 2 * HOUR_US, None)


@pytest.mark.parametrize(
    ("paid", "expected"), [(1.9, []), (2, []), (2.000_001, [("m", 2)]), (0, [("m", 2)])]
)
def test_player_goal_ends_the_run_and_wins_a_tie(paid: float, expected: list[Any]) -> None:
    result = played(SIMPLE, fact(paid, "paid"))
    assert sent(result) == expected
    assert result.ending is not None
    assert (result.ending.reason is RunEnd.GOAL) is (not expected)


def test_player_goal_and_leave_of_one_instant_the_smaller_fact_wins() -> None:
    of = journey({"wait": "2h"}, leave=[{"event": "left"}])
    first = played(of, fact(1, "paid", 2), fact(1, "left", 1)).ending
    second = played(of, fact(1, "paid", 1), fact(1, "left", 2)).ending
    both = played(of, fact(1, "paid", 1), fact(1, "left", 1)).ending
    assert [end and end.reason for end in (first, second, both)] == [
        *(RunEnd.LEFT, RunEnd.GOAL, RunEnd.GOAL)
    ]


@pytest.mark.parametrize(
    ("own", "of_entry", "is_ended"), [("A", "A", True), ("B", "A", False), (None, None, False)]
)
def test_player_goal_with_same_needs_the_value_of_the_entry(
    own: str | None, of_entry: str | None, is_ended: bool
) -> None:
    of = journey({"wait": "2h"}, goal=[{"event": {"name": "paid", "same": "cart"}}])
    properties = {} if own is None else {"cart": own}
    entry = {} if of_entry is None else {"cart": of_entry}
    result = played(of, fact(1, "paid", **properties), entry=entry)
    assert result.ending is not None
    assert (result.ending.reason is RunEnd.GOAL) is is_ended


def test_player_on_goal_follows_the_goal_and_nothing_else() -> None:
    of = journey({"wait": "2h"}, on_goal=[{"put": {"tag": "t"}, "id": "thanks"}])
    assert sent(played(of, fact(1, "paid"))) == [("thanks", 1)]
    assert sent(played(of)) == []


LISTEN = journey(
    {"wait": "1h"},
    {
        "listen": {
            "to": {"event": "clicked"},
            "at_most": "2h",
            "then": [{"put": {"tag": "t"}, "id": "then"}],
            "otherwise": [{"put": {"tag": "t"}, "id": "otherwise"}],
        }
    },
)


@pytest.mark.parametrize(
    ("clicked", "expected"),
    [
        (0.5, ("otherwise", 3)),
        (1, ("otherwise", 3)),
        (1.5, ("then", 1.5)),
        (3, ("then", 3)),
        (3.5, ("otherwise", 3)),
    ],
)
def test_player_listen_takes_only_what_happens_after_it_begins(
    clicked: float, expected: tuple[str, float]
) -> None:
    assert sent(played(LISTEN, fact(clicked, "clicked"))) == [expected]


def test_player_listen_takes_the_first_of_several_facts() -> None:
    facts = [fact(2.5, "clicked", 1), fact(1.5, "clicked", 2)]
    assert sent(played(LISTEN, *facts)) == [("then", 1.5)]


def test_player_listen_to_reports_takes_those_of_the_named_messages() -> None:
    of = journey(
        {"send": {"id": "a", **MAIL}},
        {"wait": "1h"},
        {"send": {"id": "b", **MAIL}},
        {
            "listen": {
                "to": {"report": ["a"], "is": "clicked"},
                "at_most": "2h",
                "then": [{"put": {"tag": "t"}, "id": "then"}],
            }
        },
    )
    of_b = _at(2, report_subject("j", "b", ReportKind.CLICKED), 1)
    of_a = _at(2.5, report_subject("j", "a", ReportKind.CLICKED), 2)
    opened = _at(2, report_subject("j", "a", ReportKind.OPENED), 3)
    assert sent(played(of, of_b, opened, of_a))[2:] == [("then", 2.5)]
    assert sent(played(of, of_b, opened))[2:] == []


def test_player_choose_stops_for_answers_and_goes_on_with_them() -> None:
    rule = {"tag": "vip"}
    of = journey(
        {"wait": "1h"},
        {
            "choose": [
                {"when": rule, "steps": [{"send": {"id": "vip", **MAIL}}]},
                {"steps": [{"send": {"id": "all", **MAIL}}]},
            ]
        },
    )
    question = Question(parse_rule(rule), BEGIN + HOUR_US)
    waiting = played(of)
    assert waiting.questions == (question,)
    assert waiting.due_us is None
    assert sent(played(of, answers={question: True})) == [("vip", 1)]
    assert sent(played(of, answers={question: False})) == [("all", 1)]


def test_player_choose_without_a_true_branch_goes_on_behind_it() -> None:
    rule = {"tag": "vip"}
    steps = [{"send": {"id": "vip", **MAIL}}]
    of = journey({"choose": [{"when": rule, "steps": steps}]}, {"wait": "1h"}, {"exit": True})
    result = played(of, answers={Question(parse_rule(rule), BEGIN): False})
    assert not result.effects
    assert result.arms[0].arm == -1
    assert result.ending == (RunEnd.EXITED, BEGIN + HOUR_US, None)


@pytest.mark.parametrize(("used", "is_sent"), [(None, True), (5, False), (60, True)])
def test_player_coupon_is_used_only_before_the_instant(used: float | None, is_sent: bool) -> None:
    of = journey(
        {"send": {"id": "offer", **MAIL, "issue": {"c": {"pool": "P", "valid": "3d"}}}},
        {"until": {"coupon": "c", "before": "1d", "clock": "10:00"}},
        {
            "choose": [
                {
                    "when": {"not": {"coupon": {"name": "c", "is": "used"}}},
                    "steps": [{"send": {"id": "last", **MAIL}}],
                }
            ]
        },
    )
    facts = [] if used is None else [_at(used, coupon_subject("c"), 1)]
    # Issued on Monday at 00:00, so it ends on Thursday, and the day before is Wednesday.
    assert sent(played(of, *facts)) == [("offer", 0), *([("last", 58)] if is_sent else [])]


@pytest.mark.parametrize(("hours", "is_sent"), [(72, False), (71, True)])
def test_player_use_of_a_coupon_of_another_run_does_not_count(hours: int, is_sent: bool) -> None:
    of = journey(
        {"send": {"id": "offer", **MAIL, "issue": {"c": {"pool": "P", "valid": "3d"}}}},
        {"wait": "1d"},
        {
            "choose": [
                {
                    "when": {"not": {"coupon": {"name": "c", "is": "used"}}},
                    "steps": [{"send": {"id": "last", **MAIL}}],
                }
            ]
        },
    )
    ends = {COUPON_END: BEGIN + hours * HOUR_US}
    used = _at(5, coupon_subject("c"), 1)._replace(properties=ends)
    assert [step for step, _ in sent(played(of, used))] == ["offer", *(["last"] if is_sent else [])]


def test_player_until_a_coupon_that_no_step_of_the_way_issued_does_not_wait() -> None:
    issue = {"issue": {"c": {"pool": "P", "valid": "3d"}}}
    rule = {"tag": "vip"}
    of = journey(
        {"choose": [{"when": rule, "steps": [{"send": {"id": "offer", **MAIL, **issue}}]}]},
        {"until": {"coupon": "c"}},
        {"put": {"tag": "t"}, "id": "after"},
    )
    result = played(of, answers={Question(parse_rule(rule), BEGIN): False})
    assert sent(result) == [("after", 0)]


SPLIT = journey(
    {
        "split": {
            "id": "subject",
            "arms": [
                {"name": "a", "share": "45%", "steps": [{"send": {"id": "a", **MAIL}}]},
                {"name": "b", "share": "45%", "steps": [{"send": {"id": "b", **MAIL}}]},
                {"name": "none", "share": "10%", "hold_out": True},
            ],
        }
    },
    {"wait": "1h"},
    {"send": {"id": "later", **MAIL}},
)


def test_player_split_divides_leaves_by_their_shares() -> None:
    arms = [0, 0, 0]
    for number in range(5_000):
        leaf = LeafId(number.to_bytes(16, "big"))
        result = played(SPLIT, leaf=leaf)
        arms[result.arms[0].arm] += 1
        held_out = result.ending is not None and result.ending.reason is RunEnd.HELD_OUT
        assert held_out == (result.arms[0].arm == 2) == (not result.effects)
    # Five standard deviations.
    assert abs(arms[0] - 2_250) < 176
    assert abs(arms[1] - 2_250) < 176
    assert abs(arms[2] - 500) < 106


def test_player_split_is_the_same_in_every_repetition() -> None:
    of = journey(
        {"repeat": {"times": 3, "steps": [{"wait": "1h"}, dump_journey(SPLIT)["steps"][0]]}}
    )
    for number in range(20):
        result = played(of, leaf=LeafId(bytes([number]) * 16))
        assert len({taken.arm for taken in result.arms}) == 1


def test_share_of_is_pinned() -> None:
    # Another hash would give each person another arm in the middle of a journey.
    assert share_of("journey", "split", "subject", "", bytes(16)) == 633_981


def test_player_hold_out_of_the_entry_ends_its_share_of_the_runs() -> None:
    of = journey({"send": {"id": "m", **MAIL}}, enter={"event": "entered", "hold_out": "10%"})
    leaves = [LeafId(number.to_bytes(16, "big")) for number in range(5_000)]
    ends = [played(of, leaf=leaf).ending for leaf in leaves]
    held_out = sum(end is not None and end.reason is RunEnd.HELD_OUT for end in ends)
    assert abs(held_out - 500) < 106


def test_player_repeat_counts_visits_of_nested_steps() -> None:
    inner = {"repeat": {"times": 2, "steps": [{"wait": "1h"}, {"put": {"tag": "t"}, "id": "p"}]}}
    result = played(journey({"repeat": {"times": 3, "steps": [inner]}}))
    assert [effect.key for effect in result.effects] == [("p", visit) for visit in range(6)]


def test_player_messages_move_out_of_the_quiet_hours_with_their_group() -> None:
    of = journey(
        {"wait": "23h"},
        {"task": {"id": "call", "queue": "q", "title": "t", "due": "1h"}},
        {"send": {"id": "m", **MAIL}},
        {"wait": "1h"},
        {"put": {"tag": "t"}, "id": "after"},
    )
    assert sent(played(of, quiet=NIGHT)) == [("call", 33), ("m", 33), ("after", 34)]
    moved = played(of, quiet=NIGHT, until=30)
    assert moved.due_us == BEGIN + 33 * HOUR_US
    assert not moved.effects


def test_player_steps_without_messages_do_not_move() -> None:
    of = journey({"wait": "23h"}, {"put": {"tag": "t"}, "id": "p"})
    assert sent(played(of, quiet=NIGHT)) == [("p", 23)]


def test_player_goal_in_the_quiet_hours_ends_the_run() -> None:
    of = journey({"wait": "23h"}, {"send": {"id": "m", **MAIL}})
    result = played(of, fact(33, "paid"), quiet=NIGHT)
    assert not result.effects
    assert result.ending is not None
    assert result.ending.reason is RunEnd.GOAL


def test_player_quiet_hours_without_end_end_the_run() -> None:
    always = {"marketing": (DailyWindow(0, 720), DailyWindow(720, 0))}
    result = played(journey({"send": {"id": "m", **MAIL}}), quiet=always)
    assert result.ending is not None
    assert result.ending.reason is RunEnd.NO_OPEN_HOURS


def test_player_quiet_hours_are_those_of_the_purpose_of_the_message() -> None:
    of = journey({"wait": "23h"}, {"send": {"id": "m", **MAIL, "purpose": "duty"}})
    assert sent(played(of, quiet=NIGHT)) == [("m", 23)]


def test_player_from_the_position_of_an_effect_gives_what_follows_it() -> None:
    for seed in range(300):
        case = make_case(Random(seed))
        whole = _whole(case)
        for number, effect in enumerate(whole.effects):
            if whole.ending is not None and whole.ending.at_us == effect.at_us:
                continue
            rest = _whole(case, effect.position)
            assert rest.effects == whole.effects[number + 1 :]
            assert rest.ending == whole.ending


def test_player_from_a_position_after_a_goal_ends_there_and_sends_nothing() -> None:
    of = journey({"send": {"id": "a", **MAIL}}, {"wait": "2h"}, {"send": {"id": "b", **MAIL}})
    late = RunPosition("wait-1", BEGIN + HOUR_US)
    begin = RunEntry(BEGIN, FactId(b"e"), LEAF, BEGIN)
    hours = ContactHours(ZoneHistory("UTC"), {})
    facts = PersonFacts([fact(0.5, "paid")])
    result = play(compile_journey(of), begin, facts, {}, hours, BEGIN + 9 * HOUR_US, late)
    assert (result.effects, result.ending) == ((), (RunEnd.GOAL, BEGIN + HOUR_US, b"\x01"))


def _whole(case: Case, since: RunPosition | None = None) -> RunPlay:
    of = compile_journey(case.journey)
    entry = min(entries_of(of, case, case.happenings), key=lambda entry: entry.order)
    facts = PersonFacts(run_facts(of, case.happenings))
    answers: dict[Question, bool] = {}
    hours = hours_of(case.contact)
    while True:
        result = play(of, entry, facts, answers, hours, case.now, since)
        if not result.questions:
            return result
        answers |= {question: truth(*question) for question in result.questions}


@given(st.randoms(use_true_random=False))
@examples(300)
def test_player_agrees_with_the_oracle(random: Random) -> None:
    case = make_case(random)
    assert player_runs(case) == oracle_runs(case)


def test_player_agrees_with_the_oracle_in_many_cases() -> None:
    for seed in range(1_000):
        case = make_case(Random(seed))
        assert player_runs(case) == oracle_runs(case), seed


WALK = player._Walk
MUTANTS: dict[str, tuple[Any, str, str]] = {
    "old_fact_satisfies_listen": (
        run.PersonFacts.first,
        "fact.occurred_at_us <= after_us",
        "False",
    ),
    "fact_at_the_begin_satisfies_listen": (
        run.PersonFacts.first,
        "fact.occurred_at_us <= after_us",
        "fact.occurred_at_us < after_us",
    ),
    "fact_at_the_limit_is_late": (
        run.PersonFacts.first,
        "fact.occurred_at_us > until_us",
        "fact.occurred_at_us >= until_us",
    ),
    "same_is_ignored": (
        run.PersonFacts.first,
        "canonical_json(fact.properties.get(trigger.same)) != wanted",
        "False",
    ),
    "missing_value_is_the_same": (run.PersonFacts.first, "if value is None:", "if False:"),
    "goal_loses_a_tie_after_a_wait": (
        WALK._pass_time,
        "self._end.at_us <= until_us",
        "self._end.at_us < until_us",
    ),
    "leave_goes_before_a_goal": (player.ending_of, "fact[:2] < first[:2]", "True"),
    "due_is_exclusive": (WALK._pass_time, "until_us > self._now_us", "until_us >= self._now_us"),
    "wait_takes_no_time": (WALK._take, "self._at_us + span_us", "self._at_us"),
    "listen_is_endless": (WALK._listen, "min(limit_us, self._now_us)", "self._now_us"),
    "listen_takes_the_other_arm": (WALK._listen, "arm = 1 if fact", "arm = 0 if fact"),
    "listen_does_not_end_a_group": (WALK._listen, "node.arms[arm], True", "node.arms[arm], False"),
    "choose_takes_the_last": (WALK._choose, "            break\n", "            pass\n"),
    "split_takes_another_arm": (player.arm_of, "share -= step", "share -= 2 * step"),
    "repeat_once_less": (program.ProgramNode.repeat, "count > self", "count >= self"),
    "visits_are_not_counted": (program.ProgramNode.visit, "number * loop.times + ", ""),
    "quiet_hours_end_early": (WALK._leave_quiet_hours, "not self._has_waited", "True"),
    "coupon_is_always_used": (
        WALK._holds,
        "self._facts.uses(name, until_us, after_us, self._at_us)",
        "True",
    ),
    "coupon_ends_at_once": (WALK._plan, "self._at_us + issue.valid_us", "self._at_us"),
    "held_out_goes_on": (WALK._split, "if step.arms[arm].hold_out:", "if False:"),
    "nobody_is_held_out": (player.is_held_out, "share <", "0 >"),
    "on_goal_is_forgotten": (WALK._ended, "is RunEnd.GOAL", "is None"),
    "inside_at_the_end_by_time": (persons._Group._refusal_beside, "not by_fact", "False"),
    "again_never_is_always": (
        persons._Group._refusal_beside,
        "self._entry.again_after_us is None",
        "False",
    ),
    "again_is_inclusive": (persons._Group._refusal_beside, "_at_us < ending", "_at_us <= ending"),
    "restart_after_a_message": (
        persons._Group._may_restart,
        "effect.at_us >= entry.occurred_at_us",
        "True",
    ),
    "restart_for_ever": (persons._Group._may_restart, "if limit_us and", "if False and"),
}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_player_mutant_is_found_by_the_oracle(name: str) -> None:
    function, before, after = MUTANTS[name]
    with mutated(function, before, after):
        assert any(_differs(seed) for seed in range(CASES)), "no case finds the mistake"


def _differs(seed: int) -> bool:
    case = make_case(Random(seed))
    try:
        return player_runs(case) != oracle_runs(case)
    except (AssertionError, KeyError, IndexError, TypeError):
        return True
