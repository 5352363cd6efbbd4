from onefold.log.v1 import log_pb2 as _log_pb2
from onefold.profile.v1 import profile_stream_pb2 as _profile_stream_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MembershipCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBERSHIP_CAUSE_UNSPECIFIED: _ClassVar[MembershipCause]
    MEMBERSHIP_CAUSE_RULE: _ClassVar[MembershipCause]
    MEMBERSHIP_CAUSE_MERGE: _ClassVar[MembershipCause]
    MEMBERSHIP_CAUSE_DEFINITION: _ClassVar[MembershipCause]
    MEMBERSHIP_CAUSE_TIME: _ClassVar[MembershipCause]
MEMBERSHIP_CAUSE_UNSPECIFIED: MembershipCause
MEMBERSHIP_CAUSE_RULE: MembershipCause
MEMBERSHIP_CAUSE_MERGE: MembershipCause
MEMBERSHIP_CAUSE_DEFINITION: MembershipCause
MEMBERSHIP_CAUSE_TIME: MembershipCause

class MembershipsChanged(_message.Message):
    __slots__ = ("shard", "sequence", "log_offset", "log_time_us", "changes", "broadcast_facts", "matched_events", "leaf_moves")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    BROADCAST_FACTS_FIELD_NUMBER: _ClassVar[int]
    MATCHED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    LEAF_MOVES_FIELD_NUMBER: _ClassVar[int]
    shard: int
    sequence: int
    log_offset: int
    log_time_us: int
    changes: _containers.RepeatedCompositeFieldContainer[MembershipChange]
    broadcast_facts: _containers.RepeatedCompositeFieldContainer[_log_pb2.Fact]
    matched_events: _containers.RepeatedCompositeFieldContainer[_profile_stream_pb2.MatchedEvent]
    leaf_moves: _containers.RepeatedCompositeFieldContainer[_profile_stream_pb2.LeafMove]
    def __init__(self, shard: _Optional[int] = ..., sequence: _Optional[int] = ..., log_offset: _Optional[int] = ..., log_time_us: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[MembershipChange, _Mapping]]] = ..., broadcast_facts: _Optional[_Iterable[_Union[_log_pb2.Fact, _Mapping]]] = ..., matched_events: _Optional[_Iterable[_Union[_profile_stream_pb2.MatchedEvent, _Mapping]]] = ..., leaf_moves: _Optional[_Iterable[_Union[_profile_stream_pb2.LeafMove, _Mapping]]] = ...) -> None: ...

class MembershipChange(_message.Message):
    __slots__ = ("workspace_id", "segment_id", "segment_version", "profile_id", "entered", "ordinal", "changed_at_us", "cause", "other_profile_id", "occurred_at_us")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    ENTERED_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    OTHER_PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    segment_id: str
    segment_version: int
    profile_id: bytes
    entered: bool
    ordinal: int
    changed_at_us: int
    cause: MembershipCause
    other_profile_id: bytes
    occurred_at_us: int
    def __init__(self, workspace_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., segment_version: _Optional[int] = ..., profile_id: _Optional[bytes] = ..., entered: _Optional[bool] = ..., ordinal: _Optional[int] = ..., changed_at_us: _Optional[int] = ..., cause: _Optional[_Union[MembershipCause, str]] = ..., other_profile_id: _Optional[bytes] = ..., occurred_at_us: _Optional[int] = ...) -> None: ...
