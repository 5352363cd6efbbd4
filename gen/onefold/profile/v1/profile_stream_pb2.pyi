from onefold.log.v1 import log_pb2 as _log_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProfilesChanged(_message.Message):
    __slots__ = ("shard", "sequence", "log_offset", "log_time_us", "changes", "broadcast_facts", "backfilled_predicates", "backfilled_workspace_id", "dropped_predicates", "from_log_offset", "matched_events", "leaf_moves")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    BROADCAST_FACTS_FIELD_NUMBER: _ClassVar[int]
    BACKFILLED_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    BACKFILLED_WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DROPPED_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    FROM_LOG_OFFSET_FIELD_NUMBER: _ClassVar[int]
    MATCHED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    LEAF_MOVES_FIELD_NUMBER: _ClassVar[int]
    shard: int
    sequence: int
    log_offset: int
    log_time_us: int
    changes: _containers.RepeatedCompositeFieldContainer[ProfileChange]
    broadcast_facts: _containers.RepeatedCompositeFieldContainer[_log_pb2.Fact]
    backfilled_predicates: _containers.RepeatedScalarFieldContainer[int]
    backfilled_workspace_id: str
    dropped_predicates: _containers.RepeatedScalarFieldContainer[int]
    from_log_offset: int
    matched_events: _containers.RepeatedCompositeFieldContainer[MatchedEvent]
    leaf_moves: _containers.RepeatedCompositeFieldContainer[LeafMove]
    def __init__(self, shard: _Optional[int] = ..., sequence: _Optional[int] = ..., log_offset: _Optional[int] = ..., log_time_us: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[ProfileChange, _Mapping]]] = ..., broadcast_facts: _Optional[_Iterable[_Union[_log_pb2.Fact, _Mapping]]] = ..., backfilled_predicates: _Optional[_Iterable[int]] = ..., backfilled_workspace_id: _Optional[str] = ..., dropped_predicates: _Optional[_Iterable[int]] = ..., from_log_offset: _Optional[int] = ..., matched_events: _Optional[_Iterable[_Union[MatchedEvent, _Mapping]]] = ..., leaf_moves: _Optional[_Iterable[_Union[LeafMove, _Mapping]]] = ...) -> None: ...

class MatchedEvent(_message.Message):
    __slots__ = ("workspace_id", "profile_id", "assignment_version", "leaf_id", "fact_id", "filter_ids", "occurred_at_us", "recorded_at_us", "properties")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEAF_ID_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_IDS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    profile_id: bytes
    assignment_version: int
    leaf_id: bytes
    fact_id: bytes
    filter_ids: _containers.RepeatedScalarFieldContainer[int]
    occurred_at_us: int
    recorded_at_us: int
    properties: bytes
    def __init__(self, workspace_id: _Optional[str] = ..., profile_id: _Optional[bytes] = ..., assignment_version: _Optional[int] = ..., leaf_id: _Optional[bytes] = ..., fact_id: _Optional[bytes] = ..., filter_ids: _Optional[_Iterable[int]] = ..., occurred_at_us: _Optional[int] = ..., recorded_at_us: _Optional[int] = ..., properties: _Optional[bytes] = ...) -> None: ...

class LeafMove(_message.Message):
    __slots__ = ("workspace_id", "leaf_id", "profile_id", "version", "before_profile_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    LEAF_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    leaf_id: bytes
    profile_id: bytes
    version: int
    before_profile_id: bytes
    def __init__(self, workspace_id: _Optional[str] = ..., leaf_id: _Optional[bytes] = ..., profile_id: _Optional[bytes] = ..., version: _Optional[int] = ..., before_profile_id: _Optional[bytes] = ...) -> None: ...

class ProfileChange(_message.Message):
    __slots__ = ("workspace_id", "profile_id", "version", "true_predicates", "merged_into", "changed_at_us", "by_time", "passed", "occurred_at_us", "by_event", "erased")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRUE_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    MERGED_INTO_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_TIME_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    BY_EVENT_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    profile_id: bytes
    version: int
    true_predicates: _containers.RepeatedScalarFieldContainer[int]
    merged_into: bytes
    changed_at_us: int
    by_time: bool
    passed: _containers.RepeatedCompositeFieldContainer[PassedState]
    occurred_at_us: int
    by_event: _containers.RepeatedCompositeFieldContainer[EventState]
    erased: bool
    def __init__(self, workspace_id: _Optional[str] = ..., profile_id: _Optional[bytes] = ..., version: _Optional[int] = ..., true_predicates: _Optional[_Iterable[int]] = ..., merged_into: _Optional[bytes] = ..., changed_at_us: _Optional[int] = ..., by_time: _Optional[bool] = ..., passed: _Optional[_Iterable[_Union[PassedState, _Mapping]]] = ..., occurred_at_us: _Optional[int] = ..., by_event: _Optional[_Iterable[_Union[EventState, _Mapping]]] = ..., erased: _Optional[bool] = ...) -> None: ...

class PassedState(_message.Message):
    __slots__ = ("true_predicates", "changed_at_us")
    TRUE_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_US_FIELD_NUMBER: _ClassVar[int]
    true_predicates: _containers.RepeatedScalarFieldContainer[int]
    changed_at_us: int
    def __init__(self, true_predicates: _Optional[_Iterable[int]] = ..., changed_at_us: _Optional[int] = ...) -> None: ...

class EventState(_message.Message):
    __slots__ = ("true_predicates", "occurred_at_us")
    TRUE_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    true_predicates: _containers.RepeatedScalarFieldContainer[int]
    occurred_at_us: int
    def __init__(self, true_predicates: _Optional[_Iterable[int]] = ..., occurred_at_us: _Optional[int] = ...) -> None: ...
