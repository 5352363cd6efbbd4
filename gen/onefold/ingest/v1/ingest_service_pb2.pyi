from onefold.type.v1 import errors_pb2 as _errors_pb2
from onefold.type.v1 import event_pb2 as _event_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IngestEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ...) -> None: ...

class IngestEventsResponse(_message.Message):
    __slots__ = ("accepted", "duplicates", "rejections", "token", "unusable_identifiers")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNUSABLE_IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    duplicates: int
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    token: _token_pb2.Token
    unusable_identifiers: int
    def __init__(self, accepted: _Optional[int] = ..., duplicates: _Optional[int] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., unusable_identifiers: _Optional[int] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("index", "reason", "field", "message", "quarantine_id")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    index: int
    reason: _errors_pb2.ErrorReason
    field: str
    message: str
    quarantine_id: str
    def __init__(self, index: _Optional[int] = ..., reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., field: _Optional[str] = ..., message: _Optional[str] = ..., quarantine_id: _Optional[str] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ...) -> None: ...

class StreamEventsResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: IngestEventsResponse
    def __init__(self, result: _Optional[_Union[IngestEventsResponse, _Mapping]] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("source_ids", "names", "after")
    SOURCE_IDS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    source_ids: _containers.RepeatedScalarFieldContainer[str]
    names: _containers.RepeatedScalarFieldContainer[str]
    after: _token_pb2.Token
    def __init__(self, source_ids: _Optional[_Iterable[str]] = ..., names: _Optional[_Iterable[str]] = ..., after: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class WatchedEvent(_message.Message):
    __slots__ = ("fact_id", "source_id", "occurred_at_us", "recorded_at_us", "event")
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    fact_id: str
    source_id: str
    occurred_at_us: int
    recorded_at_us: int
    event: _event_pb2.Event
    def __init__(self, fact_id: _Optional[str] = ..., source_id: _Optional[str] = ..., occurred_at_us: _Optional[int] = ..., recorded_at_us: _Optional[int] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ...) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("events", "has_skipped", "token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    HAS_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[WatchedEvent]
    has_skipped: bool
    token: _token_pb2.Token
    def __init__(self, events: _Optional[_Iterable[_Union[WatchedEvent, _Mapping]]] = ..., has_skipped: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListQuarantinedRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "include_released")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_RELEASED_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    include_released: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_released: _Optional[bool] = ...) -> None: ...

class Quarantined(_message.Message):
    __slots__ = ("quarantine_id", "source_id", "endpoint", "reason", "field", "message", "raw", "received_at_us", "released_fact_id", "event")
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_US_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FACT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    quarantine_id: str
    source_id: str
    endpoint: str
    reason: _errors_pb2.ErrorReason
    field: str
    message: str
    raw: bytes
    received_at_us: int
    released_fact_id: str
    event: _event_pb2.Event
    def __init__(self, quarantine_id: _Optional[str] = ..., source_id: _Optional[str] = ..., endpoint: _Optional[str] = ..., reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., field: _Optional[str] = ..., message: _Optional[str] = ..., raw: _Optional[bytes] = ..., received_at_us: _Optional[int] = ..., released_fact_id: _Optional[str] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ...) -> None: ...

class ListQuarantinedResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Quarantined]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[Quarantined, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListDuplicatesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "source_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    source_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., source_id: _Optional[str] = ...) -> None: ...

class Repeats(_message.Message):
    __slots__ = ("source_id", "count", "first_at_us", "last_at_us")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_AT_US_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_US_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    count: int
    first_at_us: int
    last_at_us: int
    def __init__(self, source_id: _Optional[str] = ..., count: _Optional[int] = ..., first_at_us: _Optional[int] = ..., last_at_us: _Optional[int] = ...) -> None: ...

class DuplicateMessage(_message.Message):
    __slots__ = ("fact_id", "repeats")
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    fact_id: str
    repeats: Repeats
    def __init__(self, fact_id: _Optional[str] = ..., repeats: _Optional[_Union[Repeats, _Mapping]] = ...) -> None: ...

class ListDuplicatesResponse(_message.Message):
    __slots__ = ("messages", "totals", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[DuplicateMessage]
    totals: _containers.RepeatedCompositeFieldContainer[Repeats]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[DuplicateMessage, _Mapping]]] = ..., totals: _Optional[_Iterable[_Union[Repeats, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReleaseQuarantinedRequest(_message.Message):
    __slots__ = ("quarantine_id", "event")
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    quarantine_id: str
    event: _event_pb2.Event
    def __init__(self, quarantine_id: _Optional[str] = ..., event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ...) -> None: ...

class ReleaseQuarantinedResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: IngestEventsResponse
    def __init__(self, result: _Optional[_Union[IngestEventsResponse, _Mapping]] = ...) -> None: ...
