"""Parses rules from their JSON form, as users write it in YAML, and dumps them.

::

    all: [RULE, ...]    any: [RULE, ...]    not: RULE
    trait:     {name: city, eq: 北京市}
    count:     {event: attended_trial, where: WHERE, within: 7d, at_least: 1}
    distinct:  {event: viewed_course, property: course_id, where: WHERE, within: 7d, at_least: 3}
    last_seen: {event: purchased_course, where: WHERE, within: 30d}

`where` and `within` may be omitted (no filter; the whole past). WHERE is `{PROPERTY: VALUE}`: a
scalar means equality, a list means one of its elements, and `{at_least: 3, lt: 9}` means these
comparisons. Comparisons are eq, ne, lt, at_most, gt, at_least, in, exists (always `true`) and
contains. Two comparisons of one property with the same operator are written as a list of mappings.

`last_seen` compares an age: `within: W` is age < W, `at_most` <=, `longer_than` >, `at_least` >=.
So an event is in the window of `count: {within: W}` exactly while its age is `within: W`.

Spans are whole numbers of s, m, h, d, w (and us, if nothing else is exact).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from services.kernel.errors import RuleError, join_path
from services.kernel.rules import model
from services.kernel.rules.limits import MAX_DEPTH, RuleSize
from services.kernel.rules.values import Json, Operator
from services.kernel.time import format_span, parse_span

Form = dict[str, Any]
_Part = TypeVar("_Part")

_OPERATORS = {operator.value: operator for operator in Operator}
_AGES = dict(
    zip(("within", "at_most", "longer_than", "at_least"), model.AGE_OPERATORS, strict=True)
)
_AGE_WORDS = {operator: word for word, operator in _AGES.items()}
#: Operator names of other languages that users are likely to try.
_SYNONYMS = {
    **dict.fromkeys(("le", "lte", "<="), "at_most"),
    **dict.fromkeys(("ge", "gte", ">="), "at_least"),
    "=": "eq",
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    ">": "gt",
    "and": "all",
    "or": "any",
    "in_last": "within",
    "window": "within",
}


def parse_rule(form: Json) -> model.Rule:
    """Return the rule of a decoded JSON or YAML form.

    Raises RuleError; its `field` is the path of the wrong part.
    """
    return _Parser().rule(form, "", 1)


def dump_rule(rule: model.Rule) -> Form:
    """Return the canonical form: equal rules have equal forms, and `parse_rule` reads it back."""
    match rule:
        case model.All():
            return {"all": [dump_rule(part) for part in rule.rules]}
        case model.Any_():
            return {"any": [dump_rule(part) for part in rule.rules]}
        case model.Not():
            return {"not": dump_rule(rule.rule)}
        case model.TraitPredicate():
            return {"trait": {"name": rule.trait, rule.operator.value: _value_form(rule)}}
        case model.CountPredicate():
            return {"count": events_form(rule.events) | _number_form(rule)}
        case model.DistinctPredicate():
            of = {"property": rule.property}
            return {"distinct": events_form(rule.events) | of | _number_form(rule)}
        case model.LastSeenPredicate():
            age = {_AGE_WORDS[rule.operator]: format_span(rule.age_us)}
            return {"last_seen": events_form(rule.events) | age}


def events_form(events: model.EventFilter) -> Form:
    """Return the part of a form that selects events."""
    form: Form = {"event": events.event}
    if events.where:
        form["where"] = _where_form(events.where)
    return form


def _where_form(filters: tuple[model.PropertyFilter, ...]) -> Form | list[Form]:
    compared = [(f.property, f.operator) for f in filters]
    if len(set(compared)) < len(compared):
        return [{f.property: {f.operator.value: _value_form(f)}} for f in filters]
    grouped: dict[str, Form] = {}
    for f in filters:
        grouped.setdefault(f.property, {})[f.operator.value] = _value_form(f)
    return {name: _shortest(tests) for name, tests in grouped.items()}


def _shortest(tests: Form) -> Json:
    if tests.keys() == {"eq"}:
        return tests["eq"]
    return tests["in"] if tests.keys() == {"in"} else tests


def _value_form(owner: model.PropertyFilter | model.TraitPredicate) -> Json:
    if owner.operator is Operator.EXISTS:
        return True
    return list(owner.value) if owner.operator is Operator.IN else owner.value


def _number_form(rule: model.CountingPredicate) -> Form:
    form: Form = {"within": format_span(rule.window_us)} if rule.window_us else {}
    return form | {rule.operator.value: rule.value}


class _Parser:
    """Parses one form, and counts its rules to limit its size."""

    def __init__(self) -> None:
        self._size = RuleSize()

    def rule(self, form: Json, path: str, depth: int) -> model.Rule:
        _make(path, "", lambda: self._size.enter(depth))
        kind, body = _only_entry(form, path)
        here = join_path(path, kind)
        if kind == "not":
            return model.Not(self.rule(body, here, depth + 1))
        if kind in _JOINED:
            return _JOINED[kind](self._rules_of(body, here, depth + 1))
        predicate = _PREDICATES[kind](_mapping(body, here), here)
        _make(path, "", lambda: self._size.add(predicate))
        return predicate

    def _rules_of(self, body: Json, path: str, depth: int) -> tuple[model.Rule, ...]:
        if not isinstance(body, list | tuple):
            raise RuleError("this is no list", "write the rules in brackets", field=path)
        return tuple(self.rule(part, f"{path}[{i}]", depth) for i, part in enumerate(body))


def _only_entry(form: Json, path: str) -> tuple[str, Json]:
    mapping = _mapping(form, path)
    if len(mapping) != 1:
        remedy = f"write exactly one of {_list(_KINDS)}; join several with `all`"
        raise RuleError(f"there are {len(mapping)} rules in one place", remedy, field=path)
    ((kind, body),) = mapping.items()
    if kind not in _KINDS:
        raise _unknown(kind, _KINDS, path)
    return kind, body


def _trait(body: Form, path: str) -> model.Predicate:
    operator = _only_operator(body, ("name",), _OPERATORS, path)
    word = operator.value
    _check_exists(operator, body[word], join_path(path, word))
    name = _required_text(body, "name", path)
    return _make(path, word, lambda: model.TraitPredicate(name, operator, body[word]))


def _count(body: Form, path: str) -> model.Predicate:
    operator = _only_operator(body, ("event", "where", "within"), _OPERATORS, path)
    events, window_us = _events(body, path), _span(body, "within", path)
    value = body[operator.value]
    return _make(path, "", lambda: model.CountPredicate(events, window_us, operator, value))


def _distinct(body: Form, path: str) -> model.Predicate:
    operator = _only_operator(body, ("event", "property", "where", "within"), _OPERATORS, path)
    events, window_us = _events(body, path), _span(body, "within", path)
    of, value = _required_text(body, "property", path), body[operator.value]
    return _make(path, "", lambda: model.DistinctPredicate(events, of, window_us, operator, value))


def _last_seen(body: Form, path: str) -> model.Predicate:
    operator = _only_operator(body, ("event", "where"), _AGES, path)
    word = _AGE_WORDS[operator]
    events, age_us = _events(body, path), _span(body, word, path)
    return _make(path, word, lambda: model.LastSeenPredicate(events, operator, age_us))


_KINDS = ("all", "any", "not", "trait", "count", "distinct", "last_seen")
_JOINED: dict[str, type[model.All | model.Any_]] = {"all": model.All, "any": model.Any_}
_PREDICATES: dict[str, Callable[[Form, str], model.Predicate]] = {
    "trait": _trait,
    "count": _count,
    "distinct": _distinct,
    "last_seen": _last_seen,
}


def _events(body: Form, path: str) -> model.EventFilter:
    event = _required_text(body, "event", path)
    where = _where(body.get("where", {}), join_path(path, "where"), 1)
    return _make(path, "", lambda: model.EventFilter(event, where))


def _where(body: Json, path: str, depth: int) -> tuple[model.PropertyFilter, ...]:
    if isinstance(body, list | tuple):
        if depth > MAX_DEPTH:
            raise RuleError("the filters are nested too deep", "write one list", field=path)
        parts = (_where(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(body))
        return tuple(f for part in parts for f in part)
    filters: list[model.PropertyFilter] = []
    for name, tests in _mapping(body, path).items():
        filters.extend(_filters(name, tests, join_path(path, name)))
    return tuple(filters)


def _filters(name: str, tests: Json, path: str) -> list[model.PropertyFilter]:
    if not isinstance(tests, Mapping):
        operator = Operator.IN if isinstance(tests, list | tuple) else Operator.EQ
        return [_make(path, "", lambda: model.PropertyFilter(name, operator, tests))]
    if not tests:
        raise RuleError("nothing is compared", f"write one of {_list(_OPERATORS)}", field=path)
    return [_filter(name, word, value, path) for word, value in _mapping(tests, path).items()]


def _filter(name: str, word: str, value: Json, path: str) -> model.PropertyFilter:
    if word not in _OPERATORS:
        raise _unknown(word, tuple(_OPERATORS), path)
    operator = _OPERATORS[word]
    _check_exists(operator, value, join_path(path, word))
    return _make(path, word, lambda: model.PropertyFilter(name, operator, value))


def _only_operator(
    body: Form, others: tuple[str, ...], words: Mapping[str, Operator], path: str
) -> Operator:
    """Return the one comparison of a predicate; all other keys must be in `others`."""
    for key in body:
        if key not in others and key not in words:
            raise _unknown(key, (*others, *words), path)
    operators = [words[key] for key in body if key in words]
    if len(operators) != 1:
        problem = "several comparisons in one place" if operators else "nothing is compared"
        raise RuleError(problem, f"write exactly one of {_list(words)}", field=path)
    return operators[0]


def _check_exists(operator: Operator, value: Json, path: str) -> None:
    if operator is Operator.EXISTS and value is not True:
        raise RuleError(
            "only `true` is allowed",
            "write `exists: true`, with `not` around it for absence",
            field=path,
        )


def _required_text(body: Form, key: str, path: str) -> str:
    if key not in body:
        raise RuleError(f"`{key}` is missing", f"write `{key}: ...`", field=path)
    value = body[key]
    if not isinstance(value, str):
        raise RuleError("this is no text", "put it into quotes", field=join_path(path, key))
    return value


def _span(body: Form, key: str, path: str) -> int:
    """Return microseconds; 0 if the key is absent."""
    if key not in body:
        return 0
    value = body[key]
    try:
        span_us = parse_span(value) if isinstance(value, str) else 0
    except ValueError:
        span_us = 0
    if span_us <= 0:
        remedy = "write one such as 30s, 15m, 2h, 7d or 4w"
        raise RuleError("this is no span of time", remedy, field=join_path(path, key))
    return span_us


def _mapping(form: Json, path: str) -> Form:
    if not isinstance(form, Mapping):
        raise RuleError("this is no mapping", "write `key: value`", field=path)
    for key in form:
        if not isinstance(key, str):
            raise RuleError("a key is no text", "put it into quotes", field=path)
    return dict(form)


def _unknown(key: str, valid: tuple[str, ...], path: str) -> RuleError:
    likely = [_SYNONYMS[key]] if _SYNONYMS.get(key) in valid else get_close_matches(key, valid, 1)
    remedy = f"write `{likely[0]}`" if likely else f"write one of {_list(valid)}"
    return RuleError("this key is not known", remedy, field=join_path(path, key))


def _make(path: str, word: str, make: Callable[[], _Part]) -> _Part:
    """Call `make`; its errors get the path `path`, and `word` below it if they have none."""
    try:
        return make()
    except RuleError as error:
        raise (error if error.field else error.under(word)).under(path) from None


def _list(words: Mapping[str, Operator] | tuple[str, ...]) -> str:
    return ", ".join(words)


assert _AGE_WORDS.keys() == set(model.AGE_OPERATORS)  # noqa: S101 - each has one word
