from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WithdrawalReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WITHDRAWAL_REASON_UNSPECIFIED: _ClassVar[WithdrawalReason]
    WITHDRAWAL_REASON_OVERTAKEN: _ClassVar[WithdrawalReason]
    WITHDRAWAL_REASON_ASLEEP: _ClassVar[WithdrawalReason]
    WITHDRAWAL_REASON_REVISED: _ClassVar[WithdrawalReason]

class RunEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_END_UNSPECIFIED: _ClassVar[RunEnd]
    RUN_END_DONE: _ClassVar[RunEnd]
    RUN_END_GOAL: _ClassVar[RunEnd]
    RUN_END_LEFT: _ClassVar[RunEnd]
    RUN_END_HELD_OUT: _ClassVar[RunEnd]
    RUN_END_EXITED: _ClassVar[RunEnd]
    RUN_END_NO_OPEN_HOURS: _ClassVar[RunEnd]
    RUN_END_REFUSED: _ClassVar[RunEnd]
    RUN_END_EDITED: _ClassVar[RunEnd]
    RUN_END_STOPPED: _ClassVar[RunEnd]
WITHDRAWAL_REASON_UNSPECIFIED: WithdrawalReason
WITHDRAWAL_REASON_OVERTAKEN: WithdrawalReason
WITHDRAWAL_REASON_ASLEEP: WithdrawalReason
WITHDRAWAL_REASON_REVISED: WithdrawalReason
RUN_END_UNSPECIFIED: RunEnd
RUN_END_DONE: RunEnd
RUN_END_GOAL: RunEnd
RUN_END_LEFT: RunEnd
RUN_END_HELD_OUT: RunEnd
RUN_END_EXITED: RunEnd
RUN_END_NO_OPEN_HOURS: RunEnd
RUN_END_REFUSED: RunEnd
RUN_END_EDITED: RunEnd
RUN_END_STOPPED: RunEnd

class RunEntry(_message.Message):
    __slots__ = ("occurred_at_us", "fact_id", "leaf_id", "recorded_at_us", "properties", "caused_at_us")
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    LEAF_ID_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    CAUSED_AT_US_FIELD_NUMBER: _ClassVar[int]
    occurred_at_us: int
    fact_id: bytes
    leaf_id: bytes
    recorded_at_us: int
    properties: bytes
    caused_at_us: int
    def __init__(self, occurred_at_us: _Optional[int] = ..., fact_id: _Optional[bytes] = ..., leaf_id: _Optional[bytes] = ..., recorded_at_us: _Optional[int] = ..., properties: _Optional[bytes] = ..., caused_at_us: _Optional[int] = ...) -> None: ...

class RunPosition(_message.Message):
    __slots__ = ("step_id", "at_us", "counts", "coupons", "has_waited")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class CouponsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    COUPONS_FIELD_NUMBER: _ClassVar[int]
    HAS_WAITED_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    at_us: int
    counts: _containers.ScalarMap[str, int]
    coupons: _containers.ScalarMap[str, int]
    has_waited: bool
    def __init__(self, step_id: _Optional[str] = ..., at_us: _Optional[int] = ..., counts: _Optional[_Mapping[str, int]] = ..., coupons: _Optional[_Mapping[str, int]] = ..., has_waited: _Optional[bool] = ...) -> None: ...

class PlannedEffect(_message.Message):
    __slots__ = ("step_id", "visit", "at_us", "position")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    VISIT_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    visit: int
    at_us: int
    position: RunPosition
    def __init__(self, step_id: _Optional[str] = ..., visit: _Optional[int] = ..., at_us: _Optional[int] = ..., position: _Optional[_Union[RunPosition, _Mapping]] = ...) -> None: ...

