from onefold.activation.v1 import contact_policy_pb2 as _contact_policy_pb2
from onefold.activation.v1 import journeys_pb2 as _journeys_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Flow(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLOW_UNSPECIFIED: _ClassVar[Flow]
    FLOW_OPEN: _ClassVar[Flow]
    FLOW_PAUSED: _ClassVar[Flow]
    FLOW_STOPPED: _ClassVar[Flow]

class Overdue(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERDUE_UNSPECIFIED: _ClassVar[Overdue]
    OVERDUE_SEND: _ClassVar[Overdue]
    OVERDUE_SKIP: _ClassVar[Overdue]
    OVERDUE_RESCHEDULE: _ClassVar[Overdue]
FLOW_UNSPECIFIED: Flow
FLOW_OPEN: Flow
FLOW_PAUSED: Flow
FLOW_STOPPED: Flow
OVERDUE_UNSPECIFIED: Overdue
OVERDUE_SEND: Overdue
OVERDUE_SKIP: Overdue
OVERDUE_RESCHEDULE: Overdue

class JourneyDefined(_message.Message):
    __slots__ = ("journey",)
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ...) -> None: ...

class ContactPolicyDefined(_message.Message):
    __slots__ = ("policy", "version")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    policy: _contact_policy_pb2.ContactPolicy
    version: int
    def __init__(self, policy: _Optional[_Union[_contact_policy_pb2.ContactPolicy, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class JourneyFlowChanged(_message.Message):
    __slots__ = ("journey_id", "flow", "overdue", "version", "journey_version")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_VERSION_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    flow: Flow
    overdue: Overdue
    version: int
    journey_version: int
    def __init__(self, journey_id: _Optional[str] = ..., flow: _Optional[_Union[Flow, str]] = ..., overdue: _Optional[_Union[Overdue, str]] = ..., version: _Optional[int] = ..., journey_version: _Optional[int] = ...) -> None: ...

class DestinationFlowChanged(_message.Message):
    __slots__ = ("destination_id", "flow", "overdue", "version")
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    flow: Flow
    overdue: Overdue
    version: int
    def __init__(self, destination_id: _Optional[str] = ..., flow: _Optional[_Union[Flow, str]] = ..., overdue: _Optional[_Union[Overdue, str]] = ..., version: _Optional[int] = ...) -> None: ...

class JourneyEntered(_message.Message):
    __slots__ = ("journey_id", "properties")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    properties: bytes
    def __init__(self, journey_id: _Optional[str] = ..., properties: _Optional[bytes] = ...) -> None: ...

class DeliveryReported(_message.Message):
    __slots__ = ("effect_id", "destination_id", "what", "at_us", "is_machine", "reason", "run_id", "journey_id", "step_id")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    IS_MACHINE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    destination_id: str
    what: _journeys_pb2.ReportKind
    at_us: int
    is_machine: bool
    reason: str
    run_id: bytes
    journey_id: str
    step_id: str
    def __init__(self, effect_id: _Optional[str] = ..., destination_id: _Optional[str] = ..., what: _Optional[_Union[_journeys_pb2.ReportKind, str]] = ..., at_us: _Optional[int] = ..., is_machine: _Optional[bool] = ..., reason: _Optional[str] = ..., run_id: _Optional[bytes] = ..., journey_id: _Optional[str] = ..., step_id: _Optional[str] = ...) -> None: ...

class CouponPoolDefined(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: _journeys_pb2.CouponPool
    def __init__(self, pool: _Optional[_Union[_journeys_pb2.CouponPool, _Mapping]] = ...) -> None: ...

class CouponCodesLoaded(_message.Message):
    __slots__ = ("pool_id", "codes")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pool_id: _Optional[str] = ..., codes: _Optional[_Iterable[str]] = ...) -> None: ...

class CouponIssued(_message.Message):
    __slots__ = ("effect_id", "run_id", "journey_id", "name", "pool_id", "code", "until_us")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    run_id: str
    journey_id: str
    name: str
    pool_id: str
    code: str
    until_us: int
    def __init__(self, effect_id: _Optional[str] = ..., run_id: _Optional[str] = ..., journey_id: _Optional[str] = ..., name: _Optional[str] = ..., pool_id: _Optional[str] = ..., code: _Optional[str] = ..., until_us: _Optional[int] = ...) -> None: ...

class CouponVoided(_message.Message):
    __slots__ = ("coupon_id", "pool_id", "code")
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    coupon_id: str
    pool_id: str
    code: str
    def __init__(self, coupon_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...
