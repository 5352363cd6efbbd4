from onefold.profile.v1 import profile_facts_pb2 as _profile_facts_pb2
from onefold.profile.v1 import profile_service_pb2 as _profile_service_pb2
from onefold.profile.v1 import profile_stream_pb2 as _profile_stream_pb2
from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.segment.v1 import segment_facts_pb2 as _segment_facts_pb2
from onefold.segment.v1 import segment_stream_pb2 as _segment_stream_pb2
from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DefineSegmentRequest(_message.Message):
    __slots__ = ("segment", "dry_run", "etag", "assumed")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    segment: _segment_facts_pb2.SegmentDefined
    dry_run: bool
    etag: str
    assumed: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Reference]
    def __init__(self, segment: _Optional[_Union[_segment_facts_pb2.SegmentDefined, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ..., assumed: _Optional[_Iterable[_Union[_rule_pb2.Reference, _Mapping]]] = ...) -> None: ...

class DefineSegmentResponse(_message.Message):
    __slots__ = ("segment", "changed", "token", "etag")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    segment: _segment_facts_pb2.SegmentDefined
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, segment: _Optional[_Union[_segment_facts_pb2.SegmentDefined, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListSegmentsRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class SegmentSummary(_message.Message):
    __slots__ = ("segment", "size", "live", "etag")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    segment: _segment_facts_pb2.SegmentDefined
    size: int
    live: bool
    etag: str
    def __init__(self, segment: _Optional[_Union[_segment_facts_pb2.SegmentDefined, _Mapping]] = ..., size: _Optional[int] = ..., live: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class TagSize(_message.Message):
    __slots__ = ("segment_id", "size", "live")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    size: int
    live: bool
    def __init__(self, segment_id: _Optional[str] = ..., size: _Optional[int] = ..., live: _Optional[bool] = ...) -> None: ...

class ListSegmentsResponse(_message.Message):
    __slots__ = ("segments", "token", "tags")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[SegmentSummary]
    token: _token_pb2.Token
    tags: _containers.RepeatedCompositeFieldContainer[TagSize]
    def __init__(self, segments: _Optional[_Iterable[_Union[SegmentSummary, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., tags: _Optional[_Iterable[_Union[TagSize, _Mapping]]] = ...) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ("segment_id", "page_size", "page_token", "at_least", "as_of_us", "as_of_token")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TOKEN_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    page_size: int
    page_token: str
    at_least: _token_pb2.Token
    as_of_us: int
    as_of_token: _token_pb2.Token
    def __init__(self, segment_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_us: _Optional[int] = ..., as_of_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("profile_id", "since_us")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    since_us: int
    def __init__(self, profile_id: _Optional[str] = ..., since_us: _Optional[int] = ...) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ("members", "next_page_token", "token")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    next_page_token: str
    token: _token_pb2.Token
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListMembershipsRequest(_message.Message):
    __slots__ = ("profile_id", "identifier", "at_least", "only_current")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    ONLY_CURRENT_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier: _identifier_pb2.Identifier
    at_least: _token_pb2.Token
    only_current: bool
    def __init__(self, profile_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., only_current: _Optional[bool] = ...) -> None: ...

class ListMembershipsResponse(_message.Message):
    __slots__ = ("profile_id", "segment_ids", "history", "token", "stays")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    STAYS_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    segment_ids: _containers.RepeatedScalarFieldContainer[str]
    history: _containers.RepeatedCompositeFieldContainer[_segment_stream_pb2.MembershipChange]
    token: _token_pb2.Token
    stays: _containers.RepeatedCompositeFieldContainer[Stay]
    def __init__(self, profile_id: _Optional[str] = ..., segment_ids: _Optional[_Iterable[str]] = ..., history: _Optional[_Iterable[_Union[_segment_stream_pb2.MembershipChange, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., stays: _Optional[_Iterable[_Union[Stay, _Mapping]]] = ...) -> None: ...

class Stay(_message.Message):
    __slots__ = ("segment_id", "entered_at_us", "left_at_us", "duration_us", "segment_version", "entered_cause", "left_cause")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ENTERED_AT_US_FIELD_NUMBER: _ClassVar[int]
    LEFT_AT_US_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENTERED_CAUSE_FIELD_NUMBER: _ClassVar[int]
    LEFT_CAUSE_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    entered_at_us: int
    left_at_us: int
    duration_us: int
    segment_version: int
    entered_cause: _segment_stream_pb2.MembershipCause
    left_cause: _segment_stream_pb2.MembershipCause
    def __init__(self, segment_id: _Optional[str] = ..., entered_at_us: _Optional[int] = ..., left_at_us: _Optional[int] = ..., duration_us: _Optional[int] = ..., segment_version: _Optional[int] = ..., entered_cause: _Optional[_Union[_segment_stream_pb2.MembershipCause, str]] = ..., left_cause: _Optional[_Union[_segment_stream_pb2.MembershipCause, str]] = ...) -> None: ...

class PreviewMembershipsRequest(_message.Message):
    __slots__ = ("evaluations", "at_least")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[_profile_stream_pb2.ProfileChange]
    at_least: _token_pb2.Token
    def __init__(self, evaluations: _Optional[_Iterable[_Union[_profile_stream_pb2.ProfileChange, _Mapping]]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class PreviewMembershipsResponse(_message.Message):
    __slots__ = ("changes", "token")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[_segment_stream_pb2.MembershipChange]
    token: _token_pb2.Token
    def __init__(self, changes: _Optional[_Iterable[_Union[_segment_stream_pb2.MembershipChange, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class WatchMembershipsRequest(_message.Message):
    __slots__ = ("segment_ids", "from_position")
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    FROM_POSITION_FIELD_NUMBER: _ClassVar[int]
    segment_ids: _containers.RepeatedScalarFieldContainer[str]
    from_position: _token_pb2.StreamPosition
    def __init__(self, segment_ids: _Optional[_Iterable[str]] = ..., from_position: _Optional[_Union[_token_pb2.StreamPosition, _Mapping]] = ...) -> None: ...

class WatchMembershipsResponse(_message.Message):
    __slots__ = ("changes", "position")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[_segment_stream_pb2.MembershipChange]
    position: _token_pb2.StreamPosition
    def __init__(self, changes: _Optional[_Iterable[_Union[_segment_stream_pb2.MembershipChange, _Mapping]]] = ..., position: _Optional[_Union[_token_pb2.StreamPosition, _Mapping]] = ...) -> None: ...

class ReadOutboxRequest(_message.Message):
    __slots__ = ("shard", "from_sequence", "end_sequence", "life")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    END_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    from_sequence: int
    end_sequence: int
    life: int
    def __init__(self, shard: _Optional[int] = ..., from_sequence: _Optional[int] = ..., end_sequence: _Optional[int] = ..., life: _Optional[int] = ...) -> None: ...

class ReadOutboxResponse(_message.Message):
    __slots__ = ("batch", "next_sequence", "life")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    batch: _segment_stream_pb2.MembershipsChanged
    next_sequence: int
    life: int
    def __init__(self, batch: _Optional[_Union[_segment_stream_pb2.MembershipsChanged, _Mapping]] = ..., next_sequence: _Optional[int] = ..., life: _Optional[int] = ...) -> None: ...

class ComputeSetRequest(_message.Message):
    __slots__ = ("expression", "page_size", "page_token", "at_least")
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    expression: _segment_facts_pb2.SetExpression
    page_size: int
    page_token: str
    at_least: _token_pb2.Token
    def __init__(self, expression: _Optional[_Union[_segment_facts_pb2.SetExpression, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ComputeSetResponse(_message.Message):
    __slots__ = ("size", "profile_ids", "next_page_token", "token")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    size: int
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    token: _token_pb2.Token
    def __init__(self, size: _Optional[int] = ..., profile_ids: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class OverlapSegmentsRequest(_message.Message):
    __slots__ = ("segment_ids", "at_least")
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    segment_ids: _containers.RepeatedScalarFieldContainer[str]
    at_least: _token_pb2.Token
    def __init__(self, segment_ids: _Optional[_Iterable[str]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class OverlapRow(_message.Message):
    __slots__ = ("segment_id", "sizes")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, segment_id: _Optional[str] = ..., sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class OverlapSegmentsResponse(_message.Message):
    __slots__ = ("rows", "token")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[OverlapRow]
    token: _token_pb2.Token
    def __init__(self, rows: _Optional[_Iterable[_Union[OverlapRow, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class CreateSnapshotRequest(_message.Message):
    __slots__ = ("name", "title", "expression", "at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    expression: _segment_facts_pb2.SetExpression
    at: _token_pb2.Token
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., expression: _Optional[_Union[_segment_facts_pb2.SetExpression, _Mapping]] = ..., at: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class CreateSnapshotResponse(_message.Message):
    __slots__ = ("snapshot", "created", "token")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    created: bool
    token: _token_pb2.Token
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., created: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("segment_id", "title", "expression", "at")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    title: str
    expression: _segment_facts_pb2.SetExpression
    at: _token_pb2.Token
    def __init__(self, segment_id: _Optional[str] = ..., title: _Optional[str] = ..., expression: _Optional[_Union[_segment_facts_pb2.SetExpression, _Mapping]] = ..., at: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class RemoveSnapshotRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveSnapshotResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots", "token")
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    token: _token_pb2.Token
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class PreviewSegmentRequest(_message.Message):
    __slots__ = ("segment", "tag", "sample_size", "at_least")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_SIZE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    segment: _segment_facts_pb2.SegmentDefined
    tag: _profile_facts_pb2.TagDefined
    sample_size: int
    at_least: _token_pb2.Token
    def __init__(self, segment: _Optional[_Union[_segment_facts_pb2.SegmentDefined, _Mapping]] = ..., tag: _Optional[_Union[_profile_facts_pb2.TagDefined, _Mapping]] = ..., sample_size: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class PreviewSegmentResponse(_message.Message):
    __slots__ = ("members", "profiles", "evaluated", "new_predicates", "retained", "token")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_FIELD_NUMBER: _ClassVar[int]
    NEW_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    RETAINED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[PreviewedMembers]
    profiles: int
    evaluated: int
    new_predicates: int
    retained: int
    token: _token_pb2.Token
    def __init__(self, members: _Optional[_Iterable[_Union[PreviewedMembers, _Mapping]]] = ..., profiles: _Optional[int] = ..., evaluated: _Optional[int] = ..., new_predicates: _Optional[int] = ..., retained: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    value: int
    low: int
    high: int
    def __init__(self, value: _Optional[int] = ..., low: _Optional[int] = ..., high: _Optional[int] = ...) -> None: ...

class PreviewedMembers(_message.Message):
    __slots__ = ("segment_id", "size", "entering", "leaving", "sample", "entering_profile_ids", "leaving_profile_ids")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ENTERING_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    ENTERING_PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    size: Estimate
    entering: Estimate
    leaving: Estimate
    sample: _containers.RepeatedCompositeFieldContainer[PreviewedProfile]
    entering_profile_ids: _containers.RepeatedScalarFieldContainer[str]
    leaving_profile_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, segment_id: _Optional[str] = ..., size: _Optional[_Union[Estimate, _Mapping]] = ..., entering: _Optional[_Union[Estimate, _Mapping]] = ..., leaving: _Optional[_Union[Estimate, _Mapping]] = ..., sample: _Optional[_Iterable[_Union[PreviewedProfile, _Mapping]]] = ..., entering_profile_ids: _Optional[_Iterable[str]] = ..., leaving_profile_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class PreviewedProfile(_message.Message):
    __slots__ = ("profile_id", "predicates")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    PREDICATES_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    predicates: _containers.RepeatedCompositeFieldContainer[_profile_service_pb2.PredicateResult]
    def __init__(self, profile_id: _Optional[str] = ..., predicates: _Optional[_Iterable[_Union[_profile_service_pb2.PredicateResult, _Mapping]]] = ...) -> None: ...

class JudgeQuestion(_message.Message):
    __slots__ = ("workspace_id", "profile_id", "rule", "at_us")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    profile_id: bytes
    rule: _rule_pb2.Rule
    at_us: int
    def __init__(self, workspace_id: _Optional[str] = ..., profile_id: _Optional[bytes] = ..., rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., at_us: _Optional[int] = ...) -> None: ...

class JudgeRequest(_message.Message):
    __slots__ = ("questions", "at_least")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[JudgeQuestion]
    at_least: _token_pb2.Token
    def __init__(self, questions: _Optional[_Iterable[_Union[JudgeQuestion, _Mapping]]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class JudgeAnswer(_message.Message):
    __slots__ = ("is_true",)
    IS_TRUE_FIELD_NUMBER: _ClassVar[int]
    is_true: bool
    def __init__(self, is_true: _Optional[bool] = ...) -> None: ...

class JudgeResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[JudgeAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[JudgeAnswer, _Mapping]]] = ...) -> None: ...
