from onefold.activation.v1 import journeys_pb2 as _journeys_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConsentNeed(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_NEED_UNSPECIFIED: _ClassVar[ConsentNeed]
    CONSENT_NEED_GRANTED: _ClassVar[ConsentNeed]
    CONSENT_NEED_NOT_REFUSED: _ClassVar[ConsentNeed]
    CONSENT_NEED_NOTHING: _ClassVar[ConsentNeed]
CONSENT_NEED_UNSPECIFIED: ConsentNeed
CONSENT_NEED_GRANTED: ConsentNeed
CONSENT_NEED_NOT_REFUSED: ConsentNeed
CONSENT_NEED_NOTHING: ConsentNeed

class DailyWindow(_message.Message):
    __slots__ = ("from_minute", "to_minute", "zone")
    FROM_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TO_MINUTE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    from_minute: int
    to_minute: int
    zone: str
    def __init__(self, from_minute: _Optional[int] = ..., to_minute: _Optional[int] = ..., zone: _Optional[str] = ...) -> None: ...

class PurposePolicy(_message.Message):
    __slots__ = ("consent", "quiet", "caps")
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    QUIET_FIELD_NUMBER: _ClassVar[int]
    CAPS_FIELD_NUMBER: _ClassVar[int]
    consent: ConsentNeed
    quiet: DailyWindow
    caps: _containers.RepeatedCompositeFieldContainer[_journeys_pb2.JourneyCap]
    def __init__(self, consent: _Optional[_Union[ConsentNeed, str]] = ..., quiet: _Optional[_Union[DailyWindow, _Mapping]] = ..., caps: _Optional[_Iterable[_Union[_journeys_pb2.JourneyCap, _Mapping]]] = ...) -> None: ...

class ChannelPolicy(_message.Message):
    __slots__ = ("only", "ends_with")
    ONLY_FIELD_NUMBER: _ClassVar[int]
    ENDS_WITH_FIELD_NUMBER: _ClassVar[int]
    only: DailyWindow
    ends_with: str
    def __init__(self, only: _Optional[_Union[DailyWindow, _Mapping]] = ..., ends_with: _Optional[str] = ...) -> None: ...

class ChannelPolicies(_message.Message):
    __slots__ = ("purposes",)
    class PurposesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ChannelPolicy
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ChannelPolicy, _Mapping]] = ...) -> None: ...
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    purposes: _containers.MessageMap[str, ChannelPolicy]
    def __init__(self, purposes: _Optional[_Mapping[str, ChannelPolicy]] = ...) -> None: ...

class ZonePolicy(_message.Message):
    __slots__ = ("default", "traits", "from_phone")
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    FROM_PHONE_FIELD_NUMBER: _ClassVar[int]
    default: str
    traits: _containers.RepeatedScalarFieldContainer[str]
    from_phone: bool
    def __init__(self, default: _Optional[str] = ..., traits: _Optional[_Iterable[str]] = ..., from_phone: _Optional[bool] = ...) -> None: ...

class WorkspaceHoldOut(_message.Message):
    __slots__ = ("share_ppm", "salt")
    SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    share_ppm: int
    salt: str
    def __init__(self, share_ppm: _Optional[int] = ..., salt: _Optional[str] = ...) -> None: ...

class ContactPolicy(_message.Message):
    __slots__ = ("zone", "purposes", "channels", "hold_out")
    class PurposesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: PurposePolicy
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[PurposePolicy, _Mapping]] = ...) -> None: ...
    class ChannelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ChannelPolicies
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ChannelPolicies, _Mapping]] = ...) -> None: ...
    ZONE_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    zone: ZonePolicy
    purposes: _containers.MessageMap[str, PurposePolicy]
    channels: _containers.MessageMap[str, ChannelPolicies]
    hold_out: WorkspaceHoldOut
    def __init__(self, zone: _Optional[_Union[ZonePolicy, _Mapping]] = ..., purposes: _Optional[_Mapping[str, PurposePolicy]] = ..., channels: _Optional[_Mapping[str, ChannelPolicies]] = ..., hold_out: _Optional[_Union[WorkspaceHoldOut, _Mapping]] = ...) -> None: ...
