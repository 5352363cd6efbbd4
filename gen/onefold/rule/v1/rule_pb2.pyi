from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import source_trust_pb2 as _source_trust_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReferenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFERENCE_KIND_UNSPECIFIED: _ClassVar[ReferenceKind]
    REFERENCE_KIND_SEGMENT: _ClassVar[ReferenceKind]
    REFERENCE_KIND_TAG: _ClassVar[ReferenceKind]
    REFERENCE_KIND_STAGE: _ClassVar[ReferenceKind]

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
    OPERATOR_NOT_IN: _ClassVar[Operator]
    OPERATOR_NOT_CONTAINS: _ClassVar[Operator]
    OPERATOR_STARTS_WITH: _ClassVar[Operator]
    OPERATOR_ENDS_WITH: _ClassVar[Operator]
    OPERATOR_MISSING: _ClassVar[Operator]

class PeriodUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PERIOD_UNIT_UNSPECIFIED: _ClassVar[PeriodUnit]
    PERIOD_UNIT_DAY: _ClassVar[PeriodUnit]
    PERIOD_UNIT_WEEK: _ClassVar[PeriodUnit]
    PERIOD_UNIT_MONTH: _ClassVar[PeriodUnit]
    PERIOD_UNIT_QUARTER: _ClassVar[PeriodUnit]
    PERIOD_UNIT_YEAR: _ClassVar[PeriodUnit]

