from onefold.activation.v1 import activation_facts_pb2 as _activation_facts_pb2
from onefold.activation.v1 import contact_policy_pb2 as _contact_policy_pb2
from onefold.activation.v1 import journey_facts_pb2 as _journey_facts_pb2
from onefold.activation.v1 import journey_runs_pb2 as _journey_runs_pb2
from onefold.activation.v1 import journeys_pb2 as _journeys_pb2
from onefold.rule.v1 import rule_pb2 as _rule_pb2
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

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_OPEN: _ClassVar[RunState]
    RUN_STATE_ASLEEP: _ClassVar[RunState]
    RUN_STATE_ENDED: _ClassVar[RunState]

class EntryReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_REASON_UNSPECIFIED: _ClassVar[EntryReason]
    ENTRY_REASON_BEGUN: _ClassVar[EntryReason]
    ENTRY_REASON_LEARNT_TOO_LATE: _ClassVar[EntryReason]
    ENTRY_REASON_ALREADY_RUN: _ClassVar[EntryReason]
    ENTRY_REASON_TOO_SOON: _ClassVar[EntryReason]
    ENTRY_REASON_INSIDE: _ClassVar[EntryReason]
    ENTRY_REASON_CONDITION: _ClassVar[EntryReason]
    ENTRY_REASON_UNDECIDED: _ClassVar[EntryReason]
    ENTRY_REASON_NO_KEY: _ClassVar[EntryReason]
    ENTRY_REASON_NOT_LIVE: _ClassVar[EntryReason]
    ENTRY_REASON_NOT_PASSED: _ClassVar[EntryReason]

class RunProblem(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_PROBLEM_UNSPECIFIED: _ClassVar[RunProblem]
    RUN_PROBLEM_WITHOUT_DUE: _ClassVar[RunProblem]
    RUN_PROBLEM_OVERDUE: _ClassVar[RunProblem]
    RUN_PROBLEM_NOT_PUBLISHED: _ClassVar[RunProblem]
    RUN_PROBLEM_UNKNOWN_VERSION: _ClassVar[RunProblem]

class RegretKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REGRET_KIND_UNSPECIFIED: _ClassVar[RegretKind]
    REGRET_KIND_UNWANTED: _ClassVar[RegretKind]
    REGRET_KIND_MISSED: _ClassVar[RegretKind]
    REGRET_KIND_SHIFTED: _ClassVar[RegretKind]

class BacktestBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BACKTEST_BASIS_UNSPECIFIED: _ClassVar[BacktestBasis]
    BACKTEST_BASIS_KNOWN: _ClassVar[BacktestBasis]
    BACKTEST_BASIS_HAPPENED: _ClassVar[BacktestBasis]
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_OPEN: RunState
RUN_STATE_ASLEEP: RunState
RUN_STATE_ENDED: RunState
ENTRY_REASON_UNSPECIFIED: EntryReason
ENTRY_REASON_BEGUN: EntryReason
ENTRY_REASON_LEARNT_TOO_LATE: EntryReason
ENTRY_REASON_ALREADY_RUN: EntryReason
ENTRY_REASON_TOO_SOON: EntryReason
ENTRY_REASON_INSIDE: EntryReason
ENTRY_REASON_CONDITION: EntryReason
ENTRY_REASON_UNDECIDED: EntryReason
ENTRY_REASON_NO_KEY: EntryReason
ENTRY_REASON_NOT_LIVE: EntryReason
ENTRY_REASON_NOT_PASSED: EntryReason
RUN_PROBLEM_UNSPECIFIED: RunProblem
RUN_PROBLEM_WITHOUT_DUE: RunProblem
RUN_PROBLEM_OVERDUE: RunProblem
RUN_PROBLEM_NOT_PUBLISHED: RunProblem
RUN_PROBLEM_UNKNOWN_VERSION: RunProblem
REGRET_KIND_UNSPECIFIED: RegretKind
REGRET_KIND_UNWANTED: RegretKind
REGRET_KIND_MISSED: RegretKind
REGRET_KIND_SHIFTED: RegretKind
BACKTEST_BASIS_UNSPECIFIED: BacktestBasis
BACKTEST_BASIS_KNOWN: BacktestBasis
BACKTEST_BASIS_HAPPENED: BacktestBasis

class DefineJourneyRequest(_message.Message):
    __slots__ = ("journey", "dry_run", "etag", "assumed", "confirmed_messages")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    dry_run: bool
    etag: str
    assumed: JourneyAssumptions
    confirmed_messages: int
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ..., assumed: _Optional[_Union[JourneyAssumptions, _Mapping]] = ..., confirmed_messages: _Optional[int] = ...) -> None: ...

