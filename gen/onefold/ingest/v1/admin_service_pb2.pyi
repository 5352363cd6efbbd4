from onefold.ingest.v1 import ingest_facts_pb2 as _ingest_facts_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_STATE_UNSPECIFIED: _ClassVar[KeyState]
    KEY_STATE_ACTIVE: _ClassVar[KeyState]
    KEY_STATE_EXPIRED: _ClassVar[KeyState]
    KEY_STATE_DISABLED: _ClassVar[KeyState]
    KEY_STATE_SOURCE_DISABLED: _ClassVar[KeyState]

class ErasureState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERASURE_STATE_UNSPECIFIED: _ClassVar[ErasureState]
    ERASURE_STATE_REQUESTED: _ClassVar[ErasureState]
    ERASURE_STATE_ERASED: _ClassVar[ErasureState]
KEY_STATE_UNSPECIFIED: KeyState
KEY_STATE_ACTIVE: KeyState
KEY_STATE_EXPIRED: KeyState
KEY_STATE_DISABLED: KeyState
KEY_STATE_SOURCE_DISABLED: KeyState
ERASURE_STATE_UNSPECIFIED: ErasureState
ERASURE_STATE_REQUESTED: ErasureState
ERASURE_STATE_ERASED: ErasureState

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

class DefineFieldClassesRequest(_message.Message):
    __slots__ = ("classes", "dry_run", "etag")
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    classes: _ingest_facts_pb2.FieldClassesDefined
    dry_run: bool
    etag: str
    def __init__(self, classes: _Optional[_Union[_ingest_facts_pb2.FieldClassesDefined, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineFieldClassesResponse(_message.Message):
    __slots__ = ("classes", "changed", "token", "etag")
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    classes: _ingest_facts_pb2.FieldClassesDefined
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, classes: _Optional[_Union[_ingest_facts_pb2.FieldClassesDefined, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class GetFieldClassesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFieldClassesResponse(_message.Message):
    __slots__ = ("classes", "etag")
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    classes: _ingest_facts_pb2.FieldClassesDefined
    etag: str
    def __init__(self, classes: _Optional[_Union[_ingest_facts_pb2.FieldClassesDefined, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class IssueKeyRequest(_message.Message):
    __slots__ = ("role", "source_id", "title", "lifetime_us", "allowed_origins", "allowed_addresses")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_US_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_ORIGINS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    role: _ingest_facts_pb2.Role
    source_id: str
    title: str
    lifetime_us: int
    allowed_origins: _containers.RepeatedScalarFieldContainer[str]
    allowed_addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, role: _Optional[_Union[_ingest_facts_pb2.Role, str]] = ..., source_id: _Optional[str] = ..., title: _Optional[str] = ..., lifetime_us: _Optional[int] = ..., allowed_origins: _Optional[_Iterable[str]] = ..., allowed_addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class IssueKeyResponse(_message.Message):
    __slots__ = ("key", "key_id", "token", "expires_at_us")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    key: str
    key_id: str
    token: _token_pb2.Token
    expires_at_us: int
    def __init__(self, key: _Optional[str] = ..., key_id: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., expires_at_us: _Optional[int] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("key_id", "overlap_us", "lifetime_us")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_US_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_US_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    overlap_us: int
    lifetime_us: int
    def __init__(self, key_id: _Optional[str] = ..., overlap_us: _Optional[int] = ..., lifetime_us: _Optional[int] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    __slots__ = ("key", "key_id", "token", "expires_at_us", "replaced_expires_at_us")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    REPLACED_EXPIRES_AT_US_FIELD_NUMBER: _ClassVar[int]
    key: str
    key_id: str
    token: _token_pb2.Token
    expires_at_us: int
    replaced_expires_at_us: int
    def __init__(self, key: _Optional[str] = ..., key_id: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., expires_at_us: _Optional[int] = ..., replaced_expires_at_us: _Optional[int] = ...) -> None: ...

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

class KeySummary(_message.Message):
    __slots__ = ("key", "state", "last_used_on")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_ON_FIELD_NUMBER: _ClassVar[int]
    key: _ingest_facts_pb2.KeyDefined
    state: KeyState
    last_used_on: str
    def __init__(self, key: _Optional[_Union[_ingest_facts_pb2.KeyDefined, _Mapping]] = ..., state: _Optional[_Union[KeyState, str]] = ..., last_used_on: _Optional[str] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[KeySummary]
    def __init__(self, keys: _Optional[_Iterable[_Union[KeySummary, _Mapping]]] = ...) -> None: ...

class GetCallerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCallerResponse(_message.Message):
    __slots__ = ("workspace_id", "role", "key_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    role: _ingest_facts_pb2.Role
    key_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., role: _Optional[_Union[_ingest_facts_pb2.Role, str]] = ..., key_id: _Optional[str] = ...) -> None: ...

class KeyUse(_message.Message):
    __slots__ = ("workspace_id", "key_id", "day", "refused_method")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_METHOD_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    key_id: str
    day: int
    refused_method: str
    def __init__(self, workspace_id: _Optional[str] = ..., key_id: _Optional[str] = ..., day: _Optional[int] = ..., refused_method: _Optional[str] = ...) -> None: ...

class RecordKeyUsesRequest(_message.Message):
    __slots__ = ("uses",)
    USES_FIELD_NUMBER: _ClassVar[int]
    uses: _containers.RepeatedCompositeFieldContainer[KeyUse]
    def __init__(self, uses: _Optional[_Iterable[_Union[KeyUse, _Mapping]]] = ...) -> None: ...

class RecordKeyUsesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRefusedCallsRequest(_message.Message):
    __slots__ = ("page_size",)
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    def __init__(self, page_size: _Optional[int] = ...) -> None: ...

class RefusedCall(_message.Message):
    __slots__ = ("call", "recorded_at_us", "fact_id")
    CALL_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    call: _ingest_facts_pb2.CallRefused
    recorded_at_us: int
    fact_id: str
    def __init__(self, call: _Optional[_Union[_ingest_facts_pb2.CallRefused, _Mapping]] = ..., recorded_at_us: _Optional[int] = ..., fact_id: _Optional[str] = ...) -> None: ...

class ListRefusedCallsResponse(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[RefusedCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[RefusedCall, _Mapping]]] = ...) -> None: ...

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

class ListErasuresRequest(_message.Message):
    __slots__ = ("page_size", "request_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    request_id: str
    def __init__(self, page_size: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ErasureSummary(_message.Message):
    __slots__ = ("request_id", "state", "requested_at_us", "actor", "legal_ground", "block", "identifiers", "erased_at_us", "facts", "facts_of_others", "refused_events", "token", "certificate", "services")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    LEGAL_GROUND_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    ERASED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    FACTS_OF_OTHERS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    state: ErasureState
    requested_at_us: int
    actor: str
    legal_ground: str
    block: bool
    identifiers: int
    erased_at_us: int
    facts: int
    facts_of_others: int
    refused_events: int
    token: _token_pb2.Token
    certificate: ErasureCertificate
    services: _containers.RepeatedCompositeFieldContainer[ServiceErasure]
    def __init__(self, request_id: _Optional[str] = ..., state: _Optional[_Union[ErasureState, str]] = ..., requested_at_us: _Optional[int] = ..., actor: _Optional[str] = ..., legal_ground: _Optional[str] = ..., block: _Optional[bool] = ..., identifiers: _Optional[int] = ..., erased_at_us: _Optional[int] = ..., facts: _Optional[int] = ..., facts_of_others: _Optional[int] = ..., refused_events: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., certificate: _Optional[_Union[ErasureCertificate, _Mapping]] = ..., services: _Optional[_Iterable[_Union[ServiceErasure, _Mapping]]] = ...) -> None: ...

class ServiceErasure(_message.Message):
    __slots__ = ("service", "rows")
    class RowsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    service: str
    rows: _containers.ScalarMap[str, int]
    def __init__(self, service: _Optional[str] = ..., rows: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ErasureCertificate(_message.Message):
    __slots__ = ("statement", "signature", "public_key")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    statement: str
    signature: bytes
    public_key: bytes
    def __init__(self, statement: _Optional[str] = ..., signature: _Optional[bytes] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class ListErasuresResponse(_message.Message):
    __slots__ = ("erasures",)
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    erasures: _containers.RepeatedCompositeFieldContainer[ErasureSummary]
    def __init__(self, erasures: _Optional[_Iterable[_Union[ErasureSummary, _Mapping]]] = ...) -> None: ...
