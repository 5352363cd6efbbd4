"""Groups the provinces of China into regions."""

from __future__ import annotations

from typing import Final

from services.kernel.cleaning.place_table import MAX_LENGTH, chinese_name

#: The regions, by the full names of their provinces in GB/T 2260. Each province is in one.
REGIONS: Final[dict[str, frozenset[str]]] = {
    "华东": frozenset({"上海市", "江苏省", "浙江省", "安徽省", "福建省", "江西省", "山东省"}),
    "华北": frozenset({"北京市", "天津市", "河北省", "山西省", "内蒙古自治区"}),
    "华中": frozenset({"河南省", "湖北省", "湖南省"}),
    "华南": frozenset({"广东省", "广西壮族自治区", "海南省"}),
    "西南": frozenset({"重庆市", "四川省", "贵州省", "云南省", "西藏自治区"}),
    "西北": frozenset({"陕西省", "甘肃省", "青海省", "宁夏回族自治区", "新疆维吾尔自治区"}),
    "东北": frozenset({"辽宁省", "吉林省", "黑龙江省"}),
    "港澳台": frozenset({"香港特别行政区", "澳门特别行政区", "台湾省"}),
}
_REGION_OF: Final = {province: region for region, of in REGIONS.items() for province in of}


def region_of(province: str) -> str | None:
    """Return the region of a province's full name; None if it is no province."""
    return _REGION_OF.get(province)


def standard_region(text: str) -> str | None:
    """Return the name of a region that a text names, such as `华东` for `华东地区`; else None."""
    if len(text) > MAX_LENGTH:
        return None
    name = chinese_name(text).removesuffix("地区").removesuffix("区").removesuffix("大")
    return name if name in REGIONS else None
