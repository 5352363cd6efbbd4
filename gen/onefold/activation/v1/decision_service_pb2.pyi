from onefold.activation.v1 import slots_pb2 as _slots_pb2
from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_REASON_UNSPECIFIED: _ClassVar[DecisionReason]
    DECISION_REASON_VARIANT: _ClassVar[DecisionReason]
    DECISION_REASON_NO_VARIANT: _ClassVar[DecisionReason]
    DECISION_REASON_UNKNOWN_PERSON: _ClassVar[DecisionReason]
    DECISION_REASON_PROFILING_REFUSED: _ClassVar[DecisionReason]
    DECISION_REASON_OVER_DEADLINE: _ClassVar[DecisionReason]
    DECISION_REASON_UNAVAILABLE: _ClassVar[DecisionReason]
    DECISION_REASON_UNKNOWN_SLOT: _ClassVar[DecisionReason]

class ItemReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ITEM_REASON_UNSPECIFIED: _ClassVar[ItemReason]
    ITEM_REASON_RECOMMENDED: _ClassVar[ItemReason]
    ITEM_REASON_SIMILAR: _ClassVar[ItemReason]
    ITEM_REASON_POPULAR_IN_CATEGORY: _ClassVar[ItemReason]
    ITEM_REASON_POPULAR: _ClassVar[ItemReason]
DECISION_REASON_UNSPECIFIED: DecisionReason
DECISION_REASON_VARIANT: DecisionReason
DECISION_REASON_NO_VARIANT: DecisionReason
DECISION_REASON_UNKNOWN_PERSON: DecisionReason
DECISION_REASON_PROFILING_REFUSED: DecisionReason
DECISION_REASON_OVER_DEADLINE: DecisionReason
DECISION_REASON_UNAVAILABLE: DecisionReason
DECISION_REASON_UNKNOWN_SLOT: DecisionReason
ITEM_REASON_UNSPECIFIED: ItemReason
ITEM_REASON_RECOMMENDED: ItemReason
ITEM_REASON_SIMILAR: ItemReason
ITEM_REASON_POPULAR_IN_CATEGORY: ItemReason
ITEM_REASON_POPULAR: ItemReason

class DefineSlotRequest(_message.Message):
    __slots__ = ("slot", "dry_run", "etag", "assumed")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    slot: _slots_pb2.Slot
    dry_run: bool
    etag: str
    assumed: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Reference]
    def __init__(self, slot: _Optional[_Union[_slots_pb2.Slot, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ..., assumed: _Optional[_Iterable[_Union[_rule_pb2.Reference, _Mapping]]] = ...) -> None: ...

class DefineSlotResponse(_message.Message):
    __slots__ = ("slot", "changed", "token", "etag")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    slot: _slots_pb2.Slot
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, slot: _Optional[_Union[_slots_pb2.Slot, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListSlotsRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class SlotSummary(_message.Message):
    __slots__ = ("slot", "etag")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    slot: _slots_pb2.Slot
    etag: str
    def __init__(self, slot: _Optional[_Union[_slots_pb2.Slot, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListSlotsResponse(_message.Message):
    __slots__ = ("slots",)
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    slots: _containers.RepeatedCompositeFieldContainer[SlotSummary]
    def __init__(self, slots: _Optional[_Iterable[_Union[SlotSummary, _Mapping]]] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("identifier", "slot_ids", "at_least", "deadline_ms")
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    SLOT_IDS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    identifier: _identifier_pb2.Identifier
    slot_ids: _containers.RepeatedScalarFieldContainer[str]
    at_least: _token_pb2.Token
    deadline_ms: int
    def __init__(self, identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., slot_ids: _Optional[_Iterable[str]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("slot_id", "variant_id", "content", "reason", "version")
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    VARIANT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    slot_id: str
    variant_id: str
    content: bytes
    reason: DecisionReason
    version: int
    def __init__(self, slot_id: _Optional[str] = ..., variant_id: _Optional[str] = ..., content: _Optional[bytes] = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., version: _Optional[int] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("decisions",)
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    def __init__(self, decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("identifier", "slot_id", "limit", "at_least", "deadline_ms")
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    identifier: _identifier_pb2.Identifier
    slot_id: str
    limit: int
    at_least: _token_pb2.Token
    deadline_ms: int
    def __init__(self, identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., slot_id: _Optional[str] = ..., limit: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class RecommendedItem(_message.Message):
    __slots__ = ("item_id", "score", "reason", "because_of")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_OF_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    reason: ItemReason
    because_of: str
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., reason: _Optional[_Union[ItemReason, str]] = ..., because_of: _Optional[str] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("items", "reason", "version", "fitted_at_us")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FITTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    reason: DecisionReason
    version: int
    fitted_at_us: int
    def __init__(self, items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., version: _Optional[int] = ..., fitted_at_us: _Optional[int] = ...) -> None: ...

class FitItemsRequest(_message.Message):
    __slots__ = ("slot_id",)
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    slot_id: str
    def __init__(self, slot_id: _Optional[str] = ...) -> None: ...

class FitItemsResponse(_message.Message):
    __slots__ = ("persons", "items", "fitted_at_us")
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    FITTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    persons: int
    items: int
    fitted_at_us: int
    def __init__(self, persons: _Optional[int] = ..., items: _Optional[int] = ..., fitted_at_us: _Optional[int] = ...) -> None: ...
