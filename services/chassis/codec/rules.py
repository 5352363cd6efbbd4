"""Translates rules between the kernel's types and onefold.rule.v1 messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from onefold.rule.v1 import rule_pb2 as pb

from services.kernel.errors import RuleError
from services.kernel.rules import model
from services.kernel.rules.limits import MAX_TEXT, RuleSize
from services.kernel.rules.values import Operator

#: Bytes of one encoded value; more than a valid one has.
MAX_VALUE_BYTES = 8 * MAX_TEXT

_TO_PROTO: dict[Operator, Any] = {o: pb.Operator.Value(f"OPERATOR_{o.name}") for o in Operator}
_FROM_PROTO = {number: operator for operator, number in _TO_PROTO.items()}


def rule_to_proto(rule: model.Rule) -> pb.Rule:
    """Return the message of a rule."""
    match rule:
        case model.All():
            return pb.Rule(all=pb.RuleList(rules=map(rule_to_proto, rule.rules)))
        case model.Any_():
            return pb.Rule(any=pb.RuleList(rules=map(rule_to_proto, rule.rules)))
        case model.Not():
            inner: Any = {"not": rule_to_proto(rule.rule)}  # `not` is a keyword of Python
            return pb.Rule(**inner)
        case model.TraitPredicate():
            return pb.Rule(
                trait=pb.TraitPredicate(
                    trait=rule.trait, operator=_TO_PROTO[rule.operator], value=_json(rule.value)
                )
            )
    events, operator = _events_to_proto(rule.events), _TO_PROTO[rule.operator]
    if isinstance(rule, model.LastSeenPredicate):
        age = pb.LastSeenPredicate(events=events, operator=operator, age_us=rule.age_us)
        return pb.Rule(last_seen=age)
    window_us, value = rule.window_us, rule.value
    if isinstance(rule, model.CountPredicate):
        count = pb.CountPredicate(
            events=events, window_us=window_us, operator=operator, value=value
        )
        return pb.Rule(count=count)
    distinct = pb.DistinctPredicate(
        events=events, property=rule.property, window_us=window_us, operator=operator, value=value
    )
    return pb.Rule(distinct=distinct)


def rule_from_proto(message: pb.Rule, field: str = "rule") -> model.Rule:
    """Return the rule of a message.

    Raises InvalidField with the path below `field` if the message is no valid rule.
    """
    with _below(field):
        return _rule(message, 1, RuleSize())


def _rule(message: pb.Rule, depth: int, size: RuleSize) -> model.Rule:
    size.enter(depth)
    kind = message.WhichOneof("kind")
    if kind is None:
        raise RuleError("there is no rule", "set exactly one of its kinds")
    part = getattr(message, kind)
    if kind == "all":
        return model.All(_rules(part, kind, depth, size))
    if kind == "any":
        return model.Any_(_rules(part, kind, depth, size))
    with _below(kind):
        if kind == "not":
            return model.Not(_rule(part, depth + 1, size))
        predicate = _predicate(kind, part)
        size.add(predicate)
        return predicate


def _rules(message: pb.RuleList, kind: str, depth: int, size: RuleSize) -> tuple[model.Rule, ...]:
    rules = []
    for index, part in enumerate(message.rules):
        with _below(f"{kind}[{index}]"):
            rules.append(_rule(part, depth + 1, size))
    return tuple(rules)


def _predicate(kind: str, message: Any) -> model.Predicate:
    if kind == "trait":
        operator = _operator(message.operator)
        return model.TraitPredicate(message.trait, operator, _value(operator, message.value))
    events, operator = _events(message.events), _operator(message.operator)
    if kind == "last_seen":
        return model.LastSeenPredicate(events, operator, message.age_us)
    window_us, value = message.window_us, message.value
    if kind == "count":
        return model.CountPredicate(events, window_us, operator, value)
    return model.DistinctPredicate(events, message.property, window_us, operator, value)


def _events(message: pb.EventFilter) -> model.EventFilter:
    if len(message.where) > model.MAX_FILTERS:
        raise RuleError(
            "there are too many filters", f"write at most {model.MAX_FILTERS}", field="events.where"
        )
    filters = []
    for part in message.where:
        operator = _operator(part.operator)
        filters.append(model.PropertyFilter(part.property, operator, _value(operator, part.value)))
    return model.EventFilter(message.event, tuple(filters))


def _events_to_proto(events: model.EventFilter) -> pb.EventFilter:
    where = [
        pb.PropertyFilter(property=f.property, operator=_TO_PROTO[f.operator], value=_json(f.value))
        for f in events.where
    ]
    return pb.EventFilter(event=events.event, where=where)


def _operator(number: Any) -> Operator:
    operator = _FROM_PROTO.get(number)
    if operator is None:
        raise RuleError("there is no operator", "set one of the operators")
    return operator


def _value(operator: Operator, raw: bytes) -> Any:
    if operator is Operator.EXISTS:
        return None
    if len(raw) > MAX_VALUE_BYTES:
        raise RuleError("the value is too long", f"write at most {MAX_TEXT} characters")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RuleError("the value is no JSON", "write a JSON value", field="value") from None


def _json(value: Any) -> bytes:
    return b"" if value is None else msgspec.json.encode(value)


@contextmanager
def _below(path: str) -> Iterator[None]:
    """Prefix the fields of the errors that the body raises with `path`."""
    try:
        yield
    except RuleError as error:
        raise error.under(path) from None
