from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErasureRequested(_message.Message):
    __slots__ = ("request_id", "identifier_ids", "related_ids", "legal_ground", "block", "token")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_IDS_FIELD_NUMBER: _ClassVar[int]
    RELATED_IDS_FIELD_NUMBER: _ClassVar[int]
    LEGAL_GROUND_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    identifier_ids: _containers.RepeatedScalarFieldContainer[bytes]
    related_ids: _containers.RepeatedScalarFieldContainer[bytes]
    legal_ground: str
    block: bool
    token: _token_pb2.Token
    def __init__(self, request_id: _Optional[bytes] = ..., identifier_ids: _Optional[_Iterable[bytes]] = ..., related_ids: _Optional[_Iterable[bytes]] = ..., legal_ground: _Optional[str] = ..., block: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class PersonErased(_message.Message):
    __slots__ = ("request_id", "identifier_ids", "changed_ids", "account_ids", "facts", "facts_of_others", "refused_events", "block")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_IDS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_IDS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    FACTS_OF_OTHERS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    identifier_ids: _containers.RepeatedScalarFieldContainer[bytes]
    changed_ids: _containers.RepeatedScalarFieldContainer[bytes]
    account_ids: _containers.RepeatedScalarFieldContainer[bytes]
    facts: int
    facts_of_others: int
    refused_events: int
    block: bool
    def __init__(self, request_id: _Optional[bytes] = ..., identifier_ids: _Optional[_Iterable[bytes]] = ..., changed_ids: _Optional[_Iterable[bytes]] = ..., account_ids: _Optional[_Iterable[bytes]] = ..., facts: _Optional[int] = ..., facts_of_others: _Optional[int] = ..., refused_events: _Optional[int] = ..., block: _Optional[bool] = ...) -> None: ...

class ErasureFolded(_message.Message):
    __slots__ = ("request_id", "service", "rows")
    class RowsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    service: str
    rows: _containers.ScalarMap[str, int]
    def __init__(self, request_id: _Optional[bytes] = ..., service: _Optional[str] = ..., rows: _Optional[_Mapping[str, int]] = ...) -> None: ...

class FactErased(_message.Message):
    __slots__ = ("identifiers", "co_observed")
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    CO_OBSERVED_FIELD_NUMBER: _ClassVar[int]
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    co_observed: bool
    def __init__(self, identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., co_observed: _Optional[bool] = ...) -> None: ...
