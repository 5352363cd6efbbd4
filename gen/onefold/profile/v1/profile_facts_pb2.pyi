from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TagKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TAG_KIND_UNSPECIFIED: _ClassVar[TagKind]
    TAG_KIND_TAG: _ClassVar[TagKind]
    TAG_KIND_STAGE: _ClassVar[TagKind]

class TimelineKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIMELINE_KIND_UNSPECIFIED: _ClassVar[TimelineKind]
    TIMELINE_KIND_AD_CLICK: _ClassVar[TimelineKind]
    TIMELINE_KIND_VIEW: _ClassVar[TimelineKind]
    TIMELINE_KIND_SALES_CONTACT: _ClassVar[TimelineKind]
    TIMELINE_KIND_ORDER: _ClassVar[TimelineKind]
    TIMELINE_KIND_SERVICE_REQUEST: _ClassVar[TimelineKind]
    TIMELINE_KIND_MEMBER_ACTIVITY: _ClassVar[TimelineKind]
    TIMELINE_KIND_OTHER: _ClassVar[TimelineKind]

class ProfileBlock(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROFILE_BLOCK_UNSPECIFIED: _ClassVar[ProfileBlock]
    PROFILE_BLOCK_DEMOGRAPHICS: _ClassVar[ProfileBlock]
    PROFILE_BLOCK_PREFERENCES: _ClassVar[ProfileBlock]
    PROFILE_BLOCK_TRANSACTIONS: _ClassVar[ProfileBlock]
    PROFILE_BLOCK_INTERACTIONS: _ClassVar[ProfileBlock]
    PROFILE_BLOCK_PREDICTIONS: _ClassVar[ProfileBlock]
TAG_KIND_UNSPECIFIED: TagKind
TAG_KIND_TAG: TagKind
TAG_KIND_STAGE: TagKind
TIMELINE_KIND_UNSPECIFIED: TimelineKind
TIMELINE_KIND_AD_CLICK: TimelineKind
TIMELINE_KIND_VIEW: TimelineKind
TIMELINE_KIND_SALES_CONTACT: TimelineKind
TIMELINE_KIND_ORDER: TimelineKind
TIMELINE_KIND_SERVICE_REQUEST: TimelineKind
TIMELINE_KIND_MEMBER_ACTIVITY: TimelineKind
TIMELINE_KIND_OTHER: TimelineKind
PROFILE_BLOCK_UNSPECIFIED: ProfileBlock
PROFILE_BLOCK_DEMOGRAPHICS: ProfileBlock
PROFILE_BLOCK_PREFERENCES: ProfileBlock
PROFILE_BLOCK_TRANSACTIONS: ProfileBlock
PROFILE_BLOCK_INTERACTIONS: ProfileBlock
PROFILE_BLOCK_PREDICTIONS: ProfileBlock

class TagValue(_message.Message):
    __slots__ = ("value", "rule")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    value: str
    rule: _rule_pb2.Rule
    def __init__(self, value: _Optional[str] = ..., rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ...) -> None: ...

class TagDefined(_message.Message):
    __slots__ = ("tag_id", "title", "rule", "version", "retired", "values", "default_value", "kind", "rfm")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RFM_FIELD_NUMBER: _ClassVar[int]
    tag_id: str
    title: str
    rule: _rule_pb2.Rule
    version: int
    retired: bool
    values: _containers.RepeatedCompositeFieldContainer[TagValue]
    default_value: str
    kind: TagKind
    rfm: RfmModel
    def __init__(self, tag_id: _Optional[str] = ..., title: _Optional[str] = ..., rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ..., values: _Optional[_Iterable[_Union[TagValue, _Mapping]]] = ..., default_value: _Optional[str] = ..., kind: _Optional[_Union[TagKind, str]] = ..., rfm: _Optional[_Union[RfmModel, _Mapping]] = ...) -> None: ...

class RfmModel(_message.Message):
    __slots__ = ("quantiles", "period", "values", "fit")
    QUANTILES_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    quantiles: int
    period: _rule_pb2.PeriodUnit
    values: _containers.RepeatedCompositeFieldContainer[MinimumScores]
    fit: RfmFit
    def __init__(self, quantiles: _Optional[int] = ..., period: _Optional[_Union[_rule_pb2.PeriodUnit, str]] = ..., values: _Optional[_Iterable[_Union[MinimumScores, _Mapping]]] = ..., fit: _Optional[_Union[RfmFit, _Mapping]] = ...) -> None: ...

class MinimumScores(_message.Message):
    __slots__ = ("value", "recency", "frequency", "monetary")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_FIELD_NUMBER: _ClassVar[int]
    MONETARY_FIELD_NUMBER: _ClassVar[int]
    value: str
    recency: int
    frequency: int
    monetary: int
    def __init__(self, value: _Optional[str] = ..., recency: _Optional[int] = ..., frequency: _Optional[int] = ..., monetary: _Optional[int] = ...) -> None: ...

class RfmFit(_message.Message):
    __slots__ = ("token", "at_us", "persons", "recency_us", "frequency", "monetary_micros")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    RECENCY_US_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_FIELD_NUMBER: _ClassVar[int]
    MONETARY_MICROS_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    at_us: int
    persons: int
    recency_us: _containers.RepeatedScalarFieldContainer[int]
    frequency: _containers.RepeatedScalarFieldContainer[int]
    monetary_micros: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., at_us: _Optional[int] = ..., persons: _Optional[int] = ..., recency_us: _Optional[_Iterable[int]] = ..., frequency: _Optional[_Iterable[int]] = ..., monetary_micros: _Optional[_Iterable[int]] = ...) -> None: ...