class Anchor(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANCHOR_UNSPECIFIED: _ClassVar[Anchor]
    ANCHOR_FIRST: _ClassVar[Anchor]
    ANCHOR_LAST: _ClassVar[Anchor]

class Function(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FUNCTION_UNSPECIFIED: _ClassVar[Function]
    FUNCTION_COUNT: _ClassVar[Function]
    FUNCTION_SUM: _ClassVar[Function]
    FUNCTION_MEAN: _ClassVar[Function]
    FUNCTION_MIN: _ClassVar[Function]
    FUNCTION_MAX: _ClassVar[Function]
    FUNCTION_FIRST: _ClassVar[Function]
    FUNCTION_LAST: _ClassVar[Function]
    FUNCTION_DISTINCT: _ClassVar[Function]

class TrendMeasure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TREND_MEASURE_UNSPECIFIED: _ClassVar[TrendMeasure]
    TREND_MEASURE_RATIO: _ClassVar[TrendMeasure]
    TREND_MEASURE_DIFFERENCE: _ClassVar[TrendMeasure]

class DateMeasure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATE_MEASURE_UNSPECIFIED: _ClassVar[DateMeasure]
    DATE_MEASURE_DAYS_UNTIL: _ClassVar[DateMeasure]
    DATE_MEASURE_DAYS_UNTIL_ANNIVERSARY: _ClassVar[DateMeasure]
    DATE_MEASURE_YEARS_SINCE: _ClassVar[DateMeasure]

class OrderMeasure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_MEASURE_UNSPECIFIED: _ClassVar[OrderMeasure]
    ORDER_MEASURE_COUNT: _ClassVar[OrderMeasure]
    ORDER_MEASURE_NET_SPEND: _ClassVar[OrderMeasure]
    ORDER_MEASURE_MEAN_VALUE: _ClassVar[OrderMeasure]
    ORDER_MEASURE_MAX_VALUE: _ClassVar[OrderMeasure]
    ORDER_MEASURE_REFUNDED: _ClassVar[OrderMeasure]
    ORDER_MEASURE_DAYS_SINCE_LAST: _ClassVar[OrderMeasure]
    ORDER_MEASURE_MEAN_INTERVAL: _ClassVar[OrderMeasure]
    ORDER_MEASURE_DAYS_UNTIL_NEXT: _ClassVar[OrderMeasure]
    ORDER_MEASURE_LAST_AT: _ClassVar[OrderMeasure]
REFERENCE_KIND_UNSPECIFIED: ReferenceKind
REFERENCE_KIND_SEGMENT: ReferenceKind
REFERENCE_KIND_TAG: ReferenceKind
REFERENCE_KIND_STAGE: ReferenceKind
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
OPERATOR_NOT_IN: Operator
OPERATOR_NOT_CONTAINS: Operator
OPERATOR_STARTS_WITH: Operator
OPERATOR_ENDS_WITH: Operator
OPERATOR_MISSING: Operator
PERIOD_UNIT_UNSPECIFIED: PeriodUnit
PERIOD_UNIT_DAY: PeriodUnit
PERIOD_UNIT_WEEK: PeriodUnit
PERIOD_UNIT_MONTH: PeriodUnit
PERIOD_UNIT_QUARTER: PeriodUnit
PERIOD_UNIT_YEAR: PeriodUnit
ANCHOR_UNSPECIFIED: Anchor
ANCHOR_FIRST: Anchor
ANCHOR_LAST: Anchor
FUNCTION_UNSPECIFIED: Function
FUNCTION_COUNT: Function
FUNCTION_SUM: Function
FUNCTION_MEAN: Function
FUNCTION_MIN: Function
FUNCTION_MAX: Function
FUNCTION_FIRST: Function
FUNCTION_LAST: Function
FUNCTION_DISTINCT: Function
TREND_MEASURE_UNSPECIFIED: TrendMeasure
TREND_MEASURE_RATIO: TrendMeasure
TREND_MEASURE_DIFFERENCE: TrendMeasure
DATE_MEASURE_UNSPECIFIED: DateMeasure
DATE_MEASURE_DAYS_UNTIL: DateMeasure
DATE_MEASURE_DAYS_UNTIL_ANNIVERSARY: DateMeasure
DATE_MEASURE_YEARS_SINCE: DateMeasure
ORDER_MEASURE_UNSPECIFIED: OrderMeasure
ORDER_MEASURE_COUNT: OrderMeasure
ORDER_MEASURE_NET_SPEND: OrderMeasure
ORDER_MEASURE_MEAN_VALUE: OrderMeasure
ORDER_MEASURE_MAX_VALUE: OrderMeasure
ORDER_MEASURE_REFUNDED: OrderMeasure
ORDER_MEASURE_DAYS_SINCE_LAST: OrderMeasure
ORDER_MEASURE_MEAN_INTERVAL: OrderMeasure
ORDER_MEASURE_DAYS_UNTIL_NEXT: OrderMeasure
ORDER_MEASURE_LAST_AT: OrderMeasure

class Rule(_message.Message):
    __slots__ = ("all", "any", "predicate", "reference")
    ALL_FIELD_NUMBER: _ClassVar[int]
    ANY_FIELD_NUMBER: _ClassVar[int]
    NOT_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    all: RuleList
    any: RuleList
    predicate: Predicate
    reference: Reference
    def __init__(self, all: _Optional[_Union[RuleList, _Mapping]] = ..., any: _Optional[_Union[RuleList, _Mapping]] = ..., predicate: _Optional[_Union[Predicate, _Mapping]] = ..., reference: _Optional[_Union[Reference, _Mapping]] = ..., **kwargs) -> None: ...

class RuleList(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    def __init__(self, rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ...) -> None: ...

class Reference(_message.Message):
    __slots__ = ("kind", "id", "value")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    kind: ReferenceKind
    id: str
    value: str
    def __init__(self, kind: _Optional[_Union[ReferenceKind, str]] = ..., id: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Predicate(_message.Message):
    __slots__ = ("trait", "aggregate", "elapsed", "sequence", "trend", "date_distance", "top_values", "orders", "related", "operator", "value", "ignore_case")
    TRAIT_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TREND_FIELD_NUMBER: _ClassVar[int]
    DATE_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    TOP_VALUES_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    RELATED_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    IGNORE_CASE_FIELD_NUMBER: _ClassVar[int]
    trait: Trait
    aggregate: Aggregate
    elapsed: Elapsed
    sequence: Sequence
    trend: Trend
    date_distance: DateDistance
    top_values: TopValues
    orders: Orders
    related: Related
    operator: Operator
    value: bytes
    ignore_case: bool
    def __init__(self, trait: _Optional[_Union[Trait, _Mapping]] = ..., aggregate: _Optional[_Union[Aggregate, _Mapping]] = ..., elapsed: _Optional[_Union[Elapsed, _Mapping]] = ..., sequence: _Optional[_Union[Sequence, _Mapping]] = ..., trend: _Optional[_Union[Trend, _Mapping]] = ..., date_distance: _Optional[_Union[DateDistance, _Mapping]] = ..., top_values: _Optional[_Union[TopValues, _Mapping]] = ..., orders: _Optional[_Union[Orders, _Mapping]] = ..., related: _Optional[_Union[Related, _Mapping]] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[bytes] = ..., ignore_case: _Optional[bool] = ...) -> None: ...

class PropertyFilter(_message.Message):
    __slots__ = ("property", "operator", "value", "ignore_case")
    PROPERTY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    IGNORE_CASE_FIELD_NUMBER: _ClassVar[int]
    property: str
    operator: Operator
    value: bytes
    ignore_case: bool
    def __init__(self, property: _Optional[str] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[bytes] = ..., ignore_case: _Optional[bool] = ...) -> None: ...

class EventFilter(_message.Message):
    __slots__ = ("names", "where")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    where: _containers.RepeatedCompositeFieldContainer[PropertyFilter]
    def __init__(self, names: _Optional[_Iterable[str]] = ..., where: _Optional[_Iterable[_Union[PropertyFilter, _Mapping]]] = ...) -> None: ...

class CalendarWindow(_message.Message):
    __slots__ = ("unit", "oldest", "newest", "zone")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    unit: PeriodUnit
    oldest: int
    newest: int
    zone: str
    def __init__(self, unit: _Optional[_Union[PeriodUnit, str]] = ..., oldest: _Optional[int] = ..., newest: _Optional[int] = ..., zone: _Optional[str] = ...) -> None: ...

class RelativeWindow(_message.Message):
    __slots__ = ("events", "anchor", "after", "within_us")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    WITHIN_US_FIELD_NUMBER: _ClassVar[int]
    events: EventFilter
    anchor: Anchor
    after: bool
    within_us: int
    def __init__(self, events: _Optional[_Union[EventFilter, _Mapping]] = ..., anchor: _Optional[_Union[Anchor, str]] = ..., after: _Optional[bool] = ..., within_us: _Optional[int] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("rolling_us", "calendar", "relative")
    ROLLING_US_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    rolling_us: int
    calendar: CalendarWindow
    relative: RelativeWindow
    def __init__(self, rolling_us: _Optional[int] = ..., calendar: _Optional[_Union[CalendarWindow, _Mapping]] = ..., relative: _Optional[_Union[RelativeWindow, _Mapping]] = ...) -> None: ...

class Trait(_message.Message):
    __slots__ = ("name", "parties", "cleaner", "sources")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTIES_FIELD_NUMBER: _ClassVar[int]
    CLEANER_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    name: str
    parties: _containers.RepeatedScalarFieldContainer[_source_trust_pb2.Party]
    cleaner: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., parties: _Optional[_Iterable[_Union[_source_trust_pb2.Party, str]]] = ..., cleaner: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ...) -> None: ...

class Aggregate(_message.Message):
    __slots__ = ("function", "events", "property", "window")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROPERTY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    function: Function
    events: EventFilter
    property: str
    window: Window
    def __init__(self, function: _Optional[_Union[Function, str]] = ..., events: _Optional[_Union[EventFilter, _Mapping]] = ..., property: _Optional[str] = ..., window: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class Elapsed(_message.Message):
    __slots__ = ("events", "since_first")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIRST_FIELD_NUMBER: _ClassVar[int]
    events: EventFilter
    since_first: bool
    def __init__(self, events: _Optional[_Union[EventFilter, _Mapping]] = ..., since_first: _Optional[bool] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("events", "within_us", "without")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_US_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_FIELD_NUMBER: _ClassVar[int]
    events: EventFilter
    within_us: int
    without: EventFilter
    def __init__(self, events: _Optional[_Union[EventFilter, _Mapping]] = ..., within_us: _Optional[int] = ..., without: _Optional[_Union[EventFilter, _Mapping]] = ...) -> None: ...

class Sequence(_message.Message):
    __slots__ = ("steps", "same", "window")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SAME_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    same: str
    window: Window
    def __init__(self, steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., same: _Optional[str] = ..., window: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class Trend(_message.Message):
    __slots__ = ("aggregate", "measure")
    AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    aggregate: Aggregate
    measure: TrendMeasure
    def __init__(self, aggregate: _Optional[_Union[Aggregate, _Mapping]] = ..., measure: _Optional[_Union[TrendMeasure, str]] = ...) -> None: ...

class DateDistance(_message.Message):
    __slots__ = ("trait", "measure", "zone")
    TRAIT_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    trait: str
    measure: DateMeasure
    zone: str
    def __init__(self, trait: _Optional[str] = ..., measure: _Optional[_Union[DateMeasure, str]] = ..., zone: _Optional[str] = ...) -> None: ...

class TopValues(_message.Message):
    __slots__ = ("events", "property", "limit", "window")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROPERTY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    events: EventFilter
    property: str
    limit: int
    window: Window
    def __init__(self, events: _Optional[_Union[EventFilter, _Mapping]] = ..., property: _Optional[str] = ..., limit: _Optional[int] = ..., window: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class OrderDefinition(_message.Message):
    __slots__ = ("payments", "order_id", "amount", "refunds", "refund_order_id", "refund_amount", "refund_id", "currency_property", "currency")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    REFUND_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REFUND_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_PROPERTY_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    payments: EventFilter
    order_id: str
    amount: str
    refunds: EventFilter
    refund_order_id: str
    refund_amount: str
    refund_id: str
    currency_property: str
    currency: str
    def __init__(self, payments: _Optional[_Union[EventFilter, _Mapping]] = ..., order_id: _Optional[str] = ..., amount: _Optional[str] = ..., refunds: _Optional[_Union[EventFilter, _Mapping]] = ..., refund_order_id: _Optional[str] = ..., refund_amount: _Optional[str] = ..., refund_id: _Optional[str] = ..., currency_property: _Optional[str] = ..., currency: _Optional[str] = ...) -> None: ...

class Orders(_message.Message):
    __slots__ = ("definition", "measure", "where", "window")
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    definition: OrderDefinition
    measure: OrderMeasure
    where: _containers.RepeatedCompositeFieldContainer[PropertyFilter]
    window: Window
    def __init__(self, definition: _Optional[_Union[OrderDefinition, _Mapping]] = ..., measure: _Optional[_Union[OrderMeasure, str]] = ..., where: _Optional[_Iterable[_Union[PropertyFilter, _Mapping]]] = ..., window: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class Related(_message.Message):
    __slots__ = ("object_type", "where")
    OBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    object_type: str
    where: _containers.RepeatedCompositeFieldContainer[PropertyFilter]
    def __init__(self, object_type: _Optional[str] = ..., where: _Optional[_Iterable[_Union[PropertyFilter, _Mapping]]] = ...) -> None: ...
