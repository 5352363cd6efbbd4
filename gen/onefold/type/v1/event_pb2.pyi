from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import source_trust_pb2 as _source_trust_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_TRACK: _ClassVar[EventType]
    EVENT_TYPE_IDENTIFY: _ClassVar[EventType]
    EVENT_TYPE_PAGE: _ClassVar[EventType]
    EVENT_TYPE_SCREEN: _ClassVar[EventType]
    EVENT_TYPE_GROUP: _ClassVar[EventType]
    EVENT_TYPE_ALIAS: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_TRACK: EventType
EVENT_TYPE_IDENTIFY: EventType
EVENT_TYPE_PAGE: EventType
EVENT_TYPE_SCREEN: EventType
EVENT_TYPE_GROUP: EventType
EVENT_TYPE_ALIAS: EventType

class Event(_message.Message):
    __slots__ = ("type", "name", "message_id", "identifiers", "occurred_at_us", "properties", "traits", "context", "channel", "group_id", "group_identifiers", "member_leaf_id", "trust", "party", "touch")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_LEAF_ID_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    type: EventType
    name: str
    message_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    occurred_at_us: int
    properties: bytes
    traits: bytes
    context: bytes
    channel: str
    group_id: str
    group_identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    member_leaf_id: bytes
    trust: _source_trust_pb2.SourceTrust
    party: _source_trust_pb2.Party
    touch: bytes
    def __init__(self, type: _Optional[_Union[EventType, str]] = ..., name: _Optional[str] = ..., message_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., occurred_at_us: _Optional[int] = ..., properties: _Optional[bytes] = ..., traits: _Optional[bytes] = ..., context: _Optional[bytes] = ..., channel: _Optional[str] = ..., group_id: _Optional[str] = ..., group_identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., member_leaf_id: _Optional[bytes] = ..., trust: _Optional[_Union[_source_trust_pb2.SourceTrust, str]] = ..., party: _Optional[_Union[_source_trust_pb2.Party, str]] = ..., touch: _Optional[bytes] = ...) -> None: ...
