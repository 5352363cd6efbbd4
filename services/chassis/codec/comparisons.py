"""Translates the operators, values and event filters of rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec
from onefold.rule.v1 import rule_pb2 as pb

from services.kernel.errors import RuleError
from services.kernel.rules.filters import MAX_FILTERS, EventFilter, PropertyFilter
from services.kernel.rules.limits import MAX_TEXT
from services.kernel.rules.values import Json, Operator

_Member = TypeVar("_Member", bound=Enum)

#: Bytes of one encoded value; more than a valid one has.
MAX_VALUE_BYTES = 8 * MAX_TEXT
_WITHOUT_VALUE = (Operator.EXISTS, Operator.MISSING)


class EnumNumbers(Generic[_Member]):
    """Pairs the members of an enum with the numbers of the enum of messages, by their names."""

    def __init__(self, members: type[_Member], messages: Any, noun: str) -> None:
        prefix = messages.Name(0).removesuffix("UNSPECIFIED")
        self._numbers = {member: messages.Value(prefix + member.name) for member in members}
        self._members = {number: member for member, number in self._numbers.items()}
        self._noun = noun

    def to_proto(self, member: _Member) -> Any:
        """Return the number of a member."""
        return self._numbers[member]

    def from_proto(self, number: Any, field: str) -> _Member:
        """Return the member of a number. Raises RuleError at `field` if there is none."""
        member = self._members.get(number)
        if member is None:
            known = ", ".join(member.name for member in self._numbers)
            raise RuleError(f"there is no {self._noun}", f"set one of {known}", field=field)
        return member


OPERATORS = EnumNumbers(Operator, pb.Operator, "operator")


def events_to_proto(events: EventFilter) -> pb.EventFilter:
    """Return the message of a filter of events."""
    return pb.EventFilter(names=events.names, where=filters_to_proto(events.where))


def events_from_proto(message: pb.EventFilter, field: str) -> EventFilter:
    """Return the filter of events of a message. Raises RuleError below `field`."""
    with below(field):
        return EventFilter(tuple(message.names), filters_from_proto(message.where))


def filters_to_proto(where: Iterable[PropertyFilter]) -> list[pb.PropertyFilter]:
    """Return the messages of filters."""
    return [
        pb.PropertyFilter(
            property=part.property,
            operator=OPERATORS.to_proto(part.operator),
            value=value_to_proto(part.value),
            ignore_case=part.ignore_case,
        )
        for part in where
    ]


def filters_from_proto(messages: Any) -> tuple[PropertyFilter, ...]:
    """Return the filters of messages. Raises RuleError below `where`."""
    if len(messages) > MAX_FILTERS:
        raise RuleError("there are too many filters", f"write at most {MAX_FILTERS}", field="where")
    filters = []
    for index, part in enumerate(messages):
        with below(f"where[{index}]"):
            operator = OPERATORS.from_proto(part.operator, "operator")
            value = value_from_proto(operator, part.value)
            filters.append(PropertyFilter(part.property, operator, value, part.ignore_case))
    return tuple(filters)


def value_to_proto(value: Json) -> bytes:
    """Return the JSON of the right side of a comparison; empty if it has none."""
    return b"" if value is None else msgspec.json.encode(value)


def value_from_proto(operator: Operator, raw: bytes) -> Json:
    """Return the right side of a comparison. Raises RuleError if it is no JSON, or too long."""
    if operator in _WITHOUT_VALUE:
        return None
    if len(raw) > MAX_VALUE_BYTES:
        remedy = f"write at most {MAX_TEXT} characters"
        raise RuleError("the value is too long", remedy, field="value")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RuleError("the value is no JSON", "write a JSON value", field="value") from None


@contextmanager
def below(path: str) -> Iterator[None]:
    """Prefix the fields of the errors that the body raises with `path`."""
    try:
        yield
    except RuleError as error:
        raise error.under(path) from None