class RunBegan(_message.Message):
    __slots__ = ("entry", "version")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    entry: RunEntry
    version: int
    def __init__(self, entry: _Optional[_Union[RunEntry, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class RunRestarted(_message.Message):
    __slots__ = ("first", "start")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    first: RunEntry
    start: RunEntry
    def __init__(self, first: _Optional[_Union[RunEntry, _Mapping]] = ..., start: _Optional[_Union[RunEntry, _Mapping]] = ...) -> None: ...

class RuleAnswer(_message.Message):
    __slots__ = ("rule", "at_us", "answer")
    RULE_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    rule: _rule_pb2.Rule
    at_us: int
    answer: bool
    def __init__(self, rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., at_us: _Optional[int] = ..., answer: _Optional[bool] = ...) -> None: ...

class RunAnswered(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[RuleAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[RuleAnswer, _Mapping]]] = ...) -> None: ...

class EffectsPlanned(_message.Message):
    __slots__ = ("effects",)
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    effects: _containers.RepeatedCompositeFieldContainer[PlannedEffect]
    def __init__(self, effects: _Optional[_Iterable[_Union[PlannedEffect, _Mapping]]] = ...) -> None: ...

class EffectKey(_message.Message):
    __slots__ = ("step_id", "visit")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    VISIT_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    visit: int
    def __init__(self, step_id: _Optional[str] = ..., visit: _Optional[int] = ...) -> None: ...

class EffectsWithdrawn(_message.Message):
    __slots__ = ("keys", "reason", "fact_id")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[EffectKey]
    reason: WithdrawalReason
    fact_id: bytes
    def __init__(self, keys: _Optional[_Iterable[_Union[EffectKey, _Mapping]]] = ..., reason: _Optional[_Union[WithdrawalReason, str]] = ..., fact_id: _Optional[bytes] = ...) -> None: ...

class RunMoved(_message.Message):
    __slots__ = ("version", "position")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    version: int
    position: RunPosition
    def __init__(self, version: _Optional[int] = ..., position: _Optional[_Union[RunPosition, _Mapping]] = ...) -> None: ...

class RunEnded(_message.Message):
    __slots__ = ("reason", "at_us", "fact_id")
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    reason: RunEnd
    at_us: int
    fact_id: bytes
    def __init__(self, reason: _Optional[_Union[RunEnd, str]] = ..., at_us: _Optional[int] = ..., fact_id: _Optional[bytes] = ...) -> None: ...

class RunReopened(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunTransitioned(_message.Message):
    __slots__ = ("run_id", "journey_id", "number", "known_at_us", "began", "restarted", "answered", "planned", "withdrawn", "moved", "ended", "reopened")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_AT_US_FIELD_NUMBER: _ClassVar[int]
    BEGAN_FIELD_NUMBER: _ClassVar[int]
    RESTARTED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    REOPENED_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    journey_id: str
    number: int
    known_at_us: int
    began: RunBegan
    restarted: RunRestarted
    answered: RunAnswered
    planned: EffectsPlanned
    withdrawn: EffectsWithdrawn
    moved: RunMoved
    ended: RunEnded
    reopened: RunReopened
    def __init__(self, run_id: _Optional[bytes] = ..., journey_id: _Optional[str] = ..., number: _Optional[int] = ..., known_at_us: _Optional[int] = ..., began: _Optional[_Union[RunBegan, _Mapping]] = ..., restarted: _Optional[_Union[RunRestarted, _Mapping]] = ..., answered: _Optional[_Union[RunAnswered, _Mapping]] = ..., planned: _Optional[_Union[EffectsPlanned, _Mapping]] = ..., withdrawn: _Optional[_Union[EffectsWithdrawn, _Mapping]] = ..., moved: _Optional[_Union[RunMoved, _Mapping]] = ..., ended: _Optional[_Union[RunEnded, _Mapping]] = ..., reopened: _Optional[_Union[RunReopened, _Mapping]] = ...) -> None: ...

class RunTransitions(_message.Message):
    __slots__ = ("transitions",)
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    transitions: _containers.RepeatedCompositeFieldContainer[RunTransitioned]
    def __init__(self, transitions: _Optional[_Iterable[_Union[RunTransitioned, _Mapping]]] = ...) -> None: ...
