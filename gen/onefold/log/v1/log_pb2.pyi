from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Fact(_message.Message):
    __slots__ = ("shard", "offset", "workspace_id", "fact_id", "kind", "leaf_id", "occurred_at_us", "recorded_at_us", "source_id", "actor", "payload")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LEAF_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    shard: int
    offset: int
    workspace_id: str
    fact_id: bytes
    kind: str
    leaf_id: bytes
    occurred_at_us: int
    recorded_at_us: int
    source_id: str
    actor: str
    payload: bytes
    def __init__(self, shard: _Optional[int] = ..., offset: _Optional[int] = ..., workspace_id: _Optional[str] = ..., fact_id: _Optional[bytes] = ..., kind: _Optional[str] = ..., leaf_id: _Optional[bytes] = ..., occurred_at_us: _Optional[int] = ..., recorded_at_us: _Optional[int] = ..., source_id: _Optional[str] = ..., actor: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...

class FactBatch(_message.Message):
    __slots__ = ("shard", "first_offset", "facts")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    first_offset: int
    facts: _containers.RepeatedCompositeFieldContainer[Fact]
    def __init__(self, shard: _Optional[int] = ..., first_offset: _Optional[int] = ..., facts: _Optional[_Iterable[_Union[Fact, _Mapping]]] = ...) -> None: ...

class ClockTicked(_message.Message):
    __slots__ = ("now_us",)
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    now_us: int
    def __init__(self, now_us: _Optional[int] = ...) -> None: ...

class FactParked(_message.Message):
    __slots__ = ("shard", "offset", "services", "reason")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    shard: int
    offset: int
    services: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, shard: _Optional[int] = ..., offset: _Optional[int] = ..., services: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class FactUnparked(_message.Message):
    __slots__ = ("shard", "offset", "services", "reason")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    shard: int
    offset: int
    services: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, shard: _Optional[int] = ..., offset: _Optional[int] = ..., services: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...
