"""Tests the standard names of places, and the regions of provinces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.cleaning.place_table import (
    MAX_LENGTH,
    DivisionLevel,
    place_table,
    simplified_characters,
)
from services.kernel.cleaning.places import Place, standard_place
from services.kernel.cleaning.regions import REGIONS, region_of, standard_region

BEIJING = Place("北京市", "北京市")
NANJING = Place("江苏省", "南京市")
JIANGSU = Place("江苏省")
PUDONG = Place("上海市", "上海市", "浦东新区")
JILIN_CITY = Place("吉林省", "吉林市")
CHAOYANG = Place("北京市", "北京市", "朝阳区")
KUNSHAN = Place("江苏省", "苏州市", "昆山市")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("北京", BEIJING),
        (" 北京 ", BEIJING),
        ("北 京", BEIJING),
        ("北　京　市", BEIJING),
        ("浦 东 新 區", PUDONG),
        ("　北京市\u3000", BEIJING),
        ("中国北京", BEIJING),
        ("北京市/北京市", BEIJING),
        ("Beijing", BEIJING),
        ("BEIJING, China", BEIJING),
        ("110000", BEIJING),
        ("上海市浦东新区", PUDONG),
        ("上海浦东", PUDONG),
        ("上海市,上海市,浦东新区", PUDONG),
        ("上海市市辖区浦东新区", PUDONG),
        ("浦东新区", PUDONG),
        ("江苏 南京", NANJING),
        ("江苏省-南京市", NANJING),
        ("江苏・南京", NANJING),
        ("江苏省南京市", NANJING),
        ("南京", NANJING),
        ("Nanjing, Jiangsu", NANJING),
        ("jiangsu nanjing", NANJING),
        ("Nan Jing Shi", NANJING),
        ("320100", NANJING),
        ("Jiangsu", JIANGSU),
        ("Jiangsu Province, P.R. China", JIANGSU),
        ("江苏", JIANGSU),
        ("江蘇省", JIANGSU),
        ("江苏昆山", KUNSHAN),
        ("江苏省苏州市昆山市", KUNSHAN),
        ("昆山", KUNSHAN),
        ("广西", Place("广西壮族自治区")),
        ("广西自治区", Place("广西壮族自治区")),
        ("Guangxi Zhuang Autonomous Region", Place("广西壮族自治区")),
        ("内蒙古", Place("内蒙古自治区")),
        ("内蒙", Place("内蒙古自治区")),
        ("Inner Mongolia", Place("内蒙古自治区")),
        ("宁夏", Place("宁夏回族自治区")),
        ("新疆维吾尔", Place("新疆维吾尔自治区")),
        ("Ürümqi", Place("新疆维吾尔自治区", "乌鲁木齐市")),
        ("Xi'an", Place("陕西省", "西安市")),
        ("Shaanxi", Place("陕西省")),
        ("Shanxi", Place("山西省")),
        ("凉山州", Place("四川省", "凉山彝族自治州")),
        ("西双版纳", Place("云南省", "西双版纳傣族自治州")),
        ("锡林郭勒", Place("内蒙古自治区", "锡林郭勒盟")),
        ("北川县", Place("四川省", "绵阳市", "北川羌族自治县")),
        ("重庆丰都", Place("重庆市", "重庆市", "丰都县")),
        ("仙桃", Place("湖北省", "仙桃市")),
        ("湖北省仙桃市", Place("湖北省", "仙桃市")),
        ("神农架", Place("湖北省", "神农架林区")),
        ("石河子", Place("新疆维吾尔自治区", "石河子市")),
        ("香港", Place("香港特别行政区", "香港特别行政区")),
        ("Hong Kong SAR", Place("香港特别行政区", "香港特别行政区")),
        ("Macau", Place("澳门特别行政区", "澳门特别行政区")),
        ("臺北", Place("台湾省", "台北市")),
    ],
)
def test_a_spelling_of_a_place_has_its_full_names(text: str, place: Place) -> None:
    assert standard_place(text) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("吉林", Place("吉林省")),
        ("Jilin", Place("吉林省")),
        ("吉林市", JILIN_CITY),
        ("吉林吉林", JILIN_CITY),
        ("Jilin City", JILIN_CITY),
        ("Jilin, Jilin", JILIN_CITY),
        ("海南", Place("海南省")),
        ("海南州", Place("青海省", "海南藏族自治州")),
        ("青海海南", Place("青海省", "海南藏族自治州")),
        ("朝阳", Place("辽宁省", "朝阳市")),
        ("北京朝阳", CHAOYANG),
        ("北京 北京 朝阳", CHAOYANG),
        ("河北", Place("河北省")),
        ("天津河北", Place("天津市", "天津市", "河北区")),
        ("河北区", Place("天津市", "天津市", "河北区")),
        ("长沙", Place("湖南省", "长沙市")),
        ("长沙县", Place("湖南省", "长沙市", "长沙县")),
    ],
)
def test_a_name_of_several_levels_means_the_highest_one(text: str, place: Place) -> None:
    assert standard_place(text) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("朝阳区", None),
        ("鼓楼区", None),
        ("通州", None),
        ("新竹", None),
        ("Suzhou", None),
        ("Suzhou, Anhui", Place("安徽省", "宿州市")),
        ("Suzhou, Jiangsu", Place("江苏省", "苏州市")),
        ("南京鼓楼", Place("江苏省", "南京市", "鼓楼区")),
        ("河北省桥西区", Place("河北省")),
    ],
)
def test_a_name_of_several_places_of_one_level_needs_the_division_above(
    text: str, place: Place | None
) -> None:
    assert standard_place(text) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("南京市中山路1号", NANJING),
        ("江苏 南京 中山路1号", NANJING),
        ("江苏南京中山路1号", NANJING),
        ("江苏省南京路", JIANGSU),
        ("北京市朝阳区望京街道", CHAOYANG),
        ("南京, 江苏", NANJING),
        ("南京路", None),
        ("上海滩", None),
    ],
)
def test_an_address_after_a_place_is_ignored_and_no_street_is_a_place(
    text: str, place: Place | None
) -> None:
    assert standard_place(text) == place


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "中国", "China", "美国", "Paris", "n/a", "未知", "市辖区", "12", "东"),
        *("999999", "Nanjing Paris", "北京" * MAX_LENGTH, "\ud800"),
    ],
    ids=ascii,
)
def test_a_text_that_names_no_place_in_china_is_none(text: str) -> None:
    assert standard_place(text) is None


def test_the_standard_name_of_every_division_is_its_own_standard_name() -> None:
    for division in place_table().by_code.values():
        place = standard_place(division.code)
        assert place is not None
        assert standard_place(place.text) == place
        assert standard_place(place.province + place.city + place.county) == place
        assert place.text.endswith(division.name)


def test_the_table_has_every_province_and_the_cities_below_it() -> None:
    divisions = place_table().by_code.values()
    provinces = [d.name for d in divisions if d.level is DivisionLevel.PROVINCE]
    assert len(provinces) == 34
    mainland = [d for d in divisions if d.level is DivisionLevel.CITY and d.code < "71"]
    assert sum(d.code.endswith("00") for d in mainland) == 333
    assert sum(d.level is DivisionLevel.COUNTY for d in divisions) > 2_800


def test_every_province_and_city_has_a_name_in_latin_letters() -> None:
    latin = {d for found in place_table().by_latin.values() for d in found}
    assert latin == {d for d in place_table().by_code.values() if d.level < DivisionLevel.COUNTY}


def test_no_character_of_a_name_is_translated() -> None:
    letters = {ord(c) for d in place_table().by_code.values() for c in d.name}
    assert not letters & simplified_characters().keys()


def test_each_province_is_in_one_region() -> None:
    of_regions = [province for provinces in REGIONS.values() for province in provinces]
    provinces = {
        d.name for d in place_table().by_code.values() if d.level is DivisionLevel.PROVINCE
    }
    assert len(of_regions) == len(provinces)
    assert set(of_regions) == provinces
    assert {region_of(p) for p in ("上海市", "江苏省", "浙江省", "山东省")} == {"华东"}
    assert region_of("江苏") is None


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("华东", "华东"),
        (" 华东地区 ", "华东"),
        ("西南大区", "西南"),
        ("华東 ", "华东"),
        ("东 北", "东北"),
        ("华东" * MAX_LENGTH, None),
        ("港澳台", "港澳台"),
        ("江苏", None),
    ],
)
def test_a_region_is_read_by_its_name(text: str, region: str | None) -> None:
    assert standard_region(text) == region


fragments = st.sampled_from(
    (
        *("北京", "北京市", "朝阳", "朝阳区", "南京", "江苏", "省", "市", "路"),
        *(" ", ",", "Jilin", "shi", "1"),
    )
)


@examples(200)
@given(parts=st.lists(fragments, max_size=6))
def test_a_standard_name_does_not_change_when_it_is_standardised_again(parts: list[str]) -> None:
    place = standard_place("".join(parts))
    if place is not None:
        assert standard_place(place.text) == place


@examples(200)
@given(text=st.text(max_size=20))
def test_any_text_is_a_place_of_the_table_or_none(text: str) -> None:
    place = standard_place(text)
    assert place is None or region_of(place.province) is not None
