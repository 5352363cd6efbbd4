from onefold.activation.v1 import desk_pb2 as _desk_pb2
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

class TicketState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TICKET_STATE_UNSPECIFIED: _ClassVar[TicketState]
    TICKET_STATE_OPEN: _ClassVar[TicketState]
    TICKET_STATE_WAITING: _ClassVar[TicketState]
    TICKET_STATE_RESOLVED: _ClassVar[TicketState]
    TICKET_STATE_CANCELLED: _ClassVar[TicketState]
TICKET_STATE_UNSPECIFIED: TicketState
TICKET_STATE_OPEN: TicketState
TICKET_STATE_WAITING: TicketState
TICKET_STATE_RESOLVED: TicketState
TICKET_STATE_CANCELLED: TicketState

class DefineQueueRequest(_message.Message):
    __slots__ = ("queue", "dry_run", "etag")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    queue: _desk_pb2.DeskQueue
    dry_run: bool
    etag: str
    def __init__(self, queue: _Optional[_Union[_desk_pb2.DeskQueue, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineQueueResponse(_message.Message):
    __slots__ = ("queue", "changed", "token", "etag")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    queue: _desk_pb2.DeskQueue
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, queue: _Optional[_Union[_desk_pb2.DeskQueue, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListQueuesRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class AgentLoad(_message.Message):
    __slots__ = ("agent_id", "open", "waiting", "breached")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    BREACHED_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    open: int
    waiting: int
    breached: int
    def __init__(self, agent_id: _Optional[str] = ..., open: _Optional[int] = ..., waiting: _Optional[int] = ..., breached: _Optional[int] = ...) -> None: ...

class QueueSummary(_message.Message):
    __slots__ = ("queue", "etag", "loads")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    LOADS_FIELD_NUMBER: _ClassVar[int]
    queue: _desk_pb2.DeskQueue
    etag: str
    loads: _containers.RepeatedCompositeFieldContainer[AgentLoad]
    def __init__(self, queue: _Optional[_Union[_desk_pb2.DeskQueue, _Mapping]] = ..., etag: _Optional[str] = ..., loads: _Optional[_Iterable[_Union[AgentLoad, _Mapping]]] = ...) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("queues",)
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[QueueSummary]
    def __init__(self, queues: _Optional[_Iterable[_Union[QueueSummary, _Mapping]]] = ...) -> None: ...

class OpenTicketRequest(_message.Message):
    __slots__ = ("identifiers", "queue_id", "kind", "title", "channel", "skill", "for_agent_id", "due_us", "occurred_at_us", "request_id")
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SKILL_FIELD_NUMBER: _ClassVar[int]
    FOR_AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_US_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    queue_id: str
    kind: str
    title: str
    channel: str
    skill: str
    for_agent_id: str
    due_us: int
    occurred_at_us: int
    request_id: str
    def __init__(self, identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., queue_id: _Optional[str] = ..., kind: _Optional[str] = ..., title: _Optional[str] = ..., channel: _Optional[str] = ..., skill: _Optional[str] = ..., for_agent_id: _Optional[str] = ..., due_us: _Optional[int] = ..., occurred_at_us: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class OpenTicketResponse(_message.Message):
    __slots__ = ("ticket_id", "is_new", "token")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    is_new: bool
    token: _token_pb2.Token
    def __init__(self, ticket_id: _Optional[str] = ..., is_new: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class AssignTicket(_message.Message):
    __slots__ = ("agent_id",)
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    def __init__(self, agent_id: _Optional[str] = ...) -> None: ...

class AnswerTicket(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WaitForPerson(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResolveTicket(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: bool
    def __init__(self, cancelled: _Optional[bool] = ...) -> None: ...

class ReopenTicket(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RateTicket(_message.Message):
    __slots__ = ("score",)
    SCORE_FIELD_NUMBER: _ClassVar[int]
    score: int
    def __init__(self, score: _Optional[int] = ...) -> None: ...

class UpdateTicketRequest(_message.Message):
    __slots__ = ("ticket_id", "assign", "answer", "wait", "resolve", "reopen", "rate", "occurred_at_us", "request_id")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    RESOLVE_FIELD_NUMBER: _ClassVar[int]
    REOPEN_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    assign: AssignTicket
    answer: AnswerTicket
    wait: WaitForPerson
    resolve: ResolveTicket
    reopen: ReopenTicket
    rate: RateTicket
    occurred_at_us: int
    request_id: str
    def __init__(self, ticket_id: _Optional[str] = ..., assign: _Optional[_Union[AssignTicket, _Mapping]] = ..., answer: _Optional[_Union[AnswerTicket, _Mapping]] = ..., wait: _Optional[_Union[WaitForPerson, _Mapping]] = ..., resolve: _Optional[_Union[ResolveTicket, _Mapping]] = ..., reopen: _Optional[_Union[ReopenTicket, _Mapping]] = ..., rate: _Optional[_Union[RateTicket, _Mapping]] = ..., occurred_at_us: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateTicketResponse(_message.Message):
    __slots__ = ("is_new", "token")
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    is_new: bool
    token: _token_pb2.Token
    def __init__(self, is_new: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("ticket_id", "queue_id", "profile_id", "kind", "title", "state", "agent_id", "opened_at_us", "due_us", "breached")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_US_FIELD_NUMBER: _ClassVar[int]
    DUE_US_FIELD_NUMBER: _ClassVar[int]
    BREACHED_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    queue_id: str
    profile_id: str
    kind: str
    title: str
    state: TicketState
    agent_id: str
    opened_at_us: int
    due_us: int
    breached: _containers.RepeatedScalarFieldContainer[_desk_pb2.SlaLimit]
    def __init__(self, ticket_id: _Optional[str] = ..., queue_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., kind: _Optional[str] = ..., title: _Optional[str] = ..., state: _Optional[_Union[TicketState, str]] = ..., agent_id: _Optional[str] = ..., opened_at_us: _Optional[int] = ..., due_us: _Optional[int] = ..., breached: _Optional[_Iterable[_Union[_desk_pb2.SlaLimit, str]]] = ...) -> None: ...

class ListTicketsRequest(_message.Message):
    __slots__ = ("queue_id", "agent_id", "profile_id", "state", "breached", "page_size", "page_token", "at_least")
    QUEUE_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BREACHED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    queue_id: str
    agent_id: str
    profile_id: str
    state: TicketState
    breached: bool
    page_size: int
    page_token: str
    at_least: _token_pb2.Token
    def __init__(self, queue_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., state: _Optional[_Union[TicketState, str]] = ..., breached: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListTicketsResponse(_message.Message):
    __slots__ = ("tickets", "next_page_token")
    TICKETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tickets: _containers.RepeatedCompositeFieldContainer[Ticket]
    next_page_token: str
    def __init__(self, tickets: _Optional[_Iterable[_Union[Ticket, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetTicketRequest(_message.Message):
    __slots__ = ("ticket_id", "at_least")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    at_least: _token_pb2.Token
    def __init__(self, ticket_id: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class TicketEntry(_message.Message):
    __slots__ = ("occurred_at_us", "event", "properties")
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    occurred_at_us: int
    event: str
    properties: bytes
    def __init__(self, occurred_at_us: _Optional[int] = ..., event: _Optional[str] = ..., properties: _Optional[bytes] = ...) -> None: ...

class GetTicketResponse(_message.Message):
    __slots__ = ("ticket", "entries")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ticket: Ticket
    entries: _containers.RepeatedCompositeFieldContainer[TicketEntry]
    def __init__(self, ticket: _Optional[_Union[Ticket, _Mapping]] = ..., entries: _Optional[_Iterable[_Union[TicketEntry, _Mapping]]] = ...) -> None: ...
