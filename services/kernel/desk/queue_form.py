"""Defines the form that a queue has in packs.

id: advisers
title: Course advisers
zone: Asia/Shanghai
hours: {from: "09:00", to: "18:00", days: [mon, tue, wed, thu, fri],
        closed: [2026-10-01], also_open: [2026-10-10]}
first_answer: 4h
solution: 2d                      # a whole day is a day of service
agents:
  - {id: wang, skills: [refund], away: [{from: 2026-12-01, to: 2026-12-05}]}
"""

from __future__ import annotations

from datetime import date
from typing import Final

from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.desk.model import Absence, DeskAgent, DeskQueue, OpeningHours
from services.kernel.errors import RuleError
from services.kernel.journeys.form_kinds import (
    CLOCK,
    DAYS,
    FLAG,
    NAME,
    NAMES,
    SPAN,
    FormContext,
    Key,
    ListOf,
    Record,
    ScalarKind,
)
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.values import Json

_CONTEXT: Final = FormContext(Defaults(DEFAULT_ZONE))


def parse_queue(form: Json, path: str = "") -> DeskQueue:
    """Return the queue of a decoded YAML or JSON form. Raises RuleError with the path of a part."""
    queue: DeskQueue = QUEUE.read(form, path, _CONTEXT)
    return queue


def dump_queue(queue: DeskQueue) -> Json:
    """Return the form of a queue, as `parse_queue` reads it."""
    return QUEUE.write(queue, _CONTEXT)


def _date(form: Json, path: str) -> str:
    try:
        # YAML reads a date without quotes as one.
        return date.fromisoformat(str(form)).isoformat()
    except ValueError:
        remedy = "write one such as 2026-10-01"
        raise RuleError("this is no date", remedy, field=path) from None


_DATE: Final = ScalarKind(_date)
_HOURS: Final = Record(
    OpeningHours,
    [
        Key("from", "from_minute", CLOCK),
        Key("to", "to_minute", CLOCK),
        Key("days", "days", DAYS),
        Key("closed", "closed", ListOf(_DATE)),
        Key("also_open", "also_open", ListOf(_DATE)),
    ],
)
_ABSENCE: Final = Record(Absence, [Key("from", "first_day", _DATE), Key("to", "last_day", _DATE)])
_AGENT: Final = Record(
    DeskAgent,
    [
        Key("id", "agent_id", NAME),
        Key("skills", "skills", NAMES),
        Key("away", "away", ListOf(_ABSENCE)),
    ],
)
QUEUE: Final = Record(
    DeskQueue,
    [
        Key("id", "queue_id", NAME),
        Key("title", "title", NAME),
        Key("zone", "zone", NAME),
        Key("hours", "hours", _HOURS),
        Key("first_answer", "first_answer_us", SPAN),
        Key("solution", "solution_us", SPAN),
        Key("agents", "agents", ListOf(_AGENT)),
        Key("retired", "retired", FLAG),
    ],
)