class ComputedTrait(_message.Message):
    __slots__ = ("name", "feature")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    feature: _rule_pb2.Predicate
    def __init__(self, name: _Optional[str] = ..., feature: _Optional[_Union[_rule_pb2.Predicate, _Mapping]] = ...) -> None: ...

class TraitCleaner(_message.Message):
    __slots__ = ("trait", "cleaner")
    TRAIT_FIELD_NUMBER: _ClassVar[int]
    CLEANER_FIELD_NUMBER: _ClassVar[int]
    trait: str
    cleaner: str
    def __init__(self, trait: _Optional[str] = ..., cleaner: _Optional[str] = ...) -> None: ...

class TimelineEvents(_message.Message):
    __slots__ = ("kind", "events")
    KIND_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    kind: TimelineKind
    events: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[TimelineKind, str]] = ..., events: _Optional[_Iterable[str]] = ...) -> None: ...

class BlockContent(_message.Message):
    __slots__ = ("block", "traits", "tags")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    block: ProfileBlock
    traits: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, block: _Optional[_Union[ProfileBlock, str]] = ..., traits: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class ProfileSettingsDefined(_message.Message):
    __slots__ = ("zone", "orders", "computed_traits", "cleaners", "version", "timeline", "blocks")
    ZONE_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_TRAITS_FIELD_NUMBER: _ClassVar[int]
    CLEANERS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    zone: str
    orders: _rule_pb2.OrderDefinition
    computed_traits: _containers.RepeatedCompositeFieldContainer[ComputedTrait]
    cleaners: _containers.RepeatedCompositeFieldContainer[TraitCleaner]
    version: int
    timeline: _containers.RepeatedCompositeFieldContainer[TimelineEvents]
    blocks: _containers.RepeatedCompositeFieldContainer[BlockContent]
    def __init__(self, zone: _Optional[str] = ..., orders: _Optional[_Union[_rule_pb2.OrderDefinition, _Mapping]] = ..., computed_traits: _Optional[_Iterable[_Union[ComputedTrait, _Mapping]]] = ..., cleaners: _Optional[_Iterable[_Union[TraitCleaner, _Mapping]]] = ..., version: _Optional[int] = ..., timeline: _Optional[_Iterable[_Union[TimelineEvents, _Mapping]]] = ..., blocks: _Optional[_Iterable[_Union[BlockContent, _Mapping]]] = ...) -> None: ...

class TraitCorrected(_message.Message):
    __slots__ = ("trait", "value", "withdrawn", "reason")
    TRAIT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    trait: str
    value: bytes
    withdrawn: bool
    reason: str
    def __init__(self, trait: _Optional[str] = ..., value: _Optional[bytes] = ..., withdrawn: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ScoreRecorded(_message.Message):
    __slots__ = ("model_id", "model_version", "score", "as_of_us")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    model_version: str
    score: float
    as_of_us: int
    def __init__(self, model_id: _Optional[str] = ..., model_version: _Optional[str] = ..., score: _Optional[float] = ..., as_of_us: _Optional[int] = ...) -> None: ...
