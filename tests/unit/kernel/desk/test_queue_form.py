"""Tests the form of queues in packs."""

from __future__ import annotations

from typing import Any

import pytest

from services.chassis.codec.journeys import queue_from_proto, queue_to_proto
from services.kernel.desk.model import Absence, DeskAgent, DeskQueue, OpeningHours
from services.kernel.desk.queue_form import dump_queue, parse_queue
from services.kernel.errors import RuleError
from services.kernel.time import DAY_US, HOUR_US

FORM: dict[str, Any] = {
    "id": "advisers",
    "title": "Course advisers",
    "zone": "Asia/Shanghai",
    "hours": {
        "from": "09:00",
        "to": "18:00",
        "days": ["mon", "tue"],
        "closed": ["2026-10-01"],
        "also_open": ["2026-10-10"],
    },
    "first_answer": "4h",
    "solution": "2d",
    "agents": [
        {"id": "wang", "skills": ["refund"], "away": [{"from": "2026-12-01", "to": "2026-12-05"}]},
        {"id": "li", "away": [{"from": "2026-12-01"}]},
    ],
}
QUEUE = DeskQueue(
    "advisers",
    "Course advisers",
    "Asia/Shanghai",
    OpeningHours(540, 1_080, frozenset({0, 1}), ("2026-10-01",), ("2026-10-10",)),
    4 * HOUR_US,
    2 * DAY_US,
    (
        DeskAgent("wang", ("refund",), (Absence("2026-12-01", "2026-12-05"),)),
        DeskAgent("li", (), (Absence("2026-12-01"),)),
    ),
)


def test_queue_is_read_and_written() -> None:
    assert parse_queue(FORM) == QUEUE
    assert dump_queue(QUEUE) == FORM


@pytest.mark.parametrize("queue", [QUEUE, DeskQueue("q"), QUEUE.at_version(3)])
def test_queue_survives_its_message(queue: DeskQueue) -> None:
    assert queue_from_proto(queue_to_proto(queue)) == queue


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"zone": "Mars"}, "zone"),
        ({"first_answer": "soon"}, "first_answer"),
        ({"hours": {"from": "9", "to": "18:00"}}, "hours.from"),
        ({"hours": {"from": "09:00", "to": "18:00", "closed": ["1 May"]}}, "hours.closed[0]"),
        ({"agents": [{"id": "wang", "skill": ["x"]}]}, "agents[0]"),
        ({"agents": [{"id": "wang", "away": [{"to": "2026-01-01"}]}]}, "agents[0].away[0]"),
    ],
)
def test_queue_with_a_mistake_is_refused_with_its_place(change: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse_queue({"id": "q", **change})
    assert refused.value.field.startswith(field)


def test_absence_contains_its_first_and_last_day() -> None:
    wang, li = QUEUE.agents
    assert [wang.works_on(f"2026-1{day}") for day in ("1-30", "2-01", "2-05", "2-06")] == [
        *(True, False, False, True)
    ]
    assert [li.works_on(day) for day in ("2026-12-01", "2026-12-02")] == [False, True]
