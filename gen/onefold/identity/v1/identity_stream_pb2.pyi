from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FactsAttributed(_message.Message):
    __slots__ = ("shard", "first_offset", "next_offset", "fact_batch", "profile_ids", "assignments", "log_life")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FACT_BATCH_FIELD_NUMBER: _ClassVar[int]
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    LOG_LIFE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    first_offset: int
    next_offset: int
    fact_batch: bytes
    profile_ids: bytes
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    log_life: int
    def __init__(self, shard: _Optional[int] = ..., first_offset: _Optional[int] = ..., next_offset: _Optional[int] = ..., fact_batch: _Optional[bytes] = ..., profile_ids: _Optional[bytes] = ..., assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ..., log_life: _Optional[int] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("workspace_id", "identifier_id", "profile_id", "version", "identifier", "before_profile_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    identifier_id: bytes
    profile_id: bytes
    version: int
    identifier: _identifier_pb2.Identifier
    before_profile_id: bytes
    def __init__(self, workspace_id: _Optional[str] = ..., identifier_id: _Optional[bytes] = ..., profile_id: _Optional[bytes] = ..., version: _Optional[int] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., before_profile_id: _Optional[bytes] = ...) -> None: ...
