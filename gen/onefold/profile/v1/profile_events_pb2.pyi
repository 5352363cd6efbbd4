from onefold.log.v1 import log_pb2 as _log_pb2
from onefold.rule.v1 import rule_pb2 as _rule_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProfilesChanged(_message.Message):
    __slots__ = ("shard", "sequence", "log_offset", "log_time_us", "changes", "facts", "live_predicates", "live_workspace_id")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    LIVE_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    LIVE_WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    shard: int
    sequence: int
    log_offset: int
    log_time_us: int
    changes: _containers.RepeatedCompositeFieldContainer[ProfileChange]
    facts: _containers.RepeatedCompositeFieldContainer[_log_pb2.Fact]
    live_predicates: _containers.RepeatedScalarFieldContainer[int]
    live_workspace_id: str
    def __init__(self, shard: _Optional[int] = ..., sequence: _Optional[int] = ..., log_offset: _Optional[int] = ..., log_time_us: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[ProfileChange, _Mapping]]] = ..., facts: _Optional[_Iterable[_Union[_log_pb2.Fact, _Mapping]]] = ..., live_predicates: _Optional[_Iterable[int]] = ..., live_workspace_id: _Optional[str] = ...) -> None: ...

class ProfileChange(_message.Message):
    __slots__ = ("workspace_id", "profile_id", "version", "holds", "merged_into", "at_us")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    MERGED_INTO_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    profile_id: bytes
    version: int
    holds: _containers.RepeatedScalarFieldContainer[int]
    merged_into: bytes
    at_us: int
    def __init__(self, workspace_id: _Optional[str] = ..., profile_id: _Optional[bytes] = ..., version: _Optional[int] = ..., holds: _Optional[_Iterable[int]] = ..., merged_into: _Optional[bytes] = ..., at_us: _Optional[int] = ...) -> None: ...

class TagDefined(_message.Message):
    __slots__ = ("tag_id", "title", "rule", "version", "retired")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    tag_id: str
    title: str
    rule: _rule_pb2.Rule
    version: int
    retired: bool
    def __init__(self, tag_id: _Optional[str] = ..., title: _Optional[str] = ..., rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...
