from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Strength(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRENGTH_UNSPECIFIED: _ClassVar[Strength]
    STRENGTH_DECIDED: _ClassVar[Strength]
    STRENGTH_STATED: _ClassVar[Strength]
    STRENGTH_VERIFIED: _ClassVar[Strength]
    STRENGTH_OBSERVED: _ClassVar[Strength]
    STRENGTH_BESIDE: _ClassVar[Strength]

class Linking(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINKING_UNSPECIFIED: _ClassVar[Linking]
    LINKING_ALWAYS: _ClassVar[Linking]
    LINKING_VERIFIED: _ClassVar[Linking]
    LINKING_NEVER: _ClassVar[Linking]

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_LINK: _ClassVar[Decision]
    DECISION_SEPARATE: _ClassVar[Decision]
    DECISION_WITHDRAW: _ClassVar[Decision]

class Judgement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JUDGEMENT_UNSPECIFIED: _ClassVar[Judgement]
    JUDGEMENT_ACCEPTED: _ClassVar[Judgement]
    JUDGEMENT_TO_REVIEW: _ClassVar[Judgement]
    JUDGEMENT_REJECTED: _ClassVar[Judgement]
STRENGTH_UNSPECIFIED: Strength
STRENGTH_DECIDED: Strength
STRENGTH_STATED: Strength
STRENGTH_VERIFIED: Strength
STRENGTH_OBSERVED: Strength
STRENGTH_BESIDE: Strength
LINKING_UNSPECIFIED: Linking
LINKING_ALWAYS: Linking
LINKING_VERIFIED: Linking
LINKING_NEVER: Linking
DECISION_UNSPECIFIED: Decision
DECISION_LINK: Decision
DECISION_SEPARATE: Decision
DECISION_WITHDRAW: Decision
JUDGEMENT_UNSPECIFIED: Judgement
JUDGEMENT_ACCEPTED: Judgement
JUDGEMENT_TO_REVIEW: Judgement
JUDGEMENT_REJECTED: Judgement

class NamespacePolicy(_message.Message):
    __slots__ = ("namespace", "limit", "shared_after", "given_up_after_days", "linking")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SHARED_AFTER_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_AFTER_DAYS_FIELD_NUMBER: _ClassVar[int]
    LINKING_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    limit: int
    shared_after: int
    given_up_after_days: int
    linking: Linking
    def __init__(self, namespace: _Optional[str] = ..., limit: _Optional[int] = ..., shared_after: _Optional[int] = ..., given_up_after_days: _Optional[int] = ..., linking: _Optional[_Union[Linking, str]] = ...) -> None: ...

class BlockedValue(_message.Message):
    __slots__ = ("namespace", "pattern")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pattern: str
    def __init__(self, namespace: _Optional[str] = ..., pattern: _Optional[str] = ...) -> None: ...

class IdentityPolicy(_message.Message):
    __slots__ = ("namespaces", "blocked", "ignored")
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespacePolicy]
    blocked: _containers.RepeatedCompositeFieldContainer[BlockedValue]
    ignored: _containers.RepeatedScalarFieldContainer[Strength]
    def __init__(self, namespaces: _Optional[_Iterable[_Union[NamespacePolicy, _Mapping]]] = ..., blocked: _Optional[_Iterable[_Union[BlockedValue, _Mapping]]] = ..., ignored: _Optional[_Iterable[_Union[Strength, str]]] = ...) -> None: ...

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

class MatchJudged(_message.Message):
    __slots__ = ("a", "b", "judgement", "probability", "model_version", "purposes", "weights")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    a: _identifier_pb2.Identifier
    b: _identifier_pb2.Identifier
    judgement: Judgement
    probability: float
    model_version: str
    purposes: _containers.RepeatedScalarFieldContainer[str]
    weights: _containers.RepeatedCompositeFieldContainer[MatchWeight]
    def __init__(self, a: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., b: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., judgement: _Optional[_Union[Judgement, str]] = ..., probability: _Optional[float] = ..., model_version: _Optional[str] = ..., purposes: _Optional[_Iterable[str]] = ..., weights: _Optional[_Iterable[_Union[MatchWeight, _Mapping]]] = ...) -> None: ...

class MatchWeight(_message.Message):
    __slots__ = ("comparison", "outcome", "log2_bayes_factor")
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LOG2_BAYES_FACTOR_FIELD_NUMBER: _ClassVar[int]
    comparison: str
    outcome: str
    log2_bayes_factor: float
    def __init__(self, comparison: _Optional[str] = ..., outcome: _Optional[str] = ..., log2_bayes_factor: _Optional[float] = ...) -> None: ...
