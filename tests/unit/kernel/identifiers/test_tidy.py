"""Hidden characters and spreadsheets change no identifier into another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.identifiers.normalize import normalize
from services.kernel.identifiers.tidy import tidy, without_decimals

#: Invisible characters, which are part of no identifier in ASCII.
HIDDEN = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f"
    "\u202a\u202c\u202e\u2060\u2066\u2069\ufeff\u3164"
)
PEOPLE = {
    "phone": ("13912345678", "+8613912345678"),
    "email": ("li@example.cn", "li@example.cn"),
    "user_id": ("u-1", "u-1"),
    "member_id": ("M0001", "M0001"),
    "imei": ("860123456789012", None),
    "idfa": ("3f2b8a10-9c4d-4e6f-8a7b-1c2d3e4f5a6b", "3f2b8a10-9c4d-4e6f-8a7b-1c2d3e4f5a6b"),
}


def form(namespace: str, value: str, region: str = "CN") -> str | None:
    normalized = normalize(namespace, value, region)
    return normalized.value if normalized else None


@pytest.mark.parametrize("namespace", PEOPLE)
@given(data=st.data())
@examples(60)
def test_identifier_with_hidden_characters_anywhere_has_the_form_of_the_plain_one(
    namespace: str, data: st.DataObject
) -> None:
    plain, expected = PEOPLE[namespace]
    marks = [data.draw(st.text(HIDDEN, max_size=2)) for _ in range(len(plain) + 1)]
    hidden = marks[0] + "".join(map("".join, zip(plain, marks[1:], strict=True)))
    assert form(namespace, hidden) == form(namespace, plain)
    assert expected in {None, form(namespace, plain)}


@pytest.mark.parametrize(
    "value",
    [
        "139\u00a01234\u00a05678",
        "139\u202f1234\u20095678",
        "139\u30001234\u30005678",
        "\u202a13912345678\u202c",
        "\u2068+86 139-1234-5678\u2069",
        "139\u00ad1234\u00ad5678",
        "\ufeff139\u20111234\u20115678",
    ],
)
def test_phone_with_special_spaces_and_marks_is_found(value: str) -> None:
    assert form("phone", value) == "+8613912345678"


@pytest.mark.parametrize("value", ["u\x01", "u\x00", "a\nb", "u\x7f", "\ud800u", "u\ue000"])
def test_value_with_control_characters_inside_has_no_form(value: str) -> None:
    assert form("user_id", value) is None


@pytest.mark.parametrize("value", ["می\u200cخواهم", "👨\u200d👩"])
def test_joiner_between_two_letters_that_it_joins_stays(value: str) -> None:
    assert form("user_id", value) == value


@given(st.text(max_size=20))
@examples(300)
def test_tidied_value_stays_as_it_is(value: str) -> None:
    tidied = tidy(value)
    assert tidied is None or tidy(tidied) == tidied


@pytest.mark.parametrize(
    ("value", "region", "number"),
    [
        ("+493012345.0", "CN", "+493012345"),
        ("13912345678.0", "CN", "+8613912345678"),
        ("+86 13912345678.0", "CN", "+8613912345678"),
        ("tel:+493012345.0", "CN", "+493012345"),
        ("6502530000.0", "US", "+16502530000"),
        ("1391234567.8", "CN", None),
        ("1391234567.80", "CN", None),
        ("+49301234567.000", "CN", None),
        ("1.3912345678E+10", "CN", None),
        ("1.38E+10", "CN", None),
        ("13,912,345,678.00", "CN", None),
        ("139.1234.5678", "CN", "+8613912345678"),
        ("+1.2125550100", "CN", "+12125550100"),
        ("01.42.68.53.00", "FR", "+33142685300"),
    ],
)
def test_phone_that_was_a_floating_point_number_is_the_number_or_none(
    value: str, region: str, number: str | None
) -> None:
    assert form("phone", value, region) == number


@given(st.integers(10**6, 10**13), st.sampled_from(["CN", "DE", "US", "IT"]))
@examples(300)
def test_float_of_a_phone_never_names_another_phone(number: int, region: str) -> None:
    plain = form("phone", str(number), region)
    for written in (repr(float(number)), f"{number:.2f}", f"{float(number):.4e}"):
        assert form("phone", written, region) in {plain, None}


def test_imei_that_was_a_floating_point_number_is_the_imei_or_none() -> None:
    assert form("imei", "490154203237518.0") == form("imei", "490154203237518") is not None
    # 14 digits and a zero would be another one.
    assert form("imei", "49015420323751.0") is None
    assert form("imei", "49-015420-323751-8") == "490154203237518"


@pytest.mark.parametrize("namespace", ["user_id", "member_id", "unionid", "device_id"])
@pytest.mark.parametrize(
    "value", ["1.38E+10", "1.3e+10", "1,38E+10", "1e+16", "1.38E10", "-1.2E+15"]
)
def test_number_with_an_exponent_identifies_no_one(namespace: str, value: str) -> None:
    assert form(namespace, value) is None


@pytest.mark.parametrize("value", ["2e5", "1e10", "e+1", "4e7b", "1.2e", "12E+4x"])
def test_short_id_with_an_e_stays(value: str) -> None:
    assert form("user_id", value) == value


def test_value_without_decimals_stays() -> None:
    assert without_decimals("139.1234.5678") == "139.1234.5678"
    assert without_decimals("1234567.0") == "1234567"
