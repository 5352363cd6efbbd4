from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvidenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVIDENCE_KIND_UNSPECIFIED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_DECIDED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_STATED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_VERIFIED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_OBSERVED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_CO_OBSERVED: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_CLAIMED: _ClassVar[EvidenceKind]

class MatchMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_MODE_UNSPECIFIED: _ClassVar[MatchMode]
    MATCH_MODE_ALWAYS: _ClassVar[MatchMode]
    MATCH_MODE_VERIFIED: _ClassVar[MatchMode]
    MATCH_MODE_NEVER: _ClassVar[MatchMode]

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_LINK: _ClassVar[Decision]
    DECISION_SEPARATE: _ClassVar[Decision]
    DECISION_WITHDRAW: _ClassVar[Decision]

class Assessment(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSESSMENT_UNSPECIFIED: _ClassVar[Assessment]
    ASSESSMENT_ACCEPTED: _ClassVar[Assessment]
    ASSESSMENT_TO_REVIEW: _ClassVar[Assessment]
    ASSESSMENT_REJECTED: _ClassVar[Assessment]
EVIDENCE_KIND_UNSPECIFIED: EvidenceKind
EVIDENCE_KIND_DECIDED: EvidenceKind
EVIDENCE_KIND_STATED: EvidenceKind
EVIDENCE_KIND_VERIFIED: EvidenceKind
EVIDENCE_KIND_OBSERVED: EvidenceKind
EVIDENCE_KIND_CO_OBSERVED: EvidenceKind
EVIDENCE_KIND_CLAIMED: EvidenceKind
MATCH_MODE_UNSPECIFIED: MatchMode
MATCH_MODE_ALWAYS: MatchMode
MATCH_MODE_VERIFIED: MatchMode
MATCH_MODE_NEVER: MatchMode
DECISION_UNSPECIFIED: Decision
DECISION_LINK: Decision
DECISION_SEPARATE: Decision
DECISION_WITHDRAW: Decision
ASSESSMENT_UNSPECIFIED: Assessment
ASSESSMENT_ACCEPTED: Assessment
ASSESSMENT_TO_REVIEW: Assessment
ASSESSMENT_REJECTED: Assessment

class NamespacePolicy(_message.Message):
    __slots__ = ("namespace", "limit", "shared_after", "recycled_after_days", "match_mode")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SHARED_AFTER_FIELD_NUMBER: _ClassVar[int]
    RECYCLED_AFTER_DAYS_FIELD_NUMBER: _ClassVar[int]
    MATCH_MODE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    limit: int
    shared_after: int
    recycled_after_days: int
    match_mode: MatchMode
    def __init__(self, namespace: _Optional[str] = ..., limit: _Optional[int] = ..., shared_after: _Optional[int] = ..., recycled_after_days: _Optional[int] = ..., match_mode: _Optional[_Union[MatchMode, str]] = ...) -> None: ...

class BlockedValue(_message.Message):
    __slots__ = ("namespace", "pattern")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pattern: str
    def __init__(self, namespace: _Optional[str] = ..., pattern: _Optional[str] = ...) -> None: ...

class IdentityPolicy(_message.Message):
    __slots__ = ("namespaces", "blocked", "ignored", "claimed_devices")
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_DEVICES_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespacePolicy]
    blocked: _containers.RepeatedCompositeFieldContainer[BlockedValue]
    ignored: _containers.RepeatedScalarFieldContainer[EvidenceKind]
    claimed_devices: int
    def __init__(self, namespaces: _Optional[_Iterable[_Union[NamespacePolicy, _Mapping]]] = ..., blocked: _Optional[_Iterable[_Union[BlockedValue, _Mapping]]] = ..., ignored: _Optional[_Iterable[_Union[EvidenceKind, str]]] = ..., claimed_devices: _Optional[int] = ...) -> None: ...

class IdentityPolicyDefined(_message.Message):
    __slots__ = ("policy", "version")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    policy: IdentityPolicy
    version: int
    def __init__(self, policy: _Optional[_Union[IdentityPolicy, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class LinkDecided(_message.Message):
    __slots__ = ("a", "b", "decision", "reason")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    a: _identifier_pb2.Identifier
    b: _identifier_pb2.Identifier
    decision: Decision
    reason: str
    def __init__(self, a: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., b: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., decision: _Optional[_Union[Decision, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class MatchAssessed(_message.Message):
    __slots__ = ("a", "b", "assessment", "probability", "model_version", "purposes", "weights")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    ASSESSMENT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    a: _identifier_pb2.Identifier
    b: _identifier_pb2.Identifier
    assessment: Assessment
    probability: float
    model_version: str
    purposes: _containers.RepeatedScalarFieldContainer[str]
    weights: _containers.RepeatedCompositeFieldContainer[MatchWeight]
    def __init__(self, a: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., b: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., assessment: _Optional[_Union[Assessment, str]] = ..., probability: _Optional[float] = ..., model_version: _Optional[str] = ..., purposes: _Optional[_Iterable[str]] = ..., weights: _Optional[_Iterable[_Union[MatchWeight, _Mapping]]] = ...) -> None: ...

class MatchWeight(_message.Message):
    __slots__ = ("comparison", "outcome", "log2_bayes_factor")
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LOG2_BAYES_FACTOR_FIELD_NUMBER: _ClassVar[int]
    comparison: str
    outcome: str
    log2_bayes_factor: float
    def __init__(self, comparison: _Optional[str] = ..., outcome: _Optional[str] = ..., log2_bayes_factor: _Optional[float] = ...) -> None: ...
