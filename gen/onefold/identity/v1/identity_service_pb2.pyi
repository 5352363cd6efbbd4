from onefold.identity.v1 import identity_facts_pb2 as _identity_facts_pb2
from onefold.identity.v1 import identity_stream_pb2 as _identity_stream_pb2
from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HeldReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HELD_REASON_UNSPECIFIED: _ClassVar[HeldReason]
    HELD_REASON_BLOCKED: _ClassVar[HeldReason]
    HELD_REASON_IGNORED: _ClassVar[HeldReason]
    HELD_REASON_SHARED: _ClassVar[HeldReason]
    HELD_REASON_RECYCLED: _ClassVar[HeldReason]
    HELD_REASON_LIMIT: _ClassVar[HeldReason]
    HELD_REASON_SEPARATED: _ClassVar[HeldReason]
    HELD_REASON_OTHER_PERSON: _ClassVar[HeldReason]
    HELD_REASON_UNTRUSTED: _ClassVar[HeldReason]
    HELD_REASON_TOO_MANY_CLAIMS: _ClassVar[HeldReason]
HELD_REASON_UNSPECIFIED: HeldReason
HELD_REASON_BLOCKED: HeldReason
HELD_REASON_IGNORED: HeldReason
HELD_REASON_SHARED: HeldReason
HELD_REASON_RECYCLED: HeldReason
HELD_REASON_LIMIT: HeldReason
HELD_REASON_SEPARATED: HeldReason
HELD_REASON_OTHER_PERSON: HeldReason
HELD_REASON_UNTRUSTED: HeldReason
HELD_REASON_TOO_MANY_CLAIMS: HeldReason

