from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TileData(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TILE_DATA_UNSPECIFIED: _ClassVar[TileData]
    TILE_DATA_MEMBERS: _ClassVar[TileData]
    TILE_DATA_DELIVERIES: _ClassVar[TileData]
    TILE_DATA_JOURNEYS: _ClassVar[TileData]
    TILE_DATA_TICKETS: _ClassVar[TileData]

class TileChart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TILE_CHART_UNSPECIFIED: _ClassVar[TileChart]
    TILE_CHART_NUMBERS: _ClassVar[TileChart]
    TILE_CHART_BARS: _ClassVar[TileChart]
    TILE_CHART_FUNNEL: _ClassVar[TileChart]
    TILE_CHART_TABLE: _ClassVar[TileChart]
TILE_DATA_UNSPECIFIED: TileData
TILE_DATA_MEMBERS: TileData
TILE_DATA_DELIVERIES: TileData
TILE_DATA_JOURNEYS: TileData
TILE_DATA_TICKETS: TileData
TILE_CHART_UNSPECIFIED: TileChart
TILE_CHART_NUMBERS: TileChart
TILE_CHART_BARS: TileChart
TILE_CHART_FUNNEL: TileChart
TILE_CHART_TABLE: TileChart

class Tile(_message.Message):
    __slots__ = ("tile_id", "title", "data", "subject_ids", "chart", "days", "width")
    TILE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    CHART_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    tile_id: str
    title: str
    data: TileData
    subject_ids: _containers.RepeatedScalarFieldContainer[str]
    chart: TileChart
    days: int
    width: int
    def __init__(self, tile_id: _Optional[str] = ..., title: _Optional[str] = ..., data: _Optional[_Union[TileData, str]] = ..., subject_ids: _Optional[_Iterable[str]] = ..., chart: _Optional[_Union[TileChart, str]] = ..., days: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class Dashboard(_message.Message):
    __slots__ = ("dashboard_id", "title", "tiles", "version", "retired")
    DASHBOARD_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TILES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    dashboard_id: str
    title: str
    tiles: _containers.RepeatedCompositeFieldContainer[Tile]
    version: int
    retired: bool
    def __init__(self, dashboard_id: _Optional[str] = ..., title: _Optional[str] = ..., tiles: _Optional[_Iterable[_Union[Tile, _Mapping]]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...

class DashboardDefined(_message.Message):
    __slots__ = ("dashboard",)
    DASHBOARD_FIELD_NUMBER: _ClassVar[int]
    dashboard: Dashboard
    def __init__(self, dashboard: _Optional[_Union[Dashboard, _Mapping]] = ...) -> None: ...
