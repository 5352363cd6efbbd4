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

class Right(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RIGHT_UNSPECIFIED: _ClassVar[Right]
    RIGHT_SEND: _ClassVar[Right]
    RIGHT_READ: _ClassVar[Right]
    RIGHT_OPERATE: _ClassVar[Right]
    RIGHT_ADMINISTER: _ClassVar[Right]
    RIGHT_INTERNAL: _ClassVar[Right]
    RIGHT_SEE_PERSONAL: _ClassVar[Right]
    RIGHT_UNMASK: _ClassVar[Right]

class FieldClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIELD_CLASS_UNSPECIFIED: _ClassVar[FieldClass]
    FIELD_CLASS_NONE: _ClassVar[FieldClass]
    FIELD_CLASS_PERSONAL: _ClassVar[FieldClass]
    FIELD_CLASS_SENSITIVE: _ClassVar[FieldClass]

class PersonalData(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PERSONAL_DATA_UNSPECIFIED: _ClassVar[PersonalData]
    PERSONAL_DATA_IDENTIFIER: _ClassVar[PersonalData]
    PERSONAL_DATA_VALUE: _ClassVar[PersonalData]
    PERSONAL_DATA_DOCUMENT: _ClassVar[PersonalData]
    PERSONAL_DATA_TEXT: _ClassVar[PersonalData]
    PERSONAL_DATA_RULE_TEXT: _ClassVar[PersonalData]
BYTES_FORMAT_UNSPECIFIED: BytesFormat
BYTES_FORMAT_JSON: BytesFormat
BYTES_FORMAT_HEX: BytesFormat
RIGHT_UNSPECIFIED: Right
RIGHT_SEND: Right
RIGHT_READ: Right
RIGHT_OPERATE: Right
RIGHT_ADMINISTER: Right
RIGHT_INTERNAL: Right
RIGHT_SEE_PERSONAL: Right
RIGHT_UNMASK: Right
FIELD_CLASS_UNSPECIFIED: FieldClass
FIELD_CLASS_NONE: FieldClass
FIELD_CLASS_PERSONAL: FieldClass
FIELD_CLASS_SENSITIVE: FieldClass
PERSONAL_DATA_UNSPECIFIED: PersonalData
PERSONAL_DATA_IDENTIFIER: PersonalData
PERSONAL_DATA_VALUE: PersonalData
PERSONAL_DATA_DOCUMENT: PersonalData
PERSONAL_DATA_TEXT: PersonalData
PERSONAL_DATA_RULE_TEXT: PersonalData
RIGHTS_FIELD_NUMBER: _ClassVar[int]
rights: _descriptor.FieldDescriptor
BYTES_FORMAT_FIELD_NUMBER: _ClassVar[int]
bytes_format: _descriptor.FieldDescriptor
PATTERN_FIELD_NUMBER: _ClassVar[int]
pattern: _descriptor.FieldDescriptor
MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
max_length: _descriptor.FieldDescriptor
SECRET_FIELD_NUMBER: _ClassVar[int]
secret: _descriptor.FieldDescriptor
PERSONAL_DATA_FIELD_NUMBER: _ClassVar[int]
personal_data: _descriptor.FieldDescriptor
