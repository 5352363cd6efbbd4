from onefold.type.v1 import event_pb2 as _event_pb2
from onefold.type.v1 import source_trust_pb2 as _source_trust_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventIdentifiers(_message.Message):
    __slots__ = ("type", "identifiers", "trust")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    type: _event_pb2.EventType
    identifiers: _containers.RepeatedScalarFieldContainer[bytes]
    trust: _source_trust_pb2.SourceTrust
    def __init__(self, type: _Optional[_Union[_event_pb2.EventType, str]] = ..., identifiers: _Optional[_Iterable[bytes]] = ..., trust: _Optional[_Union[_source_trust_pb2.SourceTrust, str]] = ...) -> None: ...
