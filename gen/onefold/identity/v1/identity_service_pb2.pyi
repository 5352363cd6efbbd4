from onefold.identity.v1 import identity_events_pb2 as _identity_events_pb2
from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResolveRequest(_message.Message):
    __slots__ = ("identifiers", "profile_ids", "at_least")
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    at_least: _token_pb2.Token
    def __init__(self, identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., profile_ids: _Optional[_Iterable[str]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ResolveResponse(_message.Message):
    __slots__ = ("profile_ids", "token")
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    token: _token_pb2.Token
    def __init__(self, profile_ids: _Optional[_Iterable[str]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListIdentifiersRequest(_message.Message):
    __slots__ = ("profile_id", "at_least")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    at_least: _token_pb2.Token
    def __init__(self, profile_id: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class KnownIdentifier(_message.Message):
    __slots__ = ("identifier", "first_seen_us", "fact_id")
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    identifier: _identifier_pb2.Identifier
    first_seen_us: int
    fact_id: str
    def __init__(self, identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., first_seen_us: _Optional[int] = ..., fact_id: _Optional[str] = ...) -> None: ...

class ListIdentifiersResponse(_message.Message):
    __slots__ = ("profile_id", "identifiers", "token")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[KnownIdentifier]
    token: _token_pb2.Token
    def __init__(self, profile_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[KnownIdentifier, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ReadRequest(_message.Message):
    __slots__ = ("shard", "from_offset", "until_offset")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FROM_OFFSET_FIELD_NUMBER: _ClassVar[int]
    UNTIL_OFFSET_FIELD_NUMBER: _ClassVar[int]
    shard: int
    from_offset: int
    until_offset: int
    def __init__(self, shard: _Optional[int] = ..., from_offset: _Optional[int] = ..., until_offset: _Optional[int] = ...) -> None: ...

class ReadResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _identity_events_pb2.FactsAttributed
    def __init__(self, batch: _Optional[_Union[_identity_events_pb2.FactsAttributed, _Mapping]] = ...) -> None: ...

class ReadAssignmentsRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ReadAssignmentsResponse(_message.Message):
    __slots__ = ("assignments", "token")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[_identity_events_pb2.Assignment]
    token: _token_pb2.Token
    def __init__(self, assignments: _Optional[_Iterable[_Union[_identity_events_pb2.Assignment, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...