class JourneyAssumptions(_message.Message):
    __slots__ = ("destinations", "templates", "journeys", "rules", "coupon_pools", "queues")
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    JOURNEYS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    COUPON_POOLS_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    destinations: _containers.RepeatedScalarFieldContainer[str]
    templates: _containers.RepeatedScalarFieldContainer[str]
    journeys: _containers.RepeatedScalarFieldContainer[str]
    rules: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Reference]
    coupon_pools: _containers.RepeatedCompositeFieldContainer[_journeys_pb2.CouponPool]
    queues: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, destinations: _Optional[_Iterable[str]] = ..., templates: _Optional[_Iterable[str]] = ..., journeys: _Optional[_Iterable[str]] = ..., rules: _Optional[_Iterable[_Union[_rule_pb2.Reference, _Mapping]]] = ..., coupon_pools: _Optional[_Iterable[_Union[_journeys_pb2.CouponPool, _Mapping]]] = ..., queues: _Optional[_Iterable[str]] = ...) -> None: ...

class JourneyWarning(_message.Message):
    __slots__ = ("at", "problem", "remedy")
    AT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    at: str
    problem: str
    remedy: str
    def __init__(self, at: _Optional[str] = ..., problem: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class JourneyStepEdit(_message.Message):
    __slots__ = ("step_id", "runs", "what", "target_step_id")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    TARGET_STEP_ID_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    runs: int
    what: _journeys_pb2.PeopleInside
    target_step_id: str
    def __init__(self, step_id: _Optional[str] = ..., runs: _Optional[int] = ..., what: _Optional[_Union[_journeys_pb2.PeopleInside, str]] = ..., target_step_id: _Optional[str] = ...) -> None: ...

class DefineJourneyResponse(_message.Message):
    __slots__ = ("journey", "changed", "token", "etag", "warnings", "people", "messages_within_hour")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_WITHIN_HOUR_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    changed: bool
    token: _token_pb2.Token
    etag: str
    warnings: _containers.RepeatedCompositeFieldContainer[JourneyWarning]
    people: _containers.RepeatedCompositeFieldContainer[JourneyStepEdit]
    messages_within_hour: int
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[JourneyWarning, _Mapping]]] = ..., people: _Optional[_Iterable[_Union[JourneyStepEdit, _Mapping]]] = ..., messages_within_hour: _Optional[int] = ...) -> None: ...

class ListJourneysRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class JourneySummary(_message.Message):
    __slots__ = ("journey", "flow", "etag")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    flow: _journey_facts_pb2.Flow
    etag: str
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListJourneysResponse(_message.Message):
    __slots__ = ("journeys",)
    JOURNEYS_FIELD_NUMBER: _ClassVar[int]
    journeys: _containers.RepeatedCompositeFieldContainer[JourneySummary]
    def __init__(self, journeys: _Optional[_Iterable[_Union[JourneySummary, _Mapping]]] = ...) -> None: ...

class GetJourneyRequest(_message.Message):
    __slots__ = ("journey_id", "version", "at_least")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    version: int
    at_least: _token_pb2.Token
    def __init__(self, journey_id: _Optional[str] = ..., version: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetJourneyResponse(_message.Message):
    __slots__ = ("journey", "flow", "etag")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    flow: _journey_facts_pb2.Flow
    etag: str
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., etag: _Optional[str] = ...) -> None: ...

