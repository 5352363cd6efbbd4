from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_DISABLED: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_ALLOWED: _ClassVar[ErrorReason]
    ERROR_REASON_FIELD_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_ETAG_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_STORE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_TOKEN_NOT_REACHED: _ClassVar[ErrorReason]
    ERROR_REASON_RANGE_EXPIRED: _ClassVar[ErrorReason]
    ERROR_REASON_CLOCK_NOT_ADJUSTABLE: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_SERVICE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_NO_IDENTIFIER: _ClassVar[ErrorReason]
    ERROR_REASON_IDENTIFIER_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_JSON_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_AN_EVENT: _ClassVar[ErrorReason]
    ERROR_REASON_NAME_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_MESSAGE_ID_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_MESSAGE_ID_REUSED: _ClassVar[ErrorReason]
    ERROR_REASON_TIME_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_TIME_OUT_OF_RANGE: _ClassVar[ErrorReason]
    ERROR_REASON_PROPERTIES_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_VALUE_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_BATCH_EMPTY: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_KEY_MISSING: ErrorReason
ERROR_REASON_KEY_UNKNOWN: ErrorReason
ERROR_REASON_KEY_DISABLED: ErrorReason
ERROR_REASON_NOT_ALLOWED: ErrorReason
ERROR_REASON_FIELD_INVALID: ErrorReason
ERROR_REASON_NOT_FOUND: ErrorReason
ERROR_REASON_ETAG_MISMATCH: ErrorReason
ERROR_REASON_TOO_LARGE: ErrorReason
ERROR_REASON_STORE_UNAVAILABLE: ErrorReason
ERROR_REASON_TOKEN_NOT_REACHED: ErrorReason
ERROR_REASON_RANGE_EXPIRED: ErrorReason
ERROR_REASON_CLOCK_NOT_ADJUSTABLE: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_SERVICE_UNAVAILABLE: ErrorReason
ERROR_REASON_NO_IDENTIFIER: ErrorReason
ERROR_REASON_IDENTIFIER_INVALID: ErrorReason
ERROR_REASON_JSON_INVALID: ErrorReason
ERROR_REASON_NOT_AN_EVENT: ErrorReason
ERROR_REASON_NAME_MISSING: ErrorReason
ERROR_REASON_MESSAGE_ID_INVALID: ErrorReason
ERROR_REASON_MESSAGE_ID_REUSED: ErrorReason
ERROR_REASON_TIME_INVALID: ErrorReason
ERROR_REASON_TIME_OUT_OF_RANGE: ErrorReason
ERROR_REASON_PROPERTIES_TOO_LARGE: ErrorReason
ERROR_REASON_VALUE_INVALID: ErrorReason
ERROR_REASON_BATCH_EMPTY: ErrorReason
