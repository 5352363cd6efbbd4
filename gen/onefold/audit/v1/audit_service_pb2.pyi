from onefold.ingest.v1 import ingest_facts_pb2 as _ingest_facts_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListAuditEntriesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "key_id", "profile_id", "reads_only", "from_number")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    READS_ONLY_FIELD_NUMBER: _ClassVar[int]
    FROM_NUMBER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    key_id: str
    profile_id: str
    reads_only: bool
    from_number: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., key_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., reads_only: _Optional[bool] = ..., from_number: _Optional[int] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("number", "at_us", "key_id", "role", "method", "outcome", "target", "profile_ids", "names", "count", "visible", "reason", "hash")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    number: int
    at_us: int
    key_id: str
    role: _ingest_facts_pb2.Role
    method: str
    outcome: str
    target: str
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    names: _containers.RepeatedScalarFieldContainer[str]
    count: int
    visible: _options_pb2.FieldClass
    reason: str
    hash: bytes
    def __init__(self, number: _Optional[int] = ..., at_us: _Optional[int] = ..., key_id: _Optional[str] = ..., role: _Optional[_Union[_ingest_facts_pb2.Role, str]] = ..., method: _Optional[str] = ..., outcome: _Optional[str] = ..., target: _Optional[str] = ..., profile_ids: _Optional[_Iterable[str]] = ..., names: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ..., visible: _Optional[_Union[_options_pb2.FieldClass, str]] = ..., reason: _Optional[str] = ..., hash: _Optional[bytes] = ...) -> None: ...

class ListAuditEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "head_number", "head_hash")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEAD_NUMBER_FIELD_NUMBER: _ClassVar[int]
    HEAD_HASH_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    head_number: int
    head_hash: bytes
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., head_number: _Optional[int] = ..., head_hash: _Optional[bytes] = ...) -> None: ...
