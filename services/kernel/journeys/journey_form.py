"""Reads and writes journeys in the form in which users write them in YAML.

::

    id: first-order-coupon
    title: 新客首单券
    purpose: marketing
    priority: 60
    enter:
      event: {name: registered, where: {channel: web}}
      per: cart_id               # one run for each value
      if: {tag: high_value}
      again: never               # always, or {after: 30d}
      while_inside: restart      # or ignore
      restart_until: 24h
      not_after: 24h
      hold_out: 10%
    goal:  [{event: {name: order_paid, same: cart_id}}]
    leave: [{segment: {id: refused, on: entered}}]
    caps:  [{at_most: 1, in: 24h}]
    steps: [STEP, ...]
    on_goal: [STEP, ...]
    regret: {unwanted: [STEP, ...]}      # or report
    people_inside: stay                  # move, leave

An entry is `event`, `segment: {id, on}`, `stage: {of, is}`, `date: {trait, before, clock, zone,
feb29}`, `schedule: {at | cron, zone}` with `audience` and `pace`, `call: true` or
`first_seen: true`. A step is one of `wait`, `until`, `listen`, `choose`, `split`, `send`, `task`,
`put`, `join`, `drop`, `start`, `close`, `void`, `repeat` and `exit`; one without an `id` gets one
from its kind and number.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.errors import RuleError
from services.kernel.journeys import model
from services.kernel.journeys.form_kinds import (
    CLOCK,
    DAYS,
    FLAG,
    NAME,
    NAMES,
    PACE,
    SHARE,
    SPAN,
    FormContext,
    FormKind,
    Key,
    ListOf,
    MapOf,
    Record,
    Variants,
    whole,
    word,
)
from services.kernel.journeys.puts import PutStage, PutStep
from services.kernel.local_time import LeapDay
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.forms.json_body import Body, listed
from services.kernel.rules.forms.json_dump import dump_rule, events_form
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.forms.json_parse import events_of
from services.kernel.rules.values import Json

#: Lists of steps and conditions within each other, as deep as a parser goes.
MAX_DEPTH: Final = 20
_DEFAULTS: Final = Defaults(DEFAULT_ZONE)
_JOINS: Final[dict[str, Any]] = {"all": model.EveryCondition, "any": model.SomeCondition}


def parse_journey(form: Json, path: str = "", defaults: Defaults = _DEFAULTS) -> model.Journey:
    """Return the journey of a decoded YAML or JSON form. Raises RuleError with the path of a part.

    `defaults`: what the rules mean where they omit something.
    """
    journey: model.Journey = JOURNEY.read(form, path, FormContext(defaults))
    return journey


def dump_journey(journey: model.Journey, defaults: Defaults = _DEFAULTS) -> Json:
    """Return the form of a journey, as `parse_journey` reads it with these defaults."""
    return JOURNEY.write(journey, FormContext(defaults))


class _Events:
    """The kind of an `EventTrigger`: `{name, where, same}`, or a name alone."""

    def read(self, form: Json, path: str, context: FormContext) -> model.EventTrigger:
        body = Body({"name": form} if isinstance(form, str | list) else form, path)
        body.check_keys(("name", "where", "same"))
        return model.EventTrigger(events_of(body, "name"), body.optional_name("same"))

    def write(self, value: model.EventTrigger, context: FormContext) -> Json:
        form = events_form(value.events)
        form = {"name": form.pop("event"), **form}
        return form | ({"same": value.same} if value.same else {})


class _Condition:
    """The kind of a condition: a rule, which can contain `coupon: {name, is}`."""

    def read(self, form: Json, path: str, context: FormContext, depth: int = 1) -> model.Condition:
        if depth > MAX_DEPTH:
            raise RuleError("conditions are nested too deep", "write fewer levels", field=path)
        if not _has_coupon(form, depth):
            zone, orders, cleaners = context.defaults
            try:
                rule = parse_rule(form, zone=zone, orders=orders, cleaners=cleaners)
            except RuleError as error:
                raise error.under(path) from None
            return model.RuleCondition(rule)
        body = Body(form, path)
        body.check_keys((*_JOINS, "not", "coupon"))
        key = body.only(body.form, "there are several conditions in one place")
        if key == "coupon":
            coupon: model.CouponCondition = _COUPON.read(form["coupon"], body.at(key), context)
            return coupon
        if key == "not":
            return model.NotCondition(self.read(form[key], body.at(key), context, depth + 1))
        parts = form[key]
        return _JOINS[str(key)](
            tuple(
                self.read(part, f"{body.at(str(key))}[{i}]", context, depth + 1)
                for i, part in enumerate(parts)
            )
        )

    def write(self, value: model.Condition, context: FormContext) -> Json:
        match value:
            case model.RuleCondition(rule):
                zone, orders, cleaners = context.defaults
                return dump_rule(rule, zone=zone, orders=orders, cleaners=cleaners)
            case model.CouponCondition():
                return {"coupon": _COUPON.write(value, context)}
            case model.NotCondition(part):
                return {"not": self.write(part, context)}
            case model.EveryCondition(parts):
                return {"all": [self.write(part, context) for part in parts]}
            case model.SomeCondition(parts):
                return {"any": [self.write(part, context) for part in parts]}


def _has_coupon(form: Json, depth: int) -> bool:
    """Return whether a condition contains a coupon, so that it is more than a rule."""
    if depth > MAX_DEPTH or not isinstance(form, dict):
        return False
    if "coupon" in form:
        return True
    parts = [form.get("not"), *(form[join] for join in _JOINS if isinstance(form.get(join), list))]
    flat = [each for part in parts for each in (part if isinstance(part, list) else [part])]
    return any(_has_coupon(part, depth + 1) for part in flat)


class _Again:
    """The kind of `again`: `always`, `never` or `{after: 30d}`."""

    _WORDS: Final = {"always": 0, "never": None}

    def read(self, form: Json, path: str, context: FormContext) -> int | None:
        if isinstance(form, str) and form in self._WORDS:
            return self._WORDS[form]
        if not isinstance(form, dict):
            remedy = "write always, never, or one such as {after: 30d}"
            raise RuleError("this is not known here", remedy, field=path)
        body = Body(form, path)
        body.check_keys(("after",))
        return body.span("after")

    def write(self, value: int | None, context: FormContext) -> Json:
        if not value:
            return "never" if value is None else "always"
        return {"after": SPAN.write(value, context)}


class _Wrapped(NamedTuple):
    """The kind of a value that stands alone in a mapping: `{trait: NAME}`."""

    key: str

    def read(self, form: Json, path: str, context: FormContext) -> str:
        body = Body(form, path)
        body.check_keys((self.key,))
        return body.name(self.key)

    def write(self, value: str, context: FormContext) -> Json:
        return {self.key: value}


class _Steps:
    """The kind of a list of steps."""

    def read(self, form: Json, path: str, context: FormContext) -> tuple[model.JourneyStep, ...]:
        if path.count(".") > 8 * MAX_DEPTH:
            raise RuleError("steps are nested too deep", "write fewer levels", field=path)
        steps: tuple[model.JourneyStep, ...] = ListOf(_Step()).read(form, path, context)
        return steps

    def write(self, value: tuple[model.JourneyStep, ...], context: FormContext) -> Json:
        return ListOf(_Step()).write(value, context)


class _Step:
    """The kind of a step: its kind, with an `id` beside it or in it."""

    def read(self, form: Json, path: str, context: FormContext) -> model.JourneyStep:
        body = Body(form, path)
        body.check_keys((*_STEPS, "id"))
        key = body.only(_STEPS, "there are several steps in one place")
        if key is None:
            remedy = f"write one of {listed(_STEPS)}"
            raise RuleError("there is no step", remedy, field=path)
        made, kind = _STEPS[key]
        part, number = body.get(key), _next_number(context, key)
        id_ = body.optional_name("id")
        if isinstance(part, dict) and "id" in part:
            id_ = Body(part, body.at(key)).name("id")
            part = {name: value for name, value in part.items() if name != "id"}
        id_ = id_ or f"{key}-{number}"
        if isinstance(kind, Record):
            step: model.JourneyStep = kind.read(part, body.at(key), context, id=id_)
            return step
        if kind is FLAG:
            kind.read(part, body.at(key), context)
            return made(id=id_)
        return made(id_, kind.read(part, body.at(key), context))

    def write(self, value: model.JourneyStep, context: FormContext) -> Json:
        key = next(key for key, (made, _) in _STEPS.items() if type(value) is made)
        kind = _STEPS[key][1]
        own = {} if value.id == f"{key}-{_next_number(context, key)}" else {"id": value.id}
        if isinstance(kind, Record):
            return {key: {**own, **kind.write(value, context)}}
        if kind is FLAG:
            return {**own, key: True}
        [attribute] = [name for name in value.__slots__ if name != "id"]
        return {**own, key: kind.write(getattr(value, attribute), context)}


def _next_number(context: FormContext, key: str) -> int:
    context.steps[key] = context.steps.get(key, 0) + 1
    return context.steps[key]


class _Regret:
    """The kind of what follows a regret: `report`, or steps."""

    def read(self, form: Json, path: str, context: FormContext) -> tuple[model.JourneyStep, ...]:
        return () if form == "report" else STEPS.read(form, path, context)

    def write(self, value: tuple[model.JourneyStep, ...], context: FormContext) -> Json:
        return STEPS.write(value, context)


class _True:
    """The kind of an entry that has nothing to configure: `true`."""

    def __init__(self, made: type) -> None:
        self._made = made

    def read(self, form: Json, path: str, context: FormContext) -> Any:
        if form is not True:
            raise RuleError("there is nothing to configure here", "write true", field=path)
        return self._made()

    def write(self, value: Any, context: FormContext) -> Json:
        return True


_COUPON: Final = Record(
    model.CouponCondition, [Key("name", "name", NAME), Key("is", "state", word(model.CouponState))]
)
CONDITION: Final = _Condition()
STEPS: Final = _Steps()
_MOVEMENT: Final = word(model.Movement)
_SEGMENT: Final = Record(
    model.SegmentTrigger, [Key("id", "segment_id", NAME), Key("on", "on", _MOVEMENT)]
)
_REPORT: Final = Record(
    model.ReportTrigger, [Key("report", "of", NAMES), Key("is", "what", word(model.ReportKind))]
)
_PERSON: Final[dict[str, tuple[type, FormKind]]] = {
    "event": (model.EventTrigger, _Events()),
    "segment": (model.SegmentTrigger, _SEGMENT),
}
_LISTENED: Final = Variants({**_PERSON, "report": (model.ReportTrigger, _REPORT)})
_STAGE: Final = Record(model.StageTrigger, [Key("of", "stages_id", NAME), Key("is", "stage", NAME)])
_DATE: Final = Record(
    model.DateTrigger,
    [
        Key("trait", "trait", NAME),
        Key("before", "before_us", SPAN),
        Key("clock", "clock", CLOCK),
        Key("zone", "zone", NAME),
        Key("feb29", "leap_day", word(LeapDay)),
    ],
)
_SCHEDULE: Final = Record(
    model.ScheduleTrigger,
    [Key("at", "at", NAME), Key("cron", "cron", NAME), Key("zone", "zone", NAME)],
)
_ENTRIES: Final = Variants(
    {
        **_PERSON,
        "stage": (model.StageTrigger, _STAGE),
        "date": (model.DateTrigger, _DATE),
        "schedule": (model.ScheduleTrigger, _SCHEDULE),
        "call": (model.CallTrigger, _True(model.CallTrigger)),
        "first_seen": (model.FirstSeenTrigger, _True(model.FirstSeenTrigger)),
    }
)
_ENTRY: Final = Record(
    model.JourneyEntry,
    [
        Key("per", "per", NAME),
        Key("if", "condition", CONDITION),
        Key("again", "again_after_us", _Again()),
        Key("while_inside", "while_inside", word(model.WhileInside)),
        Key("restart_until", "restart_until_us", SPAN),
        Key("not_after", "not_after_us", SPAN),
        Key("hold_out", "hold_out_ppm", SHARE),
        Key("audience", "audience", NAME),
        Key("pace", "pace_an_hour", PACE),
    ],
    inline=("by", _ENTRIES),
)
_ISSUE: Final = Record(
    model.CouponIssue, [Key("pool", "pool", NAME), Key("valid", "valid_us", SPAN)]
)
_SEND: Final = Record(
    model.SendStep,
    [
        Key("to", "destination_id", NAME),
        Key("template", "template", NAME),
        Key("with", "values", MapOf(NAME)),
        Key("issue", "issue", MapOf(_ISSUE)),
        Key("valid", "valid_us", SPAN),
        Key("else_to", "else_to", NAME),
        Key("purpose", "purpose", NAME),
        Key("together", "together", FLAG),
        Key("about", "about", NAME),
    ],
)
_TASK: Final = Record(
    model.TaskStep,
    [
        Key("queue", "queue", NAME),
        Key("to", "to_trait", _Wrapped("trait")),
        Key("title", "title", NAME),
        Key("due", "due_us", SPAN),
    ],
)
_UNTIL: Final = Record(
    model.UntilStep,
    [
        Key("coupon", "coupon", NAME),
        Key("before", "before_us", SPAN),
        Key("clock", "clock", CLOCK),
        Key("days", "days", DAYS),
    ],
)
_LISTEN: Final = Record(
    model.ListenStep,
    [
        Key("to", "to", _LISTENED),
        Key("at_most", "at_most_us", SPAN),
        Key("then", "then", STEPS),
        Key("otherwise", "otherwise", STEPS),
    ],
)
_ARM: Final = Record(
    model.SplitArm,
    [
        Key("name", "name", NAME),
        Key("share", "share_ppm", SHARE),
        Key("steps", "steps", STEPS),
        Key("hold_out", "hold_out", FLAG),
    ],
)
_SPLIT: Final = Record(
    model.SplitStep, [Key("salt", "salt", NAME), Key("arms", "arms", ListOf(_ARM))]
)
_BRANCH: Final = Record(
    model.Branch, [Key("when", "when", CONDITION), Key("steps", "steps", STEPS)]
)
_REPEAT: Final = Record(
    model.RepeatStep, [Key("times", "times", whole(1, 1_000)), Key("steps", "steps", STEPS)]
)
_PUT: Final = Record(
    PutStep,
    [
        Key("tag", "tag", NAME),
        Key(
            "stage",
            "stage",
            Record(PutStage, [Key("of", "stages_id", NAME), Key("is", "stage", NAME)]),
        ),
    ],
)
_STEPS: Final[dict[str, tuple[Any, FormKind]]] = {
    "wait": (model.WaitStep, SPAN),
    "until": (model.UntilStep, _UNTIL),
    "listen": (model.ListenStep, _LISTEN),
    "choose": (model.ChooseStep, ListOf(_BRANCH)),
    "split": (model.SplitStep, _SPLIT),
    "send": (model.SendStep, _SEND),
    "task": (model.TaskStep, _TASK),
    "put": (PutStep, _PUT),
    "join": (model.JoinStep, NAME),
    "drop": (model.DropStep, NAME),
    "start": (model.StartStep, NAME),
    "close": (model.CloseStep, NAME),
    "void": (model.VoidStep, NAME),
    "repeat": (model.RepeatStep, _REPEAT),
    "exit": (model.ExitStep, FLAG),
}
_REGRET: Final = Record(model.RegretPolicy, [Key("unwanted", "unwanted", _Regret())])
CAP: Final = Record(
    model.JourneyCap, [Key("at_most", "at_most", whole(1, 1_000)), Key("in", "in_us", SPAN)]
)
JOURNEY: Final = Record(
    model.Journey,
    [
        Key("id", "journey_id", NAME),
        Key("title", "title", NAME),
        Key("purpose", "purpose", NAME),
        Key("priority", "priority", whole(0, 100)),
        Key("enter", "entry", _ENTRY),
        Key("goal", "goals", ListOf(Variants(_PERSON))),
        Key("leave", "leaves", ListOf(Variants(_PERSON))),
        Key("caps", "caps", ListOf(CAP)),
        Key("steps", "steps", STEPS),
        Key("on_goal", "on_goal", STEPS),
        Key(
            "regret", "regret", Record(model.RegretPolicy, [Key("unwanted", "unwanted", _Regret())])
        ),
        Key("people_inside", "people_inside", word(model.PeopleInside)),
        Key("moved_to", "moved_to", MapOf(NAME)),
        Key("retired", "retired", FLAG),
    ],
)
