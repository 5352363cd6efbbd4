from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
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
    __slots__ = ("source_id", "title", "channel", "version", "disabled")
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    source_id: str
    title: str
    channel: str
    version: int
    disabled: bool
    def __init__(self, source_id: _Optional[str] = ..., title: _Optional[str] = ..., channel: _Optional[str] = ..., version: _Optional[int] = ..., disabled: _Optional[bool] = ...) -> None: ...

class KeyDefined(_message.Message):
    __slots__ = ("key_id", "key_hash", "role", "source_id", "title", "disabled", "version")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_HASH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    key_hash: bytes
    role: Role
    source_id: str
    title: str
    disabled: bool
    version: int
    def __init__(self, key_id: _Optional[str] = ..., key_hash: _Optional[bytes] = ..., role: _Optional[_Union[Role, str]] = ..., source_id: _Optional[str] = ..., title: _Optional[str] = ..., disabled: _Optional[bool] = ..., version: _Optional[int] = ...) -> None: ...
