from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import source_trust_pb2 as _source_trust_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_SOURCE: _ClassVar[Role]
    ROLE_READER: _ClassVar[Role]
    ROLE_SERVICE: _ClassVar[Role]
    ROLE_ADMIN: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_SOURCE: Role
ROLE_READER: Role
ROLE_SERVICE: Role
ROLE_ADMIN: Role

class WorkspaceDefined(_message.Message):
    __slots__ = ("title", "default_region")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_REGION_FIELD_NUMBER: _ClassVar[int]
    title: str
    default_region: str
    def __init__(self, title: _Optional[str] = ..., default_region: _Optional[str] = ...) -> None: ...

class SourceDefined(_message.Message):
    __slots__ = ("source_id", "title", "channel", "version", "disabled", "trust", "allowed_namespaces", "allowed_event_names", "allowed_traits", "max_age_days", "party")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_EVENT_NAMES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_TRAITS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_DAYS_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    title: str
    channel: str
    version: int
    disabled: bool
    trust: _source_trust_pb2.SourceTrust
    allowed_namespaces: _containers.RepeatedScalarFieldContainer[str]
    allowed_event_names: _containers.RepeatedScalarFieldContainer[str]
    allowed_traits: _containers.RepeatedScalarFieldContainer[str]
    max_age_days: int
    party: _source_trust_pb2.Party
    def __init__(self, source_id: _Optional[str] = ..., title: _Optional[str] = ..., channel: _Optional[str] = ..., version: _Optional[int] = ..., disabled: _Optional[bool] = ..., trust: _Optional[_Union[_source_trust_pb2.SourceTrust, str]] = ..., allowed_namespaces: _Optional[_Iterable[str]] = ..., allowed_event_names: _Optional[_Iterable[str]] = ..., allowed_traits: _Optional[_Iterable[str]] = ..., max_age_days: _Optional[int] = ..., party: _Optional[_Union[_source_trust_pb2.Party, str]] = ...) -> None: ...

class FieldClassesDefined(_message.Message):
    __slots__ = ("identifiers", "names", "version")
    class IdentifiersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _options_pb2.FieldClass
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_options_pb2.FieldClass, str]] = ...) -> None: ...
    class NamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _options_pb2.FieldClass
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_options_pb2.FieldClass, str]] = ...) -> None: ...
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    identifiers: _containers.ScalarMap[str, _options_pb2.FieldClass]
    names: _containers.ScalarMap[str, _options_pb2.FieldClass]
    version: int
    def __init__(self, identifiers: _Optional[_Mapping[str, _options_pb2.FieldClass]] = ..., names: _Optional[_Mapping[str, _options_pb2.FieldClass]] = ..., version: _Optional[int] = ...) -> None: ...

class CallRefused(_message.Message):
    __slots__ = ("key_id", "method", "day")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    method: str
    day: int
    def __init__(self, key_id: _Optional[str] = ..., method: _Optional[str] = ..., day: _Optional[int] = ...) -> None: ...

class KeyDefined(_message.Message):
    __slots__ = ("key_id", "key_hash", "role", "source_id", "title", "disabled", "version", "created_at_us", "expires_at_us", "allowed_origins", "allowed_addresses", "bootstrap")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_HASH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_US_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_ORIGINS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    BOOTSTRAP_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    key_hash: bytes
    role: Role
    source_id: str
    title: str
    disabled: bool
    version: int
    created_at_us: int
    expires_at_us: int
    allowed_origins: _containers.RepeatedScalarFieldContainer[str]
    allowed_addresses: _containers.RepeatedScalarFieldContainer[str]
    bootstrap: bool
    def __init__(self, key_id: _Optional[str] = ..., key_hash: _Optional[bytes] = ..., role: _Optional[_Union[Role, str]] = ..., source_id: _Optional[str] = ..., title: _Optional[str] = ..., disabled: _Optional[bool] = ..., version: _Optional[int] = ..., created_at_us: _Optional[int] = ..., expires_at_us: _Optional[int] = ..., allowed_origins: _Optional[_Iterable[str]] = ..., allowed_addresses: _Optional[_Iterable[str]] = ..., bootstrap: _Optional[bool] = ...) -> None: ...
