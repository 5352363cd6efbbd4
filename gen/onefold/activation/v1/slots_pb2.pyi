from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SlotVariant(_message.Message):
    __slots__ = ("variant_id", "when", "content", "share_ppm")
    VARIANT_ID_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    variant_id: str
    when: _rule_pb2.Rule
    content: bytes
    share_ppm: int
    def __init__(self, variant_id: _Optional[str] = ..., when: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., content: _Optional[bytes] = ..., share_ppm: _Optional[int] = ...) -> None: ...

class ItemEvents(_message.Message):
    __slots__ = ("events", "item")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    events: _rule_pb2.EventFilter
    item: str
    def __init__(self, events: _Optional[_Union[_rule_pb2.EventFilter, _Mapping]] = ..., item: _Optional[str] = ...) -> None: ...

class ItemRanking(_message.Message):
    __slots__ = ("bought", "seen", "recommended", "catalogue", "category", "unavailable")
    BOUGHT_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDED_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    bought: _containers.RepeatedCompositeFieldContainer[ItemEvents]
    seen: _containers.RepeatedCompositeFieldContainer[ItemEvents]
    recommended: _containers.RepeatedCompositeFieldContainer[ItemEvents]
    catalogue: str
    category: str
    unavailable: _rule_pb2.EventFilter
    def __init__(self, bought: _Optional[_Iterable[_Union[ItemEvents, _Mapping]]] = ..., seen: _Optional[_Iterable[_Union[ItemEvents, _Mapping]]] = ..., recommended: _Optional[_Iterable[_Union[ItemEvents, _Mapping]]] = ..., catalogue: _Optional[str] = ..., category: _Optional[str] = ..., unavailable: _Optional[_Union[_rule_pb2.EventFilter, _Mapping]] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("slot_id", "title", "variants", "fallback", "salt", "retired", "version", "items")
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    slot_id: str
    title: str
    variants: _containers.RepeatedCompositeFieldContainer[SlotVariant]
    fallback: bytes
    salt: str
    retired: bool
    version: int
    items: ItemRanking
    def __init__(self, slot_id: _Optional[str] = ..., title: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[SlotVariant, _Mapping]]] = ..., fallback: _Optional[bytes] = ..., salt: _Optional[str] = ..., retired: _Optional[bool] = ..., version: _Optional[int] = ..., items: _Optional[_Union[ItemRanking, _Mapping]] = ...) -> None: ...

class SlotDefined(_message.Message):
    __slots__ = ("slot",)
    SLOT_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ...) -> None: ...
