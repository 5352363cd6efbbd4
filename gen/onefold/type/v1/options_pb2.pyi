from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class BytesFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BYTES_FORMAT_UNSPECIFIED: _ClassVar[BytesFormat]
    BYTES_FORMAT_JSON: _ClassVar[BytesFormat]
    BYTES_FORMAT_HEX: _ClassVar[BytesFormat]
BYTES_FORMAT_UNSPECIFIED: BytesFormat
BYTES_FORMAT_JSON: BytesFormat
BYTES_FORMAT_HEX: BytesFormat
BYTES_FORMAT_FIELD_NUMBER: _ClassVar[int]
bytes_format: _descriptor.FieldDescriptor
PATTERN_FIELD_NUMBER: _ClassVar[int]
pattern: _descriptor.FieldDescriptor
MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
max_length: _descriptor.FieldDescriptor
