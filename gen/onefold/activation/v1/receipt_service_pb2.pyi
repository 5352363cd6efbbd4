from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConsentStatement(_message.Message):
    __slots__ = ("workspace_id", "identifier", "purpose", "granted", "at_us", "message_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    identifier: _identifier_pb2.Identifier
    purpose: str
    granted: bool
    at_us: int
    message_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., purpose: _Optional[str] = ..., granted: _Optional[bool] = ..., at_us: _Optional[int] = ..., message_id: _Optional[str] = ...) -> None: ...

class TakeReceiptRequest(_message.Message):
    __slots__ = ("token", "query", "headers", "body", "only_token")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ONLY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    query: str
    headers: _containers.ScalarMap[str, str]
    body: bytes
    only_token: bool
    def __init__(self, token: _Optional[str] = ..., query: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., body: _Optional[bytes] = ..., only_token: _Optional[bool] = ...) -> None: ...

class TakeReceiptResponse(_message.Message):
    __slots__ = ("body", "content_type", "consents")
    BODY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    content_type: str
    consents: _containers.RepeatedCompositeFieldContainer[ConsentStatement]
    def __init__(self, body: _Optional[bytes] = ..., content_type: _Optional[str] = ..., consents: _Optional[_Iterable[_Union[ConsentStatement, _Mapping]]] = ...) -> None: ...

class UnsubscribeRequest(_message.Message):
    __slots__ = ("token", "confirmed")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    token: str
    confirmed: bool
    def __init__(self, token: _Optional[str] = ..., confirmed: _Optional[bool] = ...) -> None: ...

class UnsubscribeResponse(_message.Message):
    __slots__ = ("channel", "purpose", "consent")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    channel: str
    purpose: str
    consent: ConsentStatement
    def __init__(self, channel: _Optional[str] = ..., purpose: _Optional[str] = ..., consent: _Optional[_Union[ConsentStatement, _Mapping]] = ...) -> None: ...

class TakeEngagementRequest(_message.Message):
    __slots__ = ("token", "headers", "only_token")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    ONLY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    headers: _containers.ScalarMap[str, str]
    only_token: bool
    def __init__(self, token: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., only_token: _Optional[bool] = ...) -> None: ...

class TakeEngagementResponse(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: str
    def __init__(self, target: _Optional[str] = ...) -> None: ...
