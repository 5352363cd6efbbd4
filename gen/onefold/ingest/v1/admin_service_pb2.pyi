from onefold.ingest.v1 import ingest_facts_pb2 as _ingest_facts_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DefineSourceRequest(_message.Message):
    __slots__ = ("source", "dry_run", "etag")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    source: _ingest_facts_pb2.SourceDefined
    dry_run: bool
    etag: str
    def __init__(self, source: _Optional[_Union[_ingest_facts_pb2.SourceDefined, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineSourceResponse(_message.Message):
    __slots__ = ("source", "changed", "token", "etag")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    source: _ingest_facts_pb2.SourceDefined
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, source: _Optional[_Union[_ingest_facts_pb2.SourceDefined, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListSourcesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SourceSummary(_message.Message):
    __slots__ = ("source", "etag")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    source: _ingest_facts_pb2.SourceDefined
    etag: str
    def __init__(self, source: _Optional[_Union[_ingest_facts_pb2.SourceDefined, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListSourcesResponse(_message.Message):
    __slots__ = ("sources",)
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[SourceSummary]
    def __init__(self, sources: _Optional[_Iterable[_Union[SourceSummary, _Mapping]]] = ...) -> None: ...

class IssueKeyRequest(_message.Message):
    __slots__ = ("role", "source_id", "title")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    role: _ingest_facts_pb2.Role
    source_id: str
    title: str
    def __init__(self, role: _Optional[_Union[_ingest_facts_pb2.Role, str]] = ..., source_id: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class IssueKeyResponse(_message.Message):
    __slots__ = ("key", "key_id", "token")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    key: str
    key_id: str
    token: _token_pb2.Token
    def __init__(self, key: _Optional[str] = ..., key_id: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class DisableKeyRequest(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class DisableKeyResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _token_pb2.Token
    def __init__(self, token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[_ingest_facts_pb2.KeyDefined]
    def __init__(self, keys: _Optional[_Iterable[_Union[_ingest_facts_pb2.KeyDefined, _Mapping]]] = ...) -> None: ...

class CreateWorkspaceRequest(_message.Message):
    __slots__ = ("workspace_id", "title", "default_region")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_REGION_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    title: str
    default_region: str
    def __init__(self, workspace_id: _Optional[str] = ..., title: _Optional[str] = ..., default_region: _Optional[str] = ...) -> None: ...

class CreateWorkspaceResponse(_message.Message):
    __slots__ = ("admin_key", "token")
    ADMIN_KEY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    admin_key: str
    token: _token_pb2.Token
    def __init__(self, admin_key: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...
