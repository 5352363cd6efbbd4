from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATOR_UNSPECIFIED: _ClassVar[Operator]
    OPERATOR_EQ: _ClassVar[Operator]
    OPERATOR_NE: _ClassVar[Operator]
    OPERATOR_LT: _ClassVar[Operator]
    OPERATOR_LE: _ClassVar[Operator]
    OPERATOR_GT: _ClassVar[Operator]
    OPERATOR_GE: _ClassVar[Operator]
    OPERATOR_IN: _ClassVar[Operator]
    OPERATOR_EXISTS: _ClassVar[Operator]
    OPERATOR_CONTAINS: _ClassVar[Operator]
OPERATOR_UNSPECIFIED: Operator
OPERATOR_EQ: Operator
OPERATOR_NE: Operator
OPERATOR_LT: Operator
OPERATOR_LE: Operator
OPERATOR_GT: Operator
OPERATOR_GE: Operator
OPERATOR_IN: Operator
OPERATOR_EXISTS: Operator
OPERATOR_CONTAINS: Operator

class Rule(_message.Message):
    __slots__ = ("all", "any", "trait", "count", "distinct", "last_seen")
    ALL_FIELD_NUMBER: _ClassVar[int]
    ANY_FIELD_NUMBER: _ClassVar[int]
    NOT_FIELD_NUMBER: _ClassVar[int]
    TRAIT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    all: RuleList
    any: RuleList
    trait: TraitPredicate
    count: CountPredicate
    distinct: DistinctPredicate
    last_seen: LastSeenPredicate
    def __init__(self, all: _Optional[_Union[RuleList, _Mapping]] = ..., any: _Optional[_Union[RuleList, _Mapping]] = ..., trait: _Optional[_Union[TraitPredicate, _Mapping]] = ..., count: _Optional[_Union[CountPredicate, _Mapping]] = ..., distinct: _Optional[_Union[DistinctPredicate, _Mapping]] = ..., last_seen: _Optional[_Union[LastSeenPredicate, _Mapping]] = ..., **kwargs) -> None: ...

class RuleList(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    def __init__(self, rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ...) -> None: ...

class PropertyFilter(_message.Message):
    __slots__ = ("property", "operator", "value")
    PROPERTY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    property: str
    operator: Operator
    value: bytes
    def __init__(self, property: _Optional[str] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[bytes] = ...) -> None: ...

class EventFilter(_message.Message):
    __slots__ = ("event", "where")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    event: str
    where: _containers.RepeatedCompositeFieldContainer[PropertyFilter]
    def __init__(self, event: _Optional[str] = ..., where: _Optional[_Iterable[_Union[PropertyFilter, _Mapping]]] = ...) -> None: ...

class TraitPredicate(_message.Message):
    __slots__ = ("trait", "operator", "value")
    TRAIT_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    trait: str
    operator: Operator
    value: bytes
    def __init__(self, trait: _Optional[str] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[bytes] = ...) -> None: ...

class CountPredicate(_message.Message):
    __slots__ = ("events", "window_us", "operator", "value")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_US_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    events: EventFilter
    window_us: int
    operator: Operator
    value: int
    def __init__(self, events: _Optional[_Union[EventFilter, _Mapping]] = ..., window_us: _Optional[int] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[int] = ...) -> None: ...

class DistinctPredicate(_message.Message):
    __slots__ = ("events", "property", "window_us", "operator", "value")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROPERTY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_US_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    events: EventFilter
    property: str
    window_us: int
    operator: Operator
    value: int
    def __init__(self, events: _Optional[_Union[EventFilter, _Mapping]] = ..., property: _Optional[str] = ..., window_us: _Optional[int] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[int] = ...) -> None: ...

class LastSeenPredicate(_message.Message):
    __slots__ = ("events", "operator", "age_us")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    AGE_US_FIELD_NUMBER: _ClassVar[int]
    events: EventFilter
    operator: Operator
    age_us: int
    def __init__(self, events: _Optional[_Union[EventFilter, _Mapping]] = ..., operator: _Optional[_Union[Operator, str]] = ..., age_us: _Optional[int] = ...) -> None: ...
