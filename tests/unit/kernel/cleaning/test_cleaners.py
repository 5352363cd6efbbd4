"""Tests the standard forms of numbers, dates, names and currencies, and the table of cleaners."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.cleaning.cleaners import (
    CLEANERS,
    check_cleaner,
    clean,
    clean_literal,
    newest_version,
)
from services.kernel.errors import RuleError
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.features import Trait
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        (1.0, 1),
        (0.5, 0.5),
        ("12", 12),
        (" １，２３４．５ ", 1234.5),
        ("1,234,567.89", 1234567.89),
        ("-5", -5),
        ("−5", -5),
        ("+5", 5),
        (".5", 0.5),
        ("1e5", 100_000),
        ("¥1,200", 1200),
        ("￥ 1,234.00 元", 1234),
        ("-¥5", -5),
        ("¥-5", -5),
        ("RMB 5", 5),
        ("100 USD", 100),
        ("3.5万元", 35_000),
        ("1.1万", 11_000),
        ("2億", 200_000_000),
        ("1.2万亿", 1_200_000_000_000),
        ("12.5%", 0.125),
        ("１００％", 1),
    ],
)
def test_a_number_is_read_as_it_is_written(value: Any, number: float) -> None:
    cleaned = clean("number@1", value)
    assert cleaned == number
    assert type(cleaned) is type(number)


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", "1,23", "12,34", "1,2345", "1.234,5", "1 234", "1'234", "007", "5.", "1_000"),
        *("3-5万", "约3", ">3", "3+", "三万", "5万%", "¥5%", "-¥-5", "0x10", "NaN", "inf", "1E999"),
        *("1E-999", "10²", "½", "①", "9" * 500, "٣"),
        *(True, None, [1], {"a": 1}, float("nan"), float("inf"), 10**400),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_an_ambiguous_number_is_none(value: Any) -> None:
    assert clean("number@1", value) is None


@pytest.mark.parametrize(
    "value",
    [
        *("2026-01-02", "2026-1-2", "2026/1/2", "2026/01/02", "2026.1.2", "20260102", 20260102),
        *(
            "2026年1月2日",
            "2026年01月02号",
            "2026 年 1 月 2 日",
            "２０２６－０１－０２",
            " 2026-01-02\n",
        ),
        *("2026-01-02T23:59:59.5Z", "2026-01-02 08:00", "2026-01-02 08:00:00+08:00"),
        *("2026年1月2日08:00", "2026/1/2 8:00"),
    ],
)
def test_a_date_has_its_iso_text(value: Any) -> None:
    assert clean("date@1", value) == "2026-01-02"


@pytest.mark.parametrize(
    "value",
    [
        *("", "01/02/2026", "26-1-2", "2/1/26", "2026-02-30", "2026-13-01", "2026-1", "2026年1月"),
        *("2026-1/2", "0000-01-01", "18991231", "21000101", "2026-01-02 25:00", "2026-01-02 x"),
        *("2026-01-0²", "now", 1_893_456_000, 2026, -20260102, 20260102.0, True, None),
    ],
    ids=repr,
)
def test_an_ambiguous_date_is_none(value: Any) -> None:
    assert clean("date@1", value) is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (" 王 小 明 ", "王小明"),
        ("王\u3000小明", "王小明"),
        ("\u200b王明\u200e", "王明"),
        ("Ｊｏｈｎ　 Smith", "John Smith"),
        ("买买提 • 艾力", "买买提·艾力"),
        ("买买提・艾力", "买买提·艾力"),
        ("李 Ming", "李 Ming"),
        ("McDonald", "McDonald"),
        ("  ", None),
        (5, None),
        ("名" * 201, None),
    ],
)
def test_a_name_of_a_person_has_one_form(value: Any, name: str | None) -> None:
    assert clean("person_name@1", value) == name


@pytest.mark.parametrize(
    ("value", "code"),
    [
        *[(v, "CNY") for v in ("¥", "￥", "元", "人民币", "RMB", "cny", " CNY ", "ＣＮＹ")],
        *[("$", "USD"), ("US$", "USD"), ("美元", "USD"), ("€", "EUR"), ("HK$", "HKD")],
        *[("港币", "HKD"), ("NT$", "TWD"), ("日元", "JPY")],
        *[
            ("", None),
            ("XPT", None),
            ("XAU", None),
            ("Q", None),
            (5, None),
            ("CNY" + " " * 99, None),
        ],
    ],
)
def test_a_currency_has_its_code(value: Any, code: str | None) -> None:
    assert clean("currency@1", value) == code


@pytest.mark.parametrize(
    ("cleaner", "value", "standard"),
    [
        ("place@1", "北京", "北京市"),
        ("place@1", "江苏", "江苏省"),
        ("place@1", "江苏 南京", "南京市"),
        ("place@1", "南京鼓楼", "南京市鼓楼区"),
        ("place@1", "美国", None),
        ("place@1", 5, None),
        ("province@1", "南京", "江苏省"),
        ("province@1", "上海市浦东新区", "上海市"),
        ("city@1", "上海市浦东新区", "上海市"),
        ("city@1", "江苏", None),
        ("region@1", "南京", "华东"),
        ("region@1", "上海市浦东新区", "华东"),
        ("region@1", "华东地区", "华东"),
        ("region@1", None, None),
    ],
)
def test_cleaners_of_places_return_their_part(cleaner: str, value: Any, standard: Any) -> None:
    assert clean(cleaner, value) == standard


written = st.one_of(
    st.text(max_size=12),
    st.text("0123456789.,-+%万亿¥元 年月日/:TZ", max_size=12),
    st.text("王小明·• ﾞｶe\u0301\u200b\u3000Aa", max_size=8),
    st.sampled_from(
        ("北京", "浦东", "港币", "华东地区", "2026-1-2", "12.5%", "1,000元", "Jilin City")
    ),
    st.integers(),
    st.floats(),
    st.none() | st.booleans(),
)


@pytest.mark.parametrize("cleaner", list(CLEANERS))
def test_a_standard_form_does_not_change_when_it_is_cleaned_again(cleaner: str) -> None:
    @examples(300)
    @given(value=written)
    def compare(value: Any) -> None:
        standard = clean(cleaner, value)
        if standard is not None:
            again = clean(cleaner, standard)
            assert again == standard
            assert type(again) is type(standard)

    compare()


@pytest.mark.parametrize("cleaner", ["place@2", "place", "", "nothing@1"])
def test_an_unknown_cleaner_is_rejected_with_the_known_ones(cleaner: str) -> None:
    with pytest.raises(RuleError, match="place@1, province@1"):
        check_cleaner(cleaner)
    with pytest.raises(RuleError, match="place@1, province@1"):
        clean(cleaner, "北京")


def test_a_cleaner_without_a_version_is_the_newest_one() -> None:
    assert newest_version("place") == "place@1"
    assert newest_version("place@1") == "place@1"
    assert Trait("city", cleaner="place") == Trait("city", cleaner="place@1")
    for name in ("plce", "place@9", "@1"):
        with pytest.raises(RuleError, match="place") as caught:
            newest_version(name)
        assert caught.value.field == "clean"


class _Profile:
    last_seen_us = 0

    def __init__(self, city: Any) -> None:
        self._city = city

    def trait(self, name: str, parties: Any = (), sources: Any = ()) -> Any:
        return self._city


@pytest.mark.parametrize("written", ["北京", "北京市", " 北京 ", "Beijing"])
@pytest.mark.parametrize("stated", ["北京", "北京市", " 北京 ", "Beijing"])
def test_a_cleaned_trait_equals_every_spelling_of_its_value(written: str, stated: str) -> None:
    rule = parse_rule({"trait": {"name": "city", "eq": written, "clean": "place"}})
    assert isinstance(rule, Predicate)
    assert evaluate_predicate(rule, _Profile(stated), 0).holds  # type: ignore[arg-type]
    assert not evaluate_predicate(rule, _Profile("上海"), 0).holds  # type: ignore[arg-type]
    canonical = {"name": "city", "clean": "place@1", "eq": "北京市"}
    assert dump_rule(rule) == {"trait": canonical}


def test_a_value_that_cannot_be_cleaned_is_absent() -> None:
    trait = Trait("city", cleaner="place@1")
    for operator in (Operator.MISSING, Operator.EXISTS):
        predicate = Predicate(trait, operator)
        holds = evaluate_predicate(predicate, _Profile("n/a"), 0).holds  # type: ignore[arg-type]
        assert holds is (operator is Operator.MISSING)


def test_a_list_of_spellings_becomes_the_set_of_standard_names() -> None:
    trait = Trait("city", cleaner="region@1")
    assert Predicate(trait, Operator.IN, ["华东", "南京", "上海"]).value == ("华东",)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "city", "eq": "火星", "clean": "place"}, "trait.eq"),
        ({"name": "city", "in": ["北京", "火星"], "clean": "place"}, "trait.in"),
        ({"name": "city", "in": [["北京"]], "clean": "place"}, "trait.in"),
        ({"name": "born", "lt": "01/02/2026", "clean": "date"}, "trait.lt"),
        ({"name": "city", "eq": "北京", "clean": "plce"}, "trait.clean"),
    ],
)
def test_a_rule_with_a_value_without_standard_form_is_rejected(form: Any, field: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule({"all": [{"trait": form}]})
    assert caught.value.field == f"all[0].{field}"


def test_every_cleaner_names_a_remedy_for_a_value_that_it_cannot_read() -> None:
    for cleaner in CLEANERS:
        with pytest.raises(RuleError, match="write"):
            clean_literal(cleaner, "" if cleaner == "person_name@1" else "?")
