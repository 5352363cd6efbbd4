"""Translates journeys, policies, slots, queues and dashboards to their messages, and back.

A message has the name of its class and the names of its fields; a message with a `oneof kind` is a
union of classes. So one translation serves all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, get_args, get_type_hints

from google.protobuf.descriptor import FieldDescriptor
from onefold.activation.v1 import contact_policy_pb2 as policy_pb
from onefold.activation.v1 import dashboards_pb2, desk_pb2, slots_pb2
from onefold.activation.v1 import journeys_pb2 as pb

from services.chassis.codec.comparisons import (
    EnumNumbers,
    below,
    events_from_proto,
    events_to_proto,
)
from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel import dashboards
from services.kernel.dashboards import Dashboard, Tile
from services.kernel.desk import model as desk
from services.kernel.desk.model import DeskQueue
from services.kernel.errors import RuleError
from services.kernel.journeys import contact_policy, coupons, decisions, model, puts, ranking
from services.kernel.journeys.checks import MAX_STEP_DEPTH
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.coupons import CouponPool
from services.kernel.journeys.decisions import Slot
from services.kernel.local_time import DailyWindow, LeapDay
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.names import MAX_NAME

#: Messages within each other: a step and its union, an arm, and their conditions.
_MAX_DEPTH: Final = 5 * MAX_STEP_DEPTH
_KIND: Final = "kind"
_MODULES: Final = (model, puts, coupons, contact_policy, decisions, ranking, desk, dashboards)
_EVENTS, _RULE = "onefold.rule.v1.EventFilter", "onefold.rule.v1.Rule"
_ENUMS: Final[dict[str, EnumNumbers[Any]]] = {
    own.__name__: EnumNumbers(own, getattr(pb, own.__name__), own.__name__)
    for own in (
        *(model.Movement, model.ReportKind, LeapDay, model.WhileInside, model.CouponState),
        model.PeopleInside,
    )
}
_ENUMS["ConsentNeed"] = EnumNumbers(
    contact_policy.ConsentNeed, policy_pb.ConsentNeed, "need of consent"
)
_ENUMS.update(
    (own.__name__, EnumNumbers(own, getattr(dashboards_pb2, own.__name__), own.__name__))
    for own in (dashboards.TileData, dashboards.TileChart)
)
#: A message that stands for a mapping, as a map has no maps.
_MAPPING: Final = policy_pb.ChannelPolicies.DESCRIPTOR.name


def journey_to_proto(journey: model.Journey) -> pb.Journey:
    """Return the message of a journey."""
    message = pb.Journey()
    _fill(message, journey)
    return message


def journey_from_proto(message: pb.Journey, field: str = "journey") -> model.Journey:
    """Return the journey of a message.

    Raises InvalidField with the path below `field` if the message is no journey. What the journey
    says is checked by `services.kernel.journeys.checks`.
    """
    with below(field):
        journey: model.Journey = _value(message, 0)
        return journey


def contact_policy_to_proto(policy: ContactPolicy) -> policy_pb.ContactPolicy:
    """Return the message of a contact policy."""
    message = policy_pb.ContactPolicy()
    _fill(message, policy)
    return message


def contact_policy_from_proto(
    message: policy_pb.ContactPolicy, field: str = "contact_policy"
) -> ContactPolicy:
    """Return the contact policy of a message. Raises InvalidField with the path below `field`."""
    with below(field):
        policy: ContactPolicy = _value(message, 0)
        return policy


def coupon_pool_to_proto(pool: CouponPool) -> pb.CouponPool:
    """Return the message of a pool of coupons."""
    message = pb.CouponPool()
    _fill(message, pool)
    return message


def coupon_pool_from_proto(message: pb.CouponPool, field: str = "pool") -> CouponPool:
    """Return the pool of a message. Raises InvalidField with the path below `field`."""
    with below(field):
        pool: CouponPool = _value(message, 0)
        return pool


def slot_to_proto(slot: Slot) -> slots_pb2.Slot:
    """Return the message of a slot."""
    message = slots_pb2.Slot()
    _fill(message, slot)
    return message


def slot_from_proto(message: slots_pb2.Slot, field: str = "slot") -> Slot:
    """Return the slot of a message. Raises InvalidField with the path below `field`.

    What the slot says is checked by `services.kernel.journeys.decisions`.
    """
    with below(field):
        slot: Slot = _value(message, 0)
        return slot


def queue_to_proto(queue: DeskQueue) -> desk_pb2.DeskQueue:
    """Return the message of a queue."""
    message = desk_pb2.DeskQueue()
    _fill(message, queue)
    return message


def queue_from_proto(message: desk_pb2.DeskQueue, field: str = "queue") -> DeskQueue:
    """Return the queue of a message. Raises InvalidField with the path below `field`."""
    with below(field):
        queue: DeskQueue = _value(message, 0)
        return queue


def dashboard_to_proto(dashboard: Dashboard) -> dashboards_pb2.Dashboard:
    """Return the message of a dashboard."""
    message = dashboards_pb2.Dashboard()
    _fill(message, dashboard)
    return message


def dashboard_from_proto(message: dashboards_pb2.Dashboard, field: str = "dashboard") -> Dashboard:
    """Return the dashboard of a message. Raises InvalidField with the path below `field`."""
    with below(field):
        dashboard: Dashboard = _value(message, 0)
        return dashboard


def tiles_from_proto(messages: Iterable[dashboards_pb2.Tile]) -> tuple[Tile, ...]:
    """Return the tiles of messages. Raises InvalidField with the path below `tiles`."""
    tiles: list[Tile] = []
    for index, message in enumerate(messages):
        with below(f"tiles[{index}]"):
            tiles.append(_value(message, 0))
    return tuple(tiles)


def _fill(message: Any, value: Any) -> None:
    """Set the fields of a message to the attributes of a value."""
    if message.DESCRIPTOR.oneofs_by_name.get(_KIND):
        name = type(value).__name__
        [field] = [f for f in message.DESCRIPTOR.fields if f.message_type.name == name]
        own = getattr(message, field.name)
        own.SetInParent()
        _fill(own, value)
        return
    for field in message.DESCRIPTOR.fields:
        part = getattr(value, field.name)
        if part is not None:
            _set(message, field, part)


def _set(message: Any, field: FieldDescriptor, part: Any) -> None:
    target = getattr(message, field.name)
    if isinstance(part, Mapping):
        for key, each in part.items():
            if isinstance(each, Mapping):
                own = target[key]  # it exists once it was read
                _set(own, own.DESCRIPTOR.fields[0], each)
            elif is_dataclass(each):
                _fill(target[key], each)
            else:
                target[key] = each
    elif isinstance(part, frozenset):
        target.extend(sorted(part))
    elif isinstance(part, tuple):
        for each in part:
            if field.message_type is None:
                target.append(each)
            else:
                _fill(target.add(), each)
    elif isinstance(part, EventFilter):
        target.CopyFrom(events_to_proto(part))
    elif field.message_type is not None and field.message_type.full_name == _RULE:
        target.CopyFrom(rule_to_proto(part))
    elif is_dataclass(part):
        target.SetInParent()
        _fill(target, part)
    else:
        number = _ENUMS[type(part).__name__].to_proto(part) if isinstance(part, Enum) else part
        setattr(message, field.name, number)


def _value(message: Any, depth: int) -> Any:
    """Return the value of a message. Raises RuleError with the path of a part."""
    if depth > _MAX_DEPTH:
        raise RuleError("steps or conditions are nested too deep", "send fewer levels")
    if message.DESCRIPTOR.oneofs_by_name.get(_KIND):
        kind = message.WhichOneof(_KIND)
        if kind is None:
            raise RuleError("there is nothing", "set exactly one of its kinds")
        with below(kind):
            return _value(getattr(message, kind), depth + 1)
    if message.DESCRIPTOR.name == _MAPPING:
        [only] = message.DESCRIPTOR.fields
        with below(only.name):
            return _part(message, only, depth + 1)
    made = _class_of(message.DESCRIPTOR.name)
    defaults, optional = _attributes(made)
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        with below(field.name):
            if _is_set(message, field):
                values[field.name] = _part(message, field, depth + 1)
            elif field.name in optional:
                values[field.name] = None
            elif field.name not in defaults:
                values[field.name] = _required(message, field)
    return made(**values)


def _required(message: Any, field: FieldDescriptor) -> Any:
    """Return the value of a required field that has none in the message. Raises RuleError."""
    if field.is_repeated:
        return ()
    if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32):
        return 0
    raise RuleError("this is missing", "set it")


def _is_set(message: Any, field: FieldDescriptor) -> bool:
    if field.has_presence:
        return bool(message.HasField(field.name))
    return bool(getattr(message, field.name))


def _part(message: Any, field: FieldDescriptor, depth: int) -> Any:
    part = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        is_message = field.message_type.fields_by_name["value"].message_type is not None
        found_by: dict[str, Any] = {}
        for key in sorted(part):
            with below(_text(key)):
                found_by[key] = _value(part[key], depth) if is_message else _text(part[key])
        return found_by
    if field.is_repeated:
        if field.name == "days":
            return frozenset(part)
        if field.message_type is None:
            return tuple(map(_text, part))
        found = []
        for index, each in enumerate(part):
            with below(f"[{index}]"):
                found.append(_value(each, depth))
        return tuple(found)
    if field.message_type is not None:
        if field.message_type.full_name == _EVENTS:
            return events_from_proto(part, "")
        if field.message_type.full_name == _RULE:
            return rule_from_proto(part, "")
        return _value(part, depth)
    if field.enum_type is not None:
        return _ENUMS[field.enum_type.name].from_proto(part, "")
    return _text(part) if isinstance(part, str) else part


def _text(text: str) -> str:
    if len(text) > MAX_NAME:
        raise RuleError("the text is too long", f"send at most {MAX_NAME} characters")
    return text


@cache
def _class_of(name: str) -> Any:
    if name == DailyWindow.__name__:
        return DailyWindow
    own = (getattr(module, name, None) for module in _MODULES)
    return next(filter(None, own))


@cache
def _attributes(made: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return the attributes of a class that have a default, and those that may be None."""
    own = fields(made)
    defaults = (f.name for f in own if f.default is not MISSING or f.default_factory is not MISSING)
    hints = get_type_hints(made)
    optional = (f.name for f in own if type(None) in get_args(hints[f.name]))
    return frozenset(defaults), frozenset(optional)
