from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: bool
    def __init__(self, counts: _Optional[bool] = ...) -> None: ...

class ShardStatus(_message.Message):
    __slots__ = ("shard", "log_offset", "log_time_us", "leased", "failed_facts", "parked_facts")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    LOG_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_US_FIELD_NUMBER: _ClassVar[int]
    LEASED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FACTS_FIELD_NUMBER: _ClassVar[int]
    PARKED_FACTS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    log_offset: int
    log_time_us: int
    leased: bool
    failed_facts: int
    parked_facts: int
    def __init__(self, shard: _Optional[int] = ..., log_offset: _Optional[int] = ..., log_time_us: _Optional[int] = ..., leased: _Optional[bool] = ..., failed_facts: _Optional[int] = ..., parked_facts: _Optional[int] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("service", "shards", "counts", "generation")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    service: str
    shards: _containers.RepeatedCompositeFieldContainer[ShardStatus]
    counts: _containers.ScalarMap[str, int]
    generation: int
    def __init__(self, service: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[ShardStatus, _Mapping]]] = ..., counts: _Optional[_Mapping[str, int]] = ..., generation: _Optional[int] = ...) -> None: ...

class GetDigestRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetDigestResponse(_message.Message):
    __slots__ = ("digests", "token")
    class DigestsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    digests: _containers.ScalarMap[str, str]
    token: _token_pb2.Token
    def __init__(self, digests: _Optional[_Mapping[str, str]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class AwaitTokenRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class AwaitTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class RebuildRequest(_message.Message):
    __slots__ = ("switch_over", "shards", "workers", "resync", "together", "rows")
    SWITCH_OVER_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    TOGETHER_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    switch_over: bool
    shards: int
    workers: int
    resync: bool
    together: bool
    rows: str
    def __init__(self, switch_over: _Optional[bool] = ..., shards: _Optional[int] = ..., workers: _Optional[int] = ..., resync: _Optional[bool] = ..., together: _Optional[bool] = ..., rows: _Optional[str] = ...) -> None: ...

class RebuildResponse(_message.Message):
    __slots__ = ("done", "total", "equal", "live_digests", "rebuilt_digests", "differing_rows", "token", "finished", "switched")
    class LiveDigestsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class RebuiltDigestsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    EQUAL_FIELD_NUMBER: _ClassVar[int]
    LIVE_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    REBUILT_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    DIFFERING_ROWS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    SWITCHED_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    equal: bool
    live_digests: _containers.ScalarMap[str, str]
    rebuilt_digests: _containers.ScalarMap[str, str]
    differing_rows: _containers.RepeatedScalarFieldContainer[str]
    token: _token_pb2.Token
    finished: bool
    switched: bool
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., equal: _Optional[bool] = ..., live_digests: _Optional[_Mapping[str, str]] = ..., rebuilt_digests: _Optional[_Mapping[str, str]] = ..., differing_rows: _Optional[_Iterable[str]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., finished: _Optional[bool] = ..., switched: _Optional[bool] = ...) -> None: ...

class ListFailedFactsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FailedFact(_message.Message):
    __slots__ = ("shard", "offset", "workspace_id", "error", "attempts", "next_retry_us", "parked", "folded", "reason")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_RETRY_US_FIELD_NUMBER: _ClassVar[int]
    PARKED_FIELD_NUMBER: _ClassVar[int]
    FOLDED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    shard: int
    offset: int
    workspace_id: str
    error: str
    attempts: int
    next_retry_us: int
    parked: bool
    folded: bool
    reason: str
    def __init__(self, shard: _Optional[int] = ..., offset: _Optional[int] = ..., workspace_id: _Optional[str] = ..., error: _Optional[str] = ..., attempts: _Optional[int] = ..., next_retry_us: _Optional[int] = ..., parked: _Optional[bool] = ..., folded: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ListFailedFactsResponse(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[FailedFact]
    def __init__(self, facts: _Optional[_Iterable[_Union[FailedFact, _Mapping]]] = ...) -> None: ...

class RetryFailedFactsRequest(_message.Message):
    __slots__ = ("place",)
    PLACE_FIELD_NUMBER: _ClassVar[int]
    place: FactPlace
    def __init__(self, place: _Optional[_Union[FactPlace, _Mapping]] = ...) -> None: ...

class FactPlace(_message.Message):
    __slots__ = ("shard", "offset")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    shard: int
    offset: int
    def __init__(self, shard: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class RetryFailedFactsResponse(_message.Message):
    __slots__ = ("due",)
    DUE_FIELD_NUMBER: _ClassVar[int]
    due: int
    def __init__(self, due: _Optional[int] = ...) -> None: ...

class GetAccessDifferencesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAccessDifferencesResponse(_message.Message):
    __slots__ = ("differences",)
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    differences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, differences: _Optional[_Iterable[str]] = ...) -> None: ...
