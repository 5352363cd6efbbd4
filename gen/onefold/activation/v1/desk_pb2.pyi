from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SlaLimit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLA_LIMIT_UNSPECIFIED: _ClassVar[SlaLimit]
    SLA_LIMIT_FIRST_ANSWER: _ClassVar[SlaLimit]
    SLA_LIMIT_SOLUTION: _ClassVar[SlaLimit]

class AssignmentReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSIGNMENT_REASON_UNSPECIFIED: _ClassVar[AssignmentReason]
    ASSIGNMENT_REASON_CALL: _ClassVar[AssignmentReason]
    ASSIGNMENT_REASON_NAMED: _ClassVar[AssignmentReason]
    ASSIGNMENT_REASON_SKILL: _ClassVar[AssignmentReason]
    ASSIGNMENT_REASON_LEAST_OPEN: _ClassVar[AssignmentReason]
SLA_LIMIT_UNSPECIFIED: SlaLimit
SLA_LIMIT_FIRST_ANSWER: SlaLimit
SLA_LIMIT_SOLUTION: SlaLimit
ASSIGNMENT_REASON_UNSPECIFIED: AssignmentReason
ASSIGNMENT_REASON_CALL: AssignmentReason
ASSIGNMENT_REASON_NAMED: AssignmentReason
ASSIGNMENT_REASON_SKILL: AssignmentReason
ASSIGNMENT_REASON_LEAST_OPEN: AssignmentReason

class OpeningHours(_message.Message):
    __slots__ = ("from_minute", "to_minute", "days", "closed", "also_open")
    FROM_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TO_MINUTE_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    ALSO_OPEN_FIELD_NUMBER: _ClassVar[int]
    from_minute: int
    to_minute: int
    days: _containers.RepeatedScalarFieldContainer[int]
    closed: _containers.RepeatedScalarFieldContainer[str]
    also_open: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, from_minute: _Optional[int] = ..., to_minute: _Optional[int] = ..., days: _Optional[_Iterable[int]] = ..., closed: _Optional[_Iterable[str]] = ..., also_open: _Optional[_Iterable[str]] = ...) -> None: ...

class Absence(_message.Message):
    __slots__ = ("first_day", "last_day")
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    first_day: str
    last_day: str
    def __init__(self, first_day: _Optional[str] = ..., last_day: _Optional[str] = ...) -> None: ...

class DeskAgent(_message.Message):
    __slots__ = ("agent_id", "skills", "away")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    skills: _containers.RepeatedScalarFieldContainer[str]
    away: _containers.RepeatedCompositeFieldContainer[Absence]
    def __init__(self, agent_id: _Optional[str] = ..., skills: _Optional[_Iterable[str]] = ..., away: _Optional[_Iterable[_Union[Absence, _Mapping]]] = ...) -> None: ...

class DeskQueue(_message.Message):
    __slots__ = ("queue_id", "title", "zone", "hours", "first_answer_us", "solution_us", "agents", "version", "retired")
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    FIRST_ANSWER_US_FIELD_NUMBER: _ClassVar[int]
    SOLUTION_US_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    queue_id: str
    title: str
    zone: str
    hours: OpeningHours
    first_answer_us: int
    solution_us: int
    agents: _containers.RepeatedCompositeFieldContainer[DeskAgent]
    version: int
    retired: bool
    def __init__(self, queue_id: _Optional[str] = ..., title: _Optional[str] = ..., zone: _Optional[str] = ..., hours: _Optional[_Union[OpeningHours, _Mapping]] = ..., first_answer_us: _Optional[int] = ..., solution_us: _Optional[int] = ..., agents: _Optional[_Iterable[_Union[DeskAgent, _Mapping]]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...

class DeskQueueDefined(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: DeskQueue
    def __init__(self, queue: _Optional[_Union[DeskQueue, _Mapping]] = ...) -> None: ...

class TicketOpened(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind", "title", "channel", "skill", "for_agent_id", "due_us", "journey_id")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SKILL_FIELD_NUMBER: _ClassVar[int]
    FOR_AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_US_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    title: str
    channel: str
    skill: str
    for_agent_id: str
    due_us: int
    journey_id: str
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ..., title: _Optional[str] = ..., channel: _Optional[str] = ..., skill: _Optional[str] = ..., for_agent_id: _Optional[str] = ..., due_us: _Optional[int] = ..., journey_id: _Optional[str] = ...) -> None: ...

class RosterEntry(_message.Message):
    __slots__ = ("agent_id", "open")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    open: int
    def __init__(self, agent_id: _Optional[str] = ..., open: _Optional[int] = ...) -> None: ...

class TicketAssigned(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind", "agent_id", "reason", "roster")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    agent_id: str
    reason: AssignmentReason
    roster: _containers.RepeatedCompositeFieldContainer[RosterEntry]
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ..., agent_id: _Optional[str] = ..., reason: _Optional[_Union[AssignmentReason, str]] = ..., roster: _Optional[_Iterable[_Union[RosterEntry, _Mapping]]] = ...) -> None: ...

class TicketAnswered(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class TicketWaiting(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class TicketResolved(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind", "cancelled")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    cancelled: bool
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ..., cancelled: _Optional[bool] = ...) -> None: ...

class TicketReopened(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class TicketRated(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind", "score")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    score: int
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ..., score: _Optional[int] = ...) -> None: ...

class SlaBreached(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind", "limit", "due_us", "queue_version")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    DUE_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    limit: SlaLimit
    due_us: int
    queue_version: int
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ..., limit: _Optional[_Union[SlaLimit, str]] = ..., due_us: _Optional[int] = ..., queue_version: _Optional[int] = ...) -> None: ...

class SlaBreachWithdrawn(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "kind", "limit")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    kind: str
    limit: SlaLimit
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ..., limit: _Optional[_Union[SlaLimit, str]] = ...) -> None: ...
