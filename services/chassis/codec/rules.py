"""Translates rules between the kernel's types and onefold.rule.v1 messages."""

from __future__ import annotations

from collections.abc import Iterable

from onefold.rule.v1 import rule_pb2 as pb

from services.chassis.codec.comparisons import (
    OPERATORS,
    EnumNumbers,
    below,
    value_from_proto,
    value_to_proto,
)
from services.chassis.codec.features import feature_from_proto, feature_to_proto
from services.kernel.errors import RuleError
from services.kernel.rules import model
from services.kernel.rules.limits import RuleSize, check_sent
from services.kernel.rules.references import Name

_KINDS = EnumNumbers(model.ReferenceKind, pb.ReferenceKind, "kind of reference")


def rule_to_proto(rule: model.Rule) -> pb.Rule:
    """Return the message of a rule."""
    match rule:
        case model.All():
            return pb.Rule(all=pb.RuleList(rules=map(rule_to_proto, rule.rules)))
        case model.Any_():
            return pb.Rule(any=pb.RuleList(rules=map(rule_to_proto, rule.rules)))
        case model.Not():
            message = pb.Rule()
            getattr(message, "not").CopyFrom(rule_to_proto(rule.rule))  # a keyword of Python
            return message
        case model.Reference():
            kind = _KINDS.to_proto(rule.kind)
            return pb.Rule(reference=pb.Reference(kind=kind, id=rule.id, value=rule.value))
        case model.Predicate():
            return pb.Rule(predicate=predicate_to_proto(rule))


def rule_from_proto(message: pb.Rule, field: str = "rule") -> model.Rule:
    """Return the rule of a message.

    Raises InvalidField with the path below `field` if the message is no valid rule.
    """
    with below(field):
        check_sent(message.ByteSize())
        return _rule(message, 1, RuleSize())


def names_to_proto(names: Iterable[Name]) -> list[pb.Reference]:
    """Return references to some names, ascending."""
    ordered = sorted(names, key=lambda name: (name.kind.value, name.id))
    return [pb.Reference(kind=_KINDS.to_proto(kind), id=id_) for kind, id_ in ordered]


def names_from_proto(messages: Iterable[pb.Reference], field: str) -> frozenset[Name]:
    """Return what references name, whatever their values. Raises InvalidField below `field`."""
    with below(field):
        return frozenset(Name(_KINDS.from_proto(m.kind, "kind"), m.id) for m in messages)


def predicate_from_proto(message: pb.Predicate, field: str) -> model.Predicate:
    """Return the predicate of a message.

    Raises InvalidField with the path below `field` if the message is no valid predicate.
    """
    with below(field):
        return _predicate(message)


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
    with below(kind):
        if kind == "not":
            return model.Not(_rule(part, depth + 1, size))
        if kind == "reference":
            return model.Reference(_KINDS.from_proto(part.kind, "kind"), part.id, part.value)
        predicate = _predicate(part)
        size.add(predicate)
        return predicate


def _rules(message: pb.RuleList, kind: str, depth: int, size: RuleSize) -> tuple[model.Rule, ...]:
    rules = []
    for index, part in enumerate(message.rules):
        with below(f"{kind}[{index}]"):
            rules.append(_rule(part, depth + 1, size))
    return tuple(rules)


def _predicate(message: pb.Predicate) -> model.Predicate:
    feature = feature_from_proto(message)
    operator = OPERATORS.from_proto(message.operator, "operator")
    value = value_from_proto(operator, message.value)
    return model.Predicate(feature, operator, value, message.ignore_case)


def predicate_to_proto(predicate: model.Predicate) -> pb.Predicate:
    """Return the message of a predicate."""
    message = feature_to_proto(predicate.feature)
    message.operator = OPERATORS.to_proto(predicate.operator)
    message.value = value_to_proto(predicate.value)
    message.ignore_case = predicate.ignore_case
    return message
