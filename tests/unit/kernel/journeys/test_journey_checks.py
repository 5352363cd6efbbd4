"""A journey with a mistake is refused with what to write instead, all mistakes at once."""

from __future__ import annotations

from typing import Any

import pytest

from services.kernel.errors import InvalidField
from services.kernel.journeys.checks import check_journey
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.naming import KnownNames, journey_rules

MAIL = {"to": "mail", "template": "hello"}
SEND, WAIT = {"send": {"id": "m", **MAIL}}, {"wait": "1h"}
COUPON = {"issue": {"c": {"pool": "P", "valid": "3d"}}}
ARMS = [{"name": "a", "share": "50%"}, {"name": "b", "share": "50%"}]


def journey(*steps: Any, **more: Any) -> Any:
    form = {"id": "j", "enter": {"event": "entered", "not_after": "1d"}, "goal": [{"event": "x"}]}
    return parse_journey({**form, **more, "steps": list(steps)})


def again(id_: str, **more: Any) -> dict[str, Any]:
    return {"send": {"id": id_, **MAIL, **more}}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (journey(), "steps: there is none"),
        (journey(*[WAIT] * 201), "steps: there are too many; write at most 200"),
        (journey({"wait": "400d"}, {"wait": "400d"}), "could take too long"),
        (journey({"repeat": {"times": 1000, "steps": [{"wait": "1d"}]}}), "could take too long"),
        (
            journey(
                {"repeat": {"times": 200, "steps": [{"repeat": {"times": 90, "steps": [WAIT]}}]}}
            ),
            "could take too many steps",
        ),
        (journey({"exit": True}, WAIT), "wait-1: it follows an exit"),
        (journey(SEND, WAIT, SEND), "m: several steps have this id"),
        (journey({"split": {"id": "s", "arms": ARMS[:1]}}), "s: the shares are not a whole"),
        (journey({"split": {"id": "s", "arms": [ARMS[0], ARMS[0]]}}), "s: two arms have one name"),
        (
            journey(
                {
                    "split": {
                        "id": "s",
                        "arms": [ARMS[0], {**ARMS[1], "hold_out": True, "steps": [WAIT]}],
                    }
                }
            ),
            "s: an arm that is held out ends here",
        ),
        (journey({"choose": []}), "there is no branch"),
        (
            journey({"choose": [{"steps": [WAIT]}, {"when": {"tag": "t"}, "steps": [WAIT]}]}),
            "a branch can never be taken",
        ),
        (journey({"until": {}}), "it has nothing to wait for"),
        (journey({"until": {"clock": "10:00", "before": "1d"}}), "`before` has nothing"),
        (
            journey(
                again("m", **COUPON), {"until": {"coupon": "c", "clock": "10:00", "before": "1h"}}
            ),
            "`before` names a part of a day",
        ),
        (journey({"until": {"coupon": "c"}}), "no earlier step makes the coupon 'c'"),
        (journey({"void": "c"}), "no earlier step makes the coupon 'c'"),
        (journey({"close": "t"}), "no earlier step makes the task 't'"),
        (journey(again("m", about="task.t")), "no earlier step makes the task 't'"),
        (
            journey(
                {"choose": [{"when": {"coupon": {"name": "c", "is": "used"}}, "steps": [WAIT]}]}
            ),
            "no earlier step makes the coupon 'c'",
        ),
        (
            journey(
                {
                    "listen": {
                        "to": {"report": ["m"], "is": "clicked"},
                        "at_most": "1h",
                        "then": [WAIT],
                    }
                },
                SEND,
            ),
            "no earlier step makes the message 'm'",
        ),
        (journey({"listen": {"to": {"event": "x"}, "at_most": "1h"}}), "nothing follows"),
        (journey({"repeat": {"times": 2, "steps": []}}), "nothing is repeated"),
        (journey({"put": {}}), "put-1: it puts nothing, or two things"),
        (
            journey({"put": {"tag": "t", "stage": {"of": "s", "is": "a"}}}),
            "put-1: it puts nothing, or two things; write either `tag` or `stage`",
        ),
        (journey(again("a", else_to="a")), "a: `else_to` leads to no other message"),
        (journey(again("a", else_to="b")), "a: `else_to` leads to no other message"),
        (
            journey(again("a", **COUPON), WAIT, again("b", **COUPON)),
            "issue.c: several messages issue this coupon",
        ),
        (journey(SEND, again("b")), "b: a way sends twice to 'mail' at one instant"),
        (journey(SEND, {"repeat": {"times": 1, "steps": [again("b")]}}), "b: a way sends twice"),
        (journey({"repeat": {"times": 2, "steps": [SEND]}}), "m: a way sends twice"),
        (
            journey({"choose": [{"when": {"tag": "t"}, "steps": [SEND]}]}, again("b")),
            "b: a way sends twice",
        ),
        (journey(WAIT, on_goal=[WAIT | {"id": "w"}]), "w: an ended run takes no such step"),
        (
            journey(WAIT, enter={"segment": {"id": "s"}, "per": "cart"}),
            "`per` and `same` need an entry with properties",
        ),
        (
            journey(
                WAIT, enter={"first_seen": True}, goal=[{"event": {"name": "x", "same": "cart"}}]
            ),
            "`per` and `same` need an entry with properties",
        ),
        (journey(WAIT, enter={"event": {"name": "x", "same": "y"}}), "an entry has no `same`"),
        (
            journey(WAIT, enter={"event": "x", "restart_until": "1h"}),
            "`restart_until` has no effect",
        ),
        (journey(WAIT, enter={"event": "x", "audience": "vip"}), "belong together"),
        (journey(WAIT, enter={"schedule": {"at": "2026-12-01T10:00"}}), "belong together"),
        (journey(WAIT, enter={"schedule": {}, "audience": "vip"}), "it has no time"),
        (
            journey(WAIT, enter={"schedule": {"cron": "0 25 * * *"}, "audience": "vip"}),
            "enter.schedule.cron: this is no hour of a schedule",
        ),
        (
            journey(WAIT, enter={"schedule": {"at": "2026-12-01T10:00Z"}, "audience": "vip"}),
            "this is no local time",
        ),
        (
            journey(
                WAIT, enter={"schedule": {"cron": "0 10 * * 1", "zone": "Mars"}, "audience": "v"}
            ),
            "the time zone is not known",
        ),
        (
            journey(WAIT, enter={"date": {"trait": "birthday", "clock": "09:00", "before": "1h"}}),
            "these are no days",
        ),
    ],
)
def test_mistake_is_refused(of: Any, expected: str) -> None:
    with pytest.raises(InvalidField) as error:
        check_journey(of)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "of",
    [
        journey(SEND, again("b", together=True)),
        journey(SEND, {"wait": "1s"}, again("b")),
        journey(
            {
                "split": {
                    "id": "s",
                    "arms": [{**ARMS[0], "steps": [SEND]}, {**ARMS[1], "steps": [again("b")]}],
                }
            }
        ),
        journey({"choose": [{"when": {"tag": "t"}, "steps": [SEND, {"exit": True}]}]}, again("b")),
        journey({"repeat": {"times": 3, "steps": [SEND, WAIT]}}, again("b")),
        journey(again("a", else_to="b"), WAIT, again("b")),
        journey(
            again("a", **COUPON), on_goal=[{"void": "c"}], regret={"unwanted": [{"void": "c"}]}
        ),
    ],
)
def test_journey_without_a_mistake_has_no_warning(of: Any) -> None:
    assert check_journey(of) == []


