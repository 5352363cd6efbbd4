from onefold.log.v1 import log_pb2 as _log_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AppendRequest(_message.Message):
    __slots__ = ("facts", "known_us")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_US_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[_log_pb2.Fact]
    known_us: int
    def __init__(self, facts: _Optional[_Iterable[_Union[_log_pb2.Fact, _Mapping]]] = ..., known_us: _Optional[int] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("appended", "duplicates", "token")
    APPENDED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    appended: int
    duplicates: int
    token: _token_pb2.Token
    def __init__(self, appended: _Optional[int] = ..., duplicates: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("shard", "from_offset", "end_offset", "kinds", "page_size", "life", "workspace_id")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FROM_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    shard: int
    from_offset: int
    end_offset: int
    kinds: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    life: int
    workspace_id: str
    def __init__(self, shard: _Optional[int] = ..., from_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., kinds: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., life: _Optional[int] = ..., workspace_id: _Optional[str] = ...) -> None: ...

class ReadResponse(_message.Message):
    __slots__ = ("batch", "life")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    batch: _log_pb2.FactBatch
    life: int
    def __init__(self, batch: _Optional[_Union[_log_pb2.FactBatch, _Mapping]] = ..., life: _Optional[int] = ...) -> None: ...

class ReadLeavesRequest(_message.Message):
    __slots__ = ("workspace_id", "leaf_ids", "before_us", "before_token", "limit", "recorded_until_us", "recorded_after_us")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    LEAF_IDS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    BEFORE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    leaf_ids: _containers.RepeatedScalarFieldContainer[bytes]
    before_us: int
    before_token: _token_pb2.Token
    limit: int
    recorded_until_us: int
    recorded_after_us: int
    def __init__(self, workspace_id: _Optional[str] = ..., leaf_ids: _Optional[_Iterable[bytes]] = ..., before_us: _Optional[int] = ..., before_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., limit: _Optional[int] = ..., recorded_until_us: _Optional[int] = ..., recorded_after_us: _Optional[int] = ...) -> None: ...

class ReadLeavesResponse(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[_log_pb2.Fact]
    def __init__(self, facts: _Optional[_Iterable[_Union[_log_pb2.Fact, _Mapping]]] = ...) -> None: ...

class GetHeadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHeadResponse(_message.Message):
    __slots__ = ("token", "now_us")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    now_us: int
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., now_us: _Optional[int] = ...) -> None: ...

class TickClockRequest(_message.Message):
    __slots__ = ("advance_us",)
    ADVANCE_US_FIELD_NUMBER: _ClassVar[int]
    advance_us: int
    def __init__(self, advance_us: _Optional[int] = ...) -> None: ...

class TickClockResponse(_message.Message):
    __slots__ = ("token", "now_us")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NOW_US_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    now_us: int
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., now_us: _Optional[int] = ...) -> None: ...
