from onefold.activation.v1 import dashboards_pb2 as _dashboards_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DefineDashboardRequest(_message.Message):
    __slots__ = ("dashboard", "dry_run", "etag")
    DASHBOARD_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    dashboard: _dashboards_pb2.Dashboard
    dry_run: bool
    etag: str
    def __init__(self, dashboard: _Optional[_Union[_dashboards_pb2.Dashboard, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineDashboardResponse(_message.Message):
    __slots__ = ("dashboard", "changed", "token", "etag")
    DASHBOARD_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    dashboard: _dashboards_pb2.Dashboard
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, dashboard: _Optional[_Union[_dashboards_pb2.Dashboard, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListDashboardsRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class DashboardSummary(_message.Message):
    __slots__ = ("dashboard", "etag")
    DASHBOARD_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    dashboard: _dashboards_pb2.Dashboard
    etag: str
    def __init__(self, dashboard: _Optional[_Union[_dashboards_pb2.Dashboard, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListDashboardsResponse(_message.Message):
    __slots__ = ("dashboards",)
    DASHBOARDS_FIELD_NUMBER: _ClassVar[int]
    dashboards: _containers.RepeatedCompositeFieldContainer[DashboardSummary]
    def __init__(self, dashboards: _Optional[_Iterable[_Union[DashboardSummary, _Mapping]]] = ...) -> None: ...

class EvaluateTilesRequest(_message.Message):
    __slots__ = ("dashboard_id", "tiles", "at_least")
    DASHBOARD_ID_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    dashboard_id: str
    tiles: _containers.RepeatedCompositeFieldContainer[_dashboards_pb2.Tile]
    at_least: _token_pb2.Token
    def __init__(self, dashboard_id: _Optional[str] = ..., tiles: _Optional[_Iterable[_Union[_dashboards_pb2.Tile, _Mapping]]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class Figure(_message.Message):
    __slots__ = ("subject_id", "name", "value")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    name: str
    value: int
    def __init__(self, subject_id: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...

class TileFigures(_message.Message):
    __slots__ = ("tile_id", "figures", "unknown_ids", "pending_ids")
    TILE_ID_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_IDS_FIELD_NUMBER: _ClassVar[int]
    PENDING_IDS_FIELD_NUMBER: _ClassVar[int]
    tile_id: str
    figures: _containers.RepeatedCompositeFieldContainer[Figure]
    unknown_ids: _containers.RepeatedScalarFieldContainer[str]
    pending_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tile_id: _Optional[str] = ..., figures: _Optional[_Iterable[_Union[Figure, _Mapping]]] = ..., unknown_ids: _Optional[_Iterable[str]] = ..., pending_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class EvaluateTilesResponse(_message.Message):
    __slots__ = ("tiles",)
    TILES_FIELD_NUMBER: _ClassVar[int]
    tiles: _containers.RepeatedCompositeFieldContainer[TileFigures]
    def __init__(self, tiles: _Optional[_Iterable[_Union[TileFigures, _Mapping]]] = ...) -> None: ...