def test_all_mistakes_are_listed_at_once() -> None:
    of = journey({"until": {}}, {"split": {"id": "s", "arms": ARMS[:1]}}, {"close": "t"})
    with pytest.raises(InvalidField) as error:
        check_journey(of)
    assert str(error.value).count("; ") == 3


def test_likely_mistakes_are_warnings() -> None:
    of = journey(SEND, enter={"event": "x"}, goal=[])
    found = check_journey(of, has_quiet_hours=False)
    assert [each.at for each in found] == ["goal", "enter", "purpose"]
    assert all(each.is_warning for each in found)


NONE = KnownNames(*[frozenset[str]()] * 7)
NAMING = journey(
    {"choose": [{"when": {"all": [{"tag": "vip"}, {"segment": "s1"}]}, "steps": [SEND]}]},
    WAIT,
    again("b", template="bye@3", **COUPON),
    {"join": "audience"},
    {"start": "other"},
    enter={"segment": {"id": "s2"}},
    goal=[{"segment": {"id": "s3"}}],
)


def test_names_that_are_not_defined_are_refused() -> None:
    with pytest.raises(InvalidField) as error:
        check_journey(NAMING, NONE)
    for name in ("mail", "hello", "bye", "P", "audience", "other", "s1", "s2", "s3", "vip"):
        assert f"'{name}' is not defined" in str(error.value)


def test_names_that_are_defined_are_accepted() -> None:
    known = KnownNames(
        frozenset({"mail", "audience"}),
        frozenset({"hello", "bye"}),
        frozenset({"P"}),
        frozenset({"s1", "s2", "s3"}),
        frozenset({"vip"}),
        frozenset({"other"}),
    )
    assert check_journey(NAMING, known) == []


def test_rules_of_a_journey_are_those_of_its_entry_and_its_branches() -> None:
    of = journey(
        {"choose": [{"when": {"tag": "a"}, "steps": [WAIT]}]},
        enter={"event": "x", "if": {"tag": "b"}},
    )
    assert [at for at, _ in journey_rules(of)] == ["enter", "choose-1"]


ENTRIES: dict[str, Any] = {
    "event": {"event": "entered"},
    "segment": {"segment": {"id": "s"}},
    "stage": {"stage": {"of": "life", "is": "new"}},
    "date": {"date": {"trait": "birthday", "clock": "10:00"}},
    "schedule": {"schedule": {"at": "2026-12-01T10:00"}, "audience": "s"},
    "call": {"call": True},
    "first_seen": {"first_seen": True},
}
ACTIONS: dict[str, list[Any]] = {
    "message": [SEND],
    "coupon": [again("m", **COUPON), WAIT, {"void": "c"}],
    "task": [
        {"task": {"id": "t", "queue": "q", "title": "call", "due": "1d"}},
        WAIT,
        {"close": "t"},
    ],
    "tag": [{"put": {"tag": "t"}}],
    "copy": [{"join": "audience"}, WAIT, {"drop": "audience"}],
    "journey": [{"start": "other"}],
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_can_follow_every_trigger(entry: str, action: str) -> None:
    own = journey(*ACTIONS[action], enter={**ENTRIES[entry], "again": {"after": "1d"}})
    known = KnownNames(
        destinations=frozenset({"mail", "audience"}),
        templates=frozenset({"hello"}),
        pools=frozenset({"P"}),
        queues=frozenset({"q"}),
        journeys=frozenset({"j", "other"}),
    )
    check_journey(own, known, has_quiet_hours=False)


def test_task_of_an_unknown_queue_is_refused() -> None:
    own = journey(*ACTIONS["task"])
    with pytest.raises(InvalidField, match="the queue 'q' is not defined"):
        check_journey(own, KnownNames(queues=frozenset()), has_quiet_hours=False)