class SetJourneyFlowRequest(_message.Message):
    __slots__ = ("journey_id", "flow", "overdue")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    flow: _journey_facts_pb2.Flow
    overdue: _journey_facts_pb2.Overdue
    def __init__(self, journey_id: _Optional[str] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., overdue: _Optional[_Union[_journey_facts_pb2.Overdue, str]] = ...) -> None: ...

class SetJourneyFlowResponse(_message.Message):
    __slots__ = ("changed", "token")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    token: _token_pb2.Token
    def __init__(self, changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class SetDestinationFlowRequest(_message.Message):
    __slots__ = ("destination_id", "flow", "overdue")
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    flow: _journey_facts_pb2.Flow
    overdue: _journey_facts_pb2.Overdue
    def __init__(self, destination_id: _Optional[str] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., overdue: _Optional[_Union[_journey_facts_pb2.Overdue, str]] = ...) -> None: ...

class SetDestinationFlowResponse(_message.Message):
    __slots__ = ("changed", "token")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    token: _token_pb2.Token
    def __init__(self, changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class DefineContactPolicyRequest(_message.Message):
    __slots__ = ("policy", "dry_run", "etag")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    policy: _contact_policy_pb2.ContactPolicy
    dry_run: bool
    etag: str
    def __init__(self, policy: _Optional[_Union[_contact_policy_pb2.ContactPolicy, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineContactPolicyResponse(_message.Message):
    __slots__ = ("policy", "changed", "token", "etag", "version")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    policy: _contact_policy_pb2.ContactPolicy
    changed: bool
    token: _token_pb2.Token
    etag: str
    version: int
    def __init__(self, policy: _Optional[_Union[_contact_policy_pb2.ContactPolicy, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetContactPolicyRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetContactPolicyResponse(_message.Message):
    __slots__ = ("policy", "etag")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    policy: _contact_policy_pb2.ContactPolicy
    etag: str
    def __init__(self, policy: _Optional[_Union[_contact_policy_pb2.ContactPolicy, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineCouponPoolRequest(_message.Message):
    __slots__ = ("pool", "dry_run", "etag")
    POOL_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    pool: _journeys_pb2.CouponPool
    dry_run: bool
    etag: str
    def __init__(self, pool: _Optional[_Union[_journeys_pb2.CouponPool, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineCouponPoolResponse(_message.Message):
    __slots__ = ("pool", "changed", "token", "etag")
    POOL_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    pool: _journeys_pb2.CouponPool
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, pool: _Optional[_Union[_journeys_pb2.CouponPool, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListCouponPoolsRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class CouponPoolSummary(_message.Message):
    __slots__ = ("pool", "etag", "free", "issued", "used", "voided")
    POOL_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    VOIDED_FIELD_NUMBER: _ClassVar[int]
    pool: _journeys_pb2.CouponPool
    etag: str
    free: int
    issued: int
    used: int
    voided: int
    def __init__(self, pool: _Optional[_Union[_journeys_pb2.CouponPool, _Mapping]] = ..., etag: _Optional[str] = ..., free: _Optional[int] = ..., issued: _Optional[int] = ..., used: _Optional[int] = ..., voided: _Optional[int] = ...) -> None: ...

class ListCouponPoolsResponse(_message.Message):
    __slots__ = ("pools",)
    POOLS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[CouponPoolSummary]
    def __init__(self, pools: _Optional[_Iterable[_Union[CouponPoolSummary, _Mapping]]] = ...) -> None: ...

class LoadCouponCodesRequest(_message.Message):
    __slots__ = ("pool_id", "codes")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pool_id: _Optional[str] = ..., codes: _Optional[_Iterable[str]] = ...) -> None: ...

class LoadCouponCodesResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class EnterJourneyRequest(_message.Message):
    __slots__ = ("journey_id", "identifiers", "properties", "request_id")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    properties: bytes
    request_id: str
    def __init__(self, journey_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., properties: _Optional[bytes] = ..., request_id: _Optional[str] = ...) -> None: ...

class EnterJourneyResponse(_message.Message):
    __slots__ = ("is_new", "token")
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    is_new: bool
    token: _token_pb2.Token
    def __init__(self, is_new: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class JourneyRun(_message.Message):
    __slots__ = ("run_id", "journey_id", "version", "leaf_id", "begun_at_us", "state", "end_reason", "step_id", "due_us")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LEAF_ID_FIELD_NUMBER: _ClassVar[int]
    BEGUN_AT_US_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_US_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    journey_id: str
    version: int
    leaf_id: str
    begun_at_us: int
    state: RunState
    end_reason: _journey_runs_pb2.RunEnd
    step_id: str
    due_us: int
    def __init__(self, run_id: _Optional[str] = ..., journey_id: _Optional[str] = ..., version: _Optional[int] = ..., leaf_id: _Optional[str] = ..., begun_at_us: _Optional[int] = ..., state: _Optional[_Union[RunState, str]] = ..., end_reason: _Optional[_Union[_journey_runs_pb2.RunEnd, str]] = ..., step_id: _Optional[str] = ..., due_us: _Optional[int] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("journey_id", "profile_id", "state", "page_size", "page_token", "at_least")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    profile_id: str
    state: RunState
    page_size: int
    page_token: str
    at_least: _token_pb2.Token
    def __init__(self, journey_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[JourneyRun]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[JourneyRun, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class JourneyEffect(_message.Message):
    __slots__ = ("effect_id", "step_id", "visit", "at_us", "destination_id", "state", "reason", "begun_at_us", "template_version")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    VISIT_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BEGUN_AT_US_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    step_id: str
    visit: int
    at_us: int
    destination_id: str
    state: _activation_facts_pb2.DeliveryState
    reason: str
    begun_at_us: int
    template_version: int
    def __init__(self, effect_id: _Optional[str] = ..., step_id: _Optional[str] = ..., visit: _Optional[int] = ..., at_us: _Optional[int] = ..., destination_id: _Optional[str] = ..., state: _Optional[_Union[_activation_facts_pb2.DeliveryState, str]] = ..., reason: _Optional[str] = ..., begun_at_us: _Optional[int] = ..., template_version: _Optional[int] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("run", "transitions", "effects")
    RUN_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    run: JourneyRun
    transitions: _containers.RepeatedCompositeFieldContainer[_journey_runs_pb2.RunTransitioned]
    effects: _containers.RepeatedCompositeFieldContainer[JourneyEffect]
    def __init__(self, run: _Optional[_Union[JourneyRun, _Mapping]] = ..., transitions: _Optional[_Iterable[_Union[_journey_runs_pb2.RunTransitioned, _Mapping]]] = ..., effects: _Optional[_Iterable[_Union[JourneyEffect, _Mapping]]] = ...) -> None: ...

class WhyRunRequest(_message.Message):
    __slots__ = ("journey_id", "profile_id", "at_least")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    profile_id: str
    at_least: _token_pb2.Token
    def __init__(self, journey_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class EntryExplanation(_message.Message):
    __slots__ = ("fact_id", "occurred_at_us", "reason", "run_id", "cited_fact_ids", "caused_at_us")
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CITED_FACT_IDS_FIELD_NUMBER: _ClassVar[int]
    CAUSED_AT_US_FIELD_NUMBER: _ClassVar[int]
    fact_id: str
    occurred_at_us: int
    reason: EntryReason
    run_id: str
    cited_fact_ids: _containers.RepeatedScalarFieldContainer[str]
    caused_at_us: int
    def __init__(self, fact_id: _Optional[str] = ..., occurred_at_us: _Optional[int] = ..., reason: _Optional[_Union[EntryReason, str]] = ..., run_id: _Optional[str] = ..., cited_fact_ids: _Optional[_Iterable[str]] = ..., caused_at_us: _Optional[int] = ...) -> None: ...

class WhyRunResponse(_message.Message):
    __slots__ = ("entries", "runs")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[EntryExplanation]
    runs: _containers.RepeatedCompositeFieldContainer[GetRunResponse]
    def __init__(self, entries: _Optional[_Iterable[_Union[EntryExplanation, _Mapping]]] = ..., runs: _Optional[_Iterable[_Union[GetRunResponse, _Mapping]]] = ...) -> None: ...

class SummarizeJourneyRequest(_message.Message):
    __slots__ = ("journey_id", "at_least")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    at_least: _token_pb2.Token
    def __init__(self, journey_id: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class RunEndCount(_message.Message):
    __slots__ = ("reason", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: _journey_runs_pb2.RunEnd
    count: int
    def __init__(self, reason: _Optional[_Union[_journey_runs_pb2.RunEnd, str]] = ..., count: _Optional[int] = ...) -> None: ...

class JourneyStepCount(_message.Message):
    __slots__ = ("step_id", "open", "effects")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    open: int
    effects: _containers.RepeatedCompositeFieldContainer[StepEffectCount]
    def __init__(self, step_id: _Optional[str] = ..., open: _Optional[int] = ..., effects: _Optional[_Iterable[_Union[StepEffectCount, _Mapping]]] = ...) -> None: ...

class StepEffectCount(_message.Message):
    __slots__ = ("state", "count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    state: _activation_facts_pb2.DeliveryState
    count: int
    def __init__(self, state: _Optional[_Union[_activation_facts_pb2.DeliveryState, str]] = ..., count: _Optional[int] = ...) -> None: ...

class SummarizeJourneyResponse(_message.Message):
    __slots__ = ("begun", "open", "asleep", "ended", "steps")
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    ASLEEP_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    begun: int
    open: int
    asleep: int
    ended: _containers.RepeatedCompositeFieldContainer[RunEndCount]
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStepCount]
    def __init__(self, begun: _Optional[int] = ..., open: _Optional[int] = ..., asleep: _Optional[int] = ..., ended: _Optional[_Iterable[_Union[RunEndCount, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[JourneyStepCount, _Mapping]]] = ...) -> None: ...

class GetJourneyResultsRequest(_message.Message):
    __slots__ = ("journey_id", "from_us", "to_us", "within_us", "at_least")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    WITHIN_US_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    from_us: int
    to_us: int
    within_us: int
    at_least: _token_pb2.Token
    def __init__(self, journey_id: _Optional[str] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., within_us: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class JourneyStepResult(_message.Message):
    __slots__ = ("step_id", "sent", "delivered", "undelivered", "suppressed", "opened", "clicked", "replied", "complained", "unsubscribed")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    UNDELIVERED_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CLICKED_FIELD_NUMBER: _ClassVar[int]
    REPLIED_FIELD_NUMBER: _ClassVar[int]
    COMPLAINED_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    sent: int
    delivered: int
    undelivered: int
    suppressed: int
    opened: int
    clicked: int
    replied: int
    complained: int
    unsubscribed: int
    def __init__(self, step_id: _Optional[str] = ..., sent: _Optional[int] = ..., delivered: _Optional[int] = ..., undelivered: _Optional[int] = ..., suppressed: _Optional[int] = ..., opened: _Optional[int] = ..., clicked: _Optional[int] = ..., replied: _Optional[int] = ..., complained: _Optional[int] = ..., unsubscribed: _Optional[int] = ...) -> None: ...

class JourneyGroupResult(_message.Message):
    __slots__ = ("step_id", "arm", "held_out", "runs", "converted", "difference", "margin")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    CONVERTED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    arm: str
    held_out: bool
    runs: int
    converted: int
    difference: float
    margin: float
    def __init__(self, step_id: _Optional[str] = ..., arm: _Optional[str] = ..., held_out: _Optional[bool] = ..., runs: _Optional[int] = ..., converted: _Optional[int] = ..., difference: _Optional[float] = ..., margin: _Optional[float] = ...) -> None: ...

class GetJourneyResultsResponse(_message.Message):
    __slots__ = ("steps", "groups", "from_us", "to_us")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStepResult]
    groups: _containers.RepeatedCompositeFieldContainer[JourneyGroupResult]
    from_us: int
    to_us: int
    def __init__(self, steps: _Optional[_Iterable[_Union[JourneyStepResult, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[JourneyGroupResult, _Mapping]]] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ...) -> None: ...

class AuditRunsRequest(_message.Message):
    __slots__ = ("journey_id",)
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    def __init__(self, journey_id: _Optional[str] = ...) -> None: ...

class RunFinding(_message.Message):
    __slots__ = ("run", "problem")
    RUN_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    run: JourneyRun
    problem: RunProblem
    def __init__(self, run: _Optional[_Union[JourneyRun, _Mapping]] = ..., problem: _Optional[_Union[RunProblem, str]] = ...) -> None: ...

class AuditRunsResponse(_message.Message):
    __slots__ = ("wait_for_time", "asleep", "wait_for_answers", "findings")
    WAIT_FOR_TIME_FIELD_NUMBER: _ClassVar[int]
    ASLEEP_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    wait_for_time: int
    asleep: int
    wait_for_answers: int
    findings: _containers.RepeatedCompositeFieldContainer[RunFinding]
    def __init__(self, wait_for_time: _Optional[int] = ..., asleep: _Optional[int] = ..., wait_for_answers: _Optional[int] = ..., findings: _Optional[_Iterable[_Union[RunFinding, _Mapping]]] = ...) -> None: ...

class VerifyRunsRequest(_message.Message):
    __slots__ = ("journey_id", "from_us", "to_us", "page_size", "page_token")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    from_us: int
    to_us: int
    page_size: int
    page_token: str
    def __init__(self, journey_id: _Optional[str] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class UnjustifiedTransition(_message.Message):
    __slots__ = ("run_id", "number", "problem")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    number: int
    problem: str
    def __init__(self, run_id: _Optional[str] = ..., number: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...

class VerifyRunsResponse(_message.Message):
    __slots__ = ("runs", "transitions", "unjustified", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    UNJUSTIFIED_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: int
    transitions: int
    unjustified: _containers.RepeatedCompositeFieldContainer[UnjustifiedTransition]
    next_page_token: str
    def __init__(self, runs: _Optional[int] = ..., transitions: _Optional[int] = ..., unjustified: _Optional[_Iterable[_Union[UnjustifiedTransition, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRegretsRequest(_message.Message):
    __slots__ = ("journey_id", "from_us", "to_us", "page_size", "page_token")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    from_us: int
    to_us: int
    page_size: int
    page_token: str
    def __init__(self, journey_id: _Optional[str] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class JourneyRegret(_message.Message):
    __slots__ = ("profile_id", "kind", "step_id", "visit", "sent_at_us", "ideal_at_us", "fact_id")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    VISIT_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_US_FIELD_NUMBER: _ClassVar[int]
    IDEAL_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    kind: RegretKind
    step_id: str
    visit: int
    sent_at_us: int
    ideal_at_us: int
    fact_id: str
    def __init__(self, profile_id: _Optional[str] = ..., kind: _Optional[_Union[RegretKind, str]] = ..., step_id: _Optional[str] = ..., visit: _Optional[int] = ..., sent_at_us: _Optional[int] = ..., ideal_at_us: _Optional[int] = ..., fact_id: _Optional[str] = ...) -> None: ...

class ListRegretsResponse(_message.Message):
    __slots__ = ("regrets", "persons", "left_out", "next_page_token")
    REGRETS_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    regrets: _containers.RepeatedCompositeFieldContainer[JourneyRegret]
    persons: int
    left_out: int
    next_page_token: str
    def __init__(self, regrets: _Optional[_Iterable[_Union[JourneyRegret, _Mapping]]] = ..., persons: _Optional[int] = ..., left_out: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class TryJourneyRequest(_message.Message):
    __slots__ = ("journey", "since_us", "ahead_us", "people", "at_least", "assumed")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    AHEAD_US_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    since_us: int
    ahead_us: int
    people: int
    at_least: _token_pb2.Token
    assumed: JourneyAssumptions
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., since_us: _Optional[int] = ..., ahead_us: _Optional[int] = ..., people: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., assumed: _Optional[_Union[JourneyAssumptions, _Mapping]] = ...) -> None: ...

class ReplayCount(_message.Message):
    __slots__ = ("step_id", "day_us", "count", "profile_ids")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    DAY_US_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    day_us: int
    count: int
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, step_id: _Optional[str] = ..., day_us: _Optional[int] = ..., count: _Optional[int] = ..., profile_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RefusalCount(_message.Message):
    __slots__ = ("reason", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: EntryReason
    count: int
    def __init__(self, reason: _Optional[_Union[EntryReason, str]] = ..., count: _Optional[int] = ...) -> None: ...

class ReplaySummary(_message.Message):
    __slots__ = ("begun", "ended", "open", "refused", "effects")
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    begun: int
    ended: _containers.RepeatedCompositeFieldContainer[RunEndCount]
    open: _containers.RepeatedCompositeFieldContainer[ReplayCount]
    refused: _containers.RepeatedCompositeFieldContainer[RefusalCount]
    effects: _containers.RepeatedCompositeFieldContainer[ReplayCount]
    def __init__(self, begun: _Optional[int] = ..., ended: _Optional[_Iterable[_Union[RunEndCount, _Mapping]]] = ..., open: _Optional[_Iterable[_Union[ReplayCount, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[RefusalCount, _Mapping]]] = ..., effects: _Optional[_Iterable[_Union[ReplayCount, _Mapping]]] = ...) -> None: ...

class TryJourneyResponse(_message.Message):
    __slots__ = ("persons", "left_out", "now", "ahead")
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    persons: int
    left_out: int
    now: ReplaySummary
    ahead: _containers.RepeatedCompositeFieldContainer[ReplayCount]
    def __init__(self, persons: _Optional[int] = ..., left_out: _Optional[int] = ..., now: _Optional[_Union[ReplaySummary, _Mapping]] = ..., ahead: _Optional[_Iterable[_Union[ReplayCount, _Mapping]]] = ...) -> None: ...

class BacktestJourneyRequest(_message.Message):
    __slots__ = ("journey_id", "journey", "basis", "from_us", "to_us", "at_least", "assumed")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    journey: _journeys_pb2.Journey
    basis: BacktestBasis
    from_us: int
    to_us: int
    at_least: _token_pb2.Token
    assumed: JourneyAssumptions
    def __init__(self, journey_id: _Optional[str] = ..., journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., basis: _Optional[_Union[BacktestBasis, str]] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., assumed: _Optional[_Union[JourneyAssumptions, _Mapping]] = ...) -> None: ...

class ReplayedEffect(_message.Message):
    __slots__ = ("effect_id", "run_id", "profile_id", "step_id", "visit", "at_us", "destination_id", "withdrawn")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    VISIT_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    run_id: str
    profile_id: str
    step_id: str
    visit: int
    at_us: int
    destination_id: str
    withdrawn: str
    def __init__(self, effect_id: _Optional[str] = ..., run_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., step_id: _Optional[str] = ..., visit: _Optional[int] = ..., at_us: _Optional[int] = ..., destination_id: _Optional[str] = ..., withdrawn: _Optional[str] = ...) -> None: ...

class BacktestJourneyResponse(_message.Message):
    __slots__ = ("persons", "left_out", "effects", "summary")
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    persons: int
    left_out: int
    effects: _containers.RepeatedCompositeFieldContainer[ReplayedEffect]
    summary: ReplaySummary
    def __init__(self, persons: _Optional[int] = ..., left_out: _Optional[int] = ..., effects: _Optional[_Iterable[_Union[ReplayedEffect, _Mapping]]] = ..., summary: _Optional[_Union[ReplaySummary, _Mapping]] = ...) -> None: ...
