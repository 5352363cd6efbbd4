from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SegmentDefined(_message.Message):
    __slots__ = ("segment_id", "title", "rule", "version", "retired")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    title: str
    rule: _rule_pb2.Rule
    version: int
    retired: bool
    def __init__(self, segment_id: _Optional[str] = ..., title: _Optional[str] = ..., rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...

class SetExpression(_message.Message):
    __slots__ = ("segment_id", "all", "any")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    ANY_FIELD_NUMBER: _ClassVar[int]
    NOT_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    all: SetOperands
    any: SetOperands
    def __init__(self, segment_id: _Optional[str] = ..., all: _Optional[_Union[SetOperands, _Mapping]] = ..., any: _Optional[_Union[SetOperands, _Mapping]] = ..., **kwargs) -> None: ...

class SetOperands(_message.Message):
    __slots__ = ("sets",)
    SETS_FIELD_NUMBER: _ClassVar[int]
    sets: _containers.RepeatedCompositeFieldContainer[SetExpression]
    def __init__(self, sets: _Optional[_Iterable[_Union[SetExpression, _Mapping]]] = ...) -> None: ...

class SnapshotTaken(_message.Message):
    __slots__ = ("name", "title", "expression", "token", "version", "removed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    expression: SetExpression
    token: _token_pb2.Token
    version: int
    removed: bool
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., expression: _Optional[_Union[SetExpression, _Mapping]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., version: _Optional[int] = ..., removed: _Optional[bool] = ...) -> None: ...
