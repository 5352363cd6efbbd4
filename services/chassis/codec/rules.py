"""Translates rules between the kernel's types and onefold.rule.v1 messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from onefold.rule.v1 import rule_pb2 as pb

from services.kernel.errors import RuleError
from services.kernel.rules.model import (
    All,
    Any_,
    CountPredicate,
    DistinctPredicate,
    EventFilter,
    LastSeenPredicate,
    Not,
    PropertyFilter,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Operator

MAX_DEPTH = 32

_TO_PROTO: dict[Operator, pb.Operator] = {
    Operator.EQ: pb.OPERATOR_EQ,
    Operator.NE: pb.OPERATOR_NE,
    Operator.LT: pb.OPERATOR_LT,
    Operator.LE: pb.OPERATOR_LE,
    Operator.GT: pb.OPERATOR_GT,
    Operator.GE: pb.OPERATOR_GE,
    Operator.IN: pb.OPERATOR_IN,
    Operator.EXISTS: pb.OPERATOR_EXISTS,
    Operator.CONTAINS: pb.OPERATOR_CONTAINS,
}
_FROM_PROTO = {number: operator for operator, number in _TO_PROTO.items()}


def rule_to_proto(rule: Rule) -> pb.Rule:
    """Return the message of a rule."""
    match rule:
        case All():
            return pb.Rule(all=pb.RuleList(rules=map(rule_to_proto, rule.rules)))
        case Any_():
            return pb.Rule(any=pb.RuleList(rules=map(rule_to_proto, rule.rules)))
        case Not():
            message = pb.Rule()
            getattr(message, "not").CopyFrom(
                rule_to_proto(rule.rule)
            )  # `not` is a keyword of Python
            return message
        case TraitPredicate():
            return pb.Rule(
                trait=pb.TraitPredicate(
                    trait=rule.trait, operator=_TO_PROTO[rule.operator], value=_json(rule.value)
                )
            )
        case CountPredicate():
            return pb.Rule(
                count=pb.CountPredicate(
                    events=_events_to_proto(rule.events),
                    window_us=rule.window_us,
                    operator=_TO_PROTO[rule.operator],
                    value=rule.value,
                )
            )
        case DistinctPredicate():
            return pb.Rule(
                distinct=pb.DistinctPredicate(
                    events=_events_to_proto(rule.events),
                    property=rule.property,
                    window_us=rule.window_us,
                    operator=_TO_PROTO[rule.operator],
                    value=rule.value,
                )
            )
        case LastSeenPredicate():
            return pb.Rule(
                last_seen=pb.LastSeenPredicate(
                    events=_events_to_proto(rule.events),
                    operator=_TO_PROTO[rule.operator],
                    age_us=rule.age_us,
                )
            )


def rule_from_proto(message: pb.Rule, field: str = "rule") -> Rule:
    """Return the rule of a message.

    Raises InvalidField with the path below `field` if the message is no valid rule.
    """
    try:
        return _rule(message, MAX_DEPTH)
    except RuleError as error:
        raise error.under(field) from None


def _rule(message: pb.Rule, depth: int) -> Rule:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise RuleError("there is no rule", "set exactly one of its kinds")
    if depth == 0:
        raise RuleError("the rule is too deep", f"nest at most {MAX_DEPTH} rules")
    if kind in ("all", "any"):
        parts = _rules(getattr(message, kind).rules, kind, depth)
        return All(parts) if kind == "all" else Any_(parts)
    if kind == "not":
        return Not(_under("not", lambda: _rule(getattr(message, "not"), depth - 1)))
    part = getattr(message, kind)
    return _under(kind, lambda: _PREDICATES[kind](part))


def _rules(messages: Any, kind: str, depth: int) -> tuple[Rule, ...]:
    return tuple(
        _under(f"{kind}[{index}]", partial(_rule, part, depth - 1))
        for index, part in enumerate(messages)
    )


def _trait(message: pb.TraitPredicate) -> Rule:
    operator = _operator(message.operator)
    return TraitPredicate(message.trait, operator, _value(operator, message.value))


def _count(message: pb.CountPredicate) -> Rule:
    return CountPredicate(
        _events(message.events), message.window_us, _operator(message.operator), message.value
    )


def _distinct(message: pb.DistinctPredicate) -> Rule:
    return DistinctPredicate(
        _events(message.events),
        message.property,
        message.window_us,
        _operator(message.operator),
        message.value,
    )


def _last_seen(message: pb.LastSeenPredicate) -> Rule:
    return LastSeenPredicate(_events(message.events), _operator(message.operator), message.age_us)


_PREDICATES: dict[str, Callable[[Any], Rule]] = {
    "trait": _trait,
    "count": _count,
    "distinct": _distinct,
    "last_seen": _last_seen,
}


def _events(message: pb.EventFilter) -> EventFilter:
    filters = []
    for part in message.where:
        operator = _operator(part.operator)
        filters.append(PropertyFilter(part.property, operator, _value(operator, part.value)))
    return EventFilter(message.event, tuple(filters))


def _events_to_proto(events: EventFilter) -> pb.EventFilter:
    return pb.EventFilter(
        event=events.event,
        where=[
            pb.PropertyFilter(
                property=f.property, operator=_TO_PROTO[f.operator], value=_json(f.value)
            )
            for f in events.where
        ],
    )


def _operator(number: Any) -> Operator:
    operator = _FROM_PROTO.get(number)
    if operator is None:
        raise RuleError("there is no operator", "set one of the operators")
    return operator


def _value(operator: Operator, raw: bytes) -> Any:
    if operator is Operator.EXISTS:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise RuleError("the value is no JSON", "write a JSON value", field="value") from None


def _json(value: Any) -> bytes:
    return b"" if value is None else msgspec.json.encode(value)


def _under(path: str, make: Callable[[], Rule]) -> Rule:
    try:
        return make()
    except RuleError as error:
        raise error.under(path) from None