class LookupProfilesRequest(_message.Message):
    __slots__ = ("identifiers", "profile_ids", "at_least", "purpose")
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    at_least: _token_pb2.Token
    purpose: str
    def __init__(self, identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., profile_ids: _Optional[_Iterable[str]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., purpose: _Optional[str] = ...) -> None: ...

class LookupProfilesResponse(_message.Message):
    __slots__ = ("profile_ids", "token", "identifier_ids", "versions")
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_IDS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    token: _token_pb2.Token
    identifier_ids: _containers.RepeatedScalarFieldContainer[str]
    versions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, profile_ids: _Optional[_Iterable[str]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., identifier_ids: _Optional[_Iterable[str]] = ..., versions: _Optional[_Iterable[int]] = ...) -> None: ...

class ListIdentifiersRequest(_message.Message):
    __slots__ = ("profile_id", "at_least", "as_of_token", "as_of_us")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    at_least: _token_pb2.Token
    as_of_token: _token_pb2.Token
    as_of_us: int
    def __init__(self, profile_id: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class ProfileIdentifier(_message.Message):
    __slots__ = ("identifier", "first_seen_us", "fact_id", "identifier_id")
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_ID_FIELD_NUMBER: _ClassVar[int]
    identifier: _identifier_pb2.Identifier
    first_seen_us: int
    fact_id: str
    identifier_id: str
    def __init__(self, identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., first_seen_us: _Optional[int] = ..., fact_id: _Optional[str] = ..., identifier_id: _Optional[str] = ...) -> None: ...

class ListIdentifiersResponse(_message.Message):
    __slots__ = ("profile_id", "identifiers", "token")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[ProfileIdentifier]
    token: _token_pb2.Token
    def __init__(self, profile_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[ProfileIdentifier, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetGraphRequest(_message.Message):
    __slots__ = ("profile_id", "at_least")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    at_least: _token_pb2.Token
    def __init__(self, profile_id: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GraphEdge(_message.Message):
    __slots__ = ("edge", "profile_id_a", "profile_id_b")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_A_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_B_FIELD_NUMBER: _ClassVar[int]
    edge: Edge
    profile_id_a: str
    profile_id_b: str
    def __init__(self, edge: _Optional[_Union[Edge, _Mapping]] = ..., profile_id_a: _Optional[str] = ..., profile_id_b: _Optional[str] = ...) -> None: ...

class RecordedDecision(_message.Message):
    __slots__ = ("a", "b", "decision", "actor", "reason", "occurred_at_us", "fact_id")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    a: _identifier_pb2.Identifier
    b: _identifier_pb2.Identifier
    decision: _identity_facts_pb2.Decision
    actor: str
    reason: str
    occurred_at_us: int
    fact_id: str
    def __init__(self, a: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., b: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., decision: _Optional[_Union[_identity_facts_pb2.Decision, str]] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., occurred_at_us: _Optional[int] = ..., fact_id: _Optional[str] = ...) -> None: ...

class GetGraphResponse(_message.Message):
    __slots__ = ("profile_id", "identifiers", "edges", "decisions", "identifier_count", "token")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[ProfileIdentifier]
    edges: _containers.RepeatedCompositeFieldContainer[GraphEdge]
    decisions: _containers.RepeatedCompositeFieldContainer[RecordedDecision]
    identifier_count: int
    token: _token_pb2.Token
    def __init__(self, profile_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[ProfileIdentifier, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[GraphEdge, _Mapping]]] = ..., decisions: _Optional[_Iterable[_Union[RecordedDecision, _Mapping]]] = ..., identifier_count: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ExplainMatchRequest(_message.Message):
    __slots__ = ("a", "b", "at_least", "as_of")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    a: _identifier_pb2.Identifier
    b: _identifier_pb2.Identifier
    at_least: _token_pb2.Token
    as_of: _token_pb2.Token
    def __init__(self, a: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., b: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("a", "b", "kind", "fact_id", "first_seen_us", "last_seen_us", "held_reason", "held_namespace", "actor", "reason")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    HELD_REASON_FIELD_NUMBER: _ClassVar[int]
    HELD_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    a: _identifier_pb2.Identifier
    b: _identifier_pb2.Identifier
    kind: _identity_facts_pb2.EvidenceKind
    fact_id: str
    first_seen_us: int
    last_seen_us: int
    held_reason: HeldReason
    held_namespace: str
    actor: str
    reason: str
    def __init__(self, a: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., b: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., kind: _Optional[_Union[_identity_facts_pb2.EvidenceKind, str]] = ..., fact_id: _Optional[str] = ..., first_seen_us: _Optional[int] = ..., last_seen_us: _Optional[int] = ..., held_reason: _Optional[_Union[HeldReason, str]] = ..., held_namespace: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ExplainMatchResponse(_message.Message):
    __slots__ = ("same", "profile_id_a", "profile_id_b", "path", "policy_version", "token")
    SAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_A_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_B_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    same: bool
    profile_id_a: str
    profile_id_b: str
    path: _containers.RepeatedCompositeFieldContainer[Edge]
    policy_version: int
    token: _token_pb2.Token
    def __init__(self, same: _Optional[bool] = ..., profile_id_a: _Optional[str] = ..., profile_id_b: _Optional[str] = ..., path: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., policy_version: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class RecordDecisionRequest(_message.Message):
    __slots__ = ("a", "b", "decision", "reason")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    a: _identifier_pb2.Identifier
    b: _identifier_pb2.Identifier
    decision: _identity_facts_pb2.Decision
    reason: str
    def __init__(self, a: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., b: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., decision: _Optional[_Union[_identity_facts_pb2.Decision, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class RecordDecisionResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class RequestErasureRequest(_message.Message):
    __slots__ = ("identifier", "profile_id", "legal_ground", "block", "dry_run")
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    LEGAL_GROUND_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    identifier: _identifier_pb2.Identifier
    profile_id: str
    legal_ground: str
    block: bool
    dry_run: bool
    def __init__(self, identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., profile_id: _Optional[str] = ..., legal_ground: _Optional[str] = ..., block: _Optional[bool] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class RequestErasureResponse(_message.Message):
    __slots__ = ("request_id", "profile_id", "identifiers", "related_identifiers", "token")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    RELATED_IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    profile_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    related_identifiers: int
    token: _token_pb2.Token
    def __init__(self, request_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., related_identifiers: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListHeldRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "reason", "at_least", "weakest")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    WEAKEST_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    reason: HeldReason
    at_least: _token_pb2.Token
    weakest: _identity_facts_pb2.EvidenceKind
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., reason: _Optional[_Union[HeldReason, str]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., weakest: _Optional[_Union[_identity_facts_pb2.EvidenceKind, str]] = ...) -> None: ...

class HeldEdge(_message.Message):
    __slots__ = ("edge", "profile_id_a", "profile_id_b", "clash")
    EDGE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_A_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_B_FIELD_NUMBER: _ClassVar[int]
    CLASH_FIELD_NUMBER: _ClassVar[int]
    edge: Edge
    profile_id_a: str
    profile_id_b: str
    clash: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    def __init__(self, edge: _Optional[_Union[Edge, _Mapping]] = ..., profile_id_a: _Optional[str] = ..., profile_id_b: _Optional[str] = ..., clash: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ...) -> None: ...

class HeldCount(_message.Message):
    __slots__ = ("reason", "kind", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: HeldReason
    kind: _identity_facts_pb2.EvidenceKind
    count: int
    def __init__(self, reason: _Optional[_Union[HeldReason, str]] = ..., kind: _Optional[_Union[_identity_facts_pb2.EvidenceKind, str]] = ..., count: _Optional[int] = ...) -> None: ...

class ListHeldResponse(_message.Message):
    __slots__ = ("held", "next_page_token", "token", "counts")
    HELD_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    held: _containers.RepeatedCompositeFieldContainer[HeldEdge]
    next_page_token: str
    token: _token_pb2.Token
    counts: _containers.RepeatedCompositeFieldContainer[HeldCount]
    def __init__(self, held: _Optional[_Iterable[_Union[HeldEdge, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., counts: _Optional[_Iterable[_Union[HeldCount, _Mapping]]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy", "version", "live", "token", "etag")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    policy: _identity_facts_pb2.IdentityPolicy
    version: int
    live: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, policy: _Optional[_Union[_identity_facts_pb2.IdentityPolicy, _Mapping]] = ..., version: _Optional[int] = ..., live: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class DefinePolicyRequest(_message.Message):
    __slots__ = ("policy", "dry_run", "etag")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    policy: _identity_facts_pb2.IdentityPolicy
    dry_run: bool
    etag: str
    def __init__(self, policy: _Optional[_Union[_identity_facts_pb2.IdentityPolicy, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefinePolicyResponse(_message.Message):
    __slots__ = ("version", "changed", "token", "etag")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    version: int
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, version: _Optional[int] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class PreviewPolicyRequest(_message.Message):
    __slots__ = ("policy", "at_least")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    policy: _identity_facts_pb2.IdentityPolicy
    at_least: _token_pb2.Token
    def __init__(self, policy: _Optional[_Union[_identity_facts_pb2.IdentityPolicy, _Mapping]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ProfileGroup(_message.Message):
    __slots__ = ("profile_id", "identifier_ids")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_IDS_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, profile_id: _Optional[str] = ..., identifier_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Regrouping(_message.Message):
    __slots__ = ("before", "after")
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    before: _containers.RepeatedCompositeFieldContainer[ProfileGroup]
    after: _containers.RepeatedCompositeFieldContainer[ProfileGroup]
    def __init__(self, before: _Optional[_Iterable[_Union[ProfileGroup, _Mapping]]] = ..., after: _Optional[_Iterable[_Union[ProfileGroup, _Mapping]]] = ...) -> None: ...

class PolicyPreviewTotals(_message.Message):
    __slots__ = ("profiles_before", "profiles_after", "biggest_before", "biggest_after", "held_before", "held_after")
    PROFILES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PROFILES_AFTER_FIELD_NUMBER: _ClassVar[int]
    BIGGEST_BEFORE_FIELD_NUMBER: _ClassVar[int]
    BIGGEST_AFTER_FIELD_NUMBER: _ClassVar[int]
    HELD_BEFORE_FIELD_NUMBER: _ClassVar[int]
    HELD_AFTER_FIELD_NUMBER: _ClassVar[int]
    profiles_before: int
    profiles_after: int
    biggest_before: _containers.RepeatedScalarFieldContainer[int]
    biggest_after: _containers.RepeatedScalarFieldContainer[int]
    held_before: int
    held_after: int
    def __init__(self, profiles_before: _Optional[int] = ..., profiles_after: _Optional[int] = ..., biggest_before: _Optional[_Iterable[int]] = ..., biggest_after: _Optional[_Iterable[int]] = ..., held_before: _Optional[int] = ..., held_after: _Optional[int] = ...) -> None: ...

class PreviewPolicyResponse(_message.Message):
    __slots__ = ("regrouping", "totals", "token")
    REGROUPING_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    regrouping: Regrouping
    totals: PolicyPreviewTotals
    token: _token_pb2.Token
    def __init__(self, regrouping: _Optional[_Union[Regrouping, _Mapping]] = ..., totals: _Optional[_Union[PolicyPreviewTotals, _Mapping]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class AssessMatchesRequest(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[_identity_facts_pb2.MatchAssessed]
    def __init__(self, matches: _Optional[_Iterable[_Union[_identity_facts_pb2.MatchAssessed, _Mapping]]] = ...) -> None: ...

class AssessMatchesResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListMatchesRequest(_message.Message):
    __slots__ = ("assessment", "page_size", "page_token", "at_least")
    ASSESSMENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    assessment: _identity_facts_pb2.Assessment
    page_size: int
    page_token: str
    at_least: _token_pb2.Token
    def __init__(self, assessment: _Optional[_Union[_identity_facts_pb2.Assessment, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListMatchesResponse(_message.Message):
    __slots__ = ("matches", "next_page_token", "token")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[_identity_facts_pb2.MatchAssessed]
    next_page_token: str
    token: _token_pb2.Token
    def __init__(self, matches: _Optional[_Iterable[_Union[_identity_facts_pb2.MatchAssessed, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class WatchMergesRequest(_message.Message):
    __slots__ = ("from_token",)
    FROM_TOKEN_FIELD_NUMBER: _ClassVar[int]
    from_token: _token_pb2.Token
    def __init__(self, from_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ProfileMove(_message.Message):
    __slots__ = ("before_profile_id", "after_profile_id", "identifiers")
    BEFORE_PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    before_profile_id: str
    after_profile_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    def __init__(self, before_profile_id: _Optional[str] = ..., after_profile_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ...) -> None: ...

class WatchMergesResponse(_message.Message):
    __slots__ = ("moves", "token")
    MOVES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    moves: _containers.RepeatedCompositeFieldContainer[ProfileMove]
    token: _token_pb2.Token
    def __init__(self, moves: _Optional[_Iterable[_Union[ProfileMove, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ReadOutboxRequest(_message.Message):
    __slots__ = ("shard", "from_offset", "end_offset", "life")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FROM_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    from_offset: int
    end_offset: int
    life: int
    def __init__(self, shard: _Optional[int] = ..., from_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., life: _Optional[int] = ...) -> None: ...

class ReadOutboxResponse(_message.Message):
    __slots__ = ("batch", "life")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    batch: _identity_stream_pb2.FactsAttributed
    life: int
    def __init__(self, batch: _Optional[_Union[_identity_stream_pb2.FactsAttributed, _Mapping]] = ..., life: _Optional[int] = ...) -> None: ...

class ReadRebuildPagesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadRebuildPagesResponse(_message.Message):
    __slots__ = ("fact_batch",)
    FACT_BATCH_FIELD_NUMBER: _ClassVar[int]
    fact_batch: bytes
    def __init__(self, fact_batch: _Optional[bytes] = ...) -> None: ...

class ReadAssignmentsRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ReadAssignmentsResponse(_message.Message):
    __slots__ = ("assignments", "token")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[_identity_stream_pb2.Assignment]
    token: _token_pb2.Token
    def __init__(self, assignments: _Optional[_Iterable[_Union[_identity_stream_pb2.Assignment, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...
