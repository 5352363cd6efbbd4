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

class Slot(_message.Message):
    __slots__ = ("slot_id", "title", "variants", "fallback", "salt", "retired", "version")
    SLOT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    slot_id: str
    title: str
    variants: _containers.RepeatedCompositeFieldContainer[SlotVariant]
    fallback: bytes
    salt: str
    retired: bool
    version: int
    def __init__(self, slot_id: _Optional[str] = ..., title: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[SlotVariant, _Mapping]]] = ..., fallback: _Optional[bytes] = ..., salt: _Optional[str] = ..., retired: _Optional[bool] = ..., version: _Optional[int] = ...) -> None: ...

class SlotDefined(_message.Message):
    __slots__ = ("slot",)
    SLOT_FIELD_NUMBER: _ClassVar[int]
    slot: Slot
    def __init__(self, slot: _Optional[_Union[Slot, _Mapping]] = ...) -> None: ...
