from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class SourceTrust(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_TRUST_UNSPECIFIED: _ClassVar[SourceTrust]
    SOURCE_TRUST_PUBLIC: _ClassVar[SourceTrust]
    SOURCE_TRUST_SERVER: _ClassVar[SourceTrust]
    SOURCE_TRUST_SYSTEM_OF_RECORD: _ClassVar[SourceTrust]

class Party(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARTY_UNSPECIFIED: _ClassVar[Party]
    PARTY_FIRST: _ClassVar[Party]
    PARTY_SECOND: _ClassVar[Party]
    PARTY_THIRD: _ClassVar[Party]
SOURCE_TRUST_UNSPECIFIED: SourceTrust
SOURCE_TRUST_PUBLIC: SourceTrust
SOURCE_TRUST_SERVER: SourceTrust
SOURCE_TRUST_SYSTEM_OF_RECORD: SourceTrust
PARTY_UNSPECIFIED: Party
PARTY_FIRST: Party
PARTY_SECOND: Party
PARTY_THIRD: Party
