from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Token(_message.Message):
    __slots__ = ("offsets", "sealed")
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    offsets: _containers.RepeatedScalarFieldContainer[int]
    sealed: bytes
    def __init__(self, offsets: _Optional[_Iterable[int]] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class StreamPosition(_message.Message):
    __slots__ = ("sequences", "sealed")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedScalarFieldContainer[int]
    sealed: bytes
    def __init__(self, sequences: _Optional[_Iterable[int]] = ..., sealed: _Optional[bytes] = ...) -> None: ...
