from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Trigger(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRIGGER_UNSPECIFIED: _ClassVar[Trigger]
    TRIGGER_ENTERED: _ClassVar[Trigger]
    TRIGGER_LEFT: _ClassVar[Trigger]

class DeliveryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_STATE_UNSPECIFIED: _ClassVar[DeliveryState]
    DELIVERY_STATE_PENDING: _ClassVar[DeliveryState]
    DELIVERY_STATE_UNKNOWN: _ClassVar[DeliveryState]
    DELIVERY_STATE_DELIVERED: _ClassVar[DeliveryState]
    DELIVERY_STATE_DEAD: _ClassVar[DeliveryState]
    DELIVERY_STATE_SUPPRESSED: _ClassVar[DeliveryState]
TRIGGER_UNSPECIFIED: Trigger
TRIGGER_ENTERED: Trigger
TRIGGER_LEFT: Trigger
DELIVERY_STATE_UNSPECIFIED: DeliveryState
DELIVERY_STATE_PENDING: DeliveryState
DELIVERY_STATE_UNKNOWN: DeliveryState
DELIVERY_STATE_DELIVERED: DeliveryState
DELIVERY_STATE_DEAD: DeliveryState
DELIVERY_STATE_SUPPRESSED: DeliveryState

class SealedSecret(_message.Message):
    __slots__ = ("key_version", "nonce", "ciphertext")
    KEY_VERSION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    key_version: int
    nonce: bytes
    ciphertext: bytes
    def __init__(self, key_version: _Optional[int] = ..., nonce: _Optional[bytes] = ..., ciphertext: _Optional[bytes] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("url", "secret", "sealed_secret")
    URL_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    SEALED_SECRET_FIELD_NUMBER: _ClassVar[int]
    url: str
    secret: str
    sealed_secret: SealedSecret
    def __init__(self, url: _Optional[str] = ..., secret: _Optional[str] = ..., sealed_secret: _Optional[_Union[SealedSecret, _Mapping]] = ...) -> None: ...

class NatsSubject(_message.Message):
    __slots__ = ("subject",)
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    def __init__(self, subject: _Optional[str] = ...) -> None: ...

class NdjsonFile(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DestinationDefined(_message.Message):
    __slots__ = ("destination_id", "title", "webhook", "nats", "file", "segment_ids", "triggers", "content", "traits", "version", "retired")
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    NATS_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    TRIGGERS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    title: str
    webhook: Webhook
    nats: NatsSubject
    file: NdjsonFile
    segment_ids: _containers.RepeatedScalarFieldContainer[str]
    triggers: _containers.RepeatedScalarFieldContainer[Trigger]
    content: bytes
    traits: _containers.RepeatedScalarFieldContainer[str]
    version: int
    retired: bool
    def __init__(self, destination_id: _Optional[str] = ..., title: _Optional[str] = ..., webhook: _Optional[_Union[Webhook, _Mapping]] = ..., nats: _Optional[_Union[NatsSubject, _Mapping]] = ..., file: _Optional[_Union[NdjsonFile, _Mapping]] = ..., segment_ids: _Optional[_Iterable[str]] = ..., triggers: _Optional[_Iterable[_Union[Trigger, str]]] = ..., content: _Optional[bytes] = ..., traits: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...

class DeliveryEnded(_message.Message):
    __slots__ = ("effect_id", "destination_id", "segment_id", "profile_id", "state", "attempts", "reason")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    destination_id: str
    segment_id: str
    profile_id: str
    state: DeliveryState
    attempts: int
    reason: str
    def __init__(self, effect_id: _Optional[str] = ..., destination_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., state: _Optional[_Union[DeliveryState, str]] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
