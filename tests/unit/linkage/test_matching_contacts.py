"""Birth dates, phones, mail and addresses in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.linkage.contacts import birth_date, mailbox, phone_number, place_of


@pytest.mark.parametrize("text", ["1990-03-07", "1990/3/7", "19900307", "1990年3月7日"])
def test_forms_of_one_date(text: str) -> None:
    assert birth_date(text) == "1990-03-07"


@pytest.mark.parametrize(
    "text", ["", "1900-01-01", "1970-01-01", "1990-13-01", "soon", "0001-01-01"]
)
def test_what_forms_fill_in_is_no_birth_date(text: str) -> None:
    assert birth_date(text) == ""


@pytest.mark.parametrize("text", ["13912345678", "139-1234-5678", "+86 139 1234 5678"])
def test_forms_of_one_number(text: str) -> None:
    assert phone_number(text, "CN") == "8613912345678"


def test_a_number_that_does_not_exist_keeps_its_digits() -> None:
    assert phone_number("19912345678901", "CN") == "19912345678901"


@pytest.mark.parametrize("text", ["", "110", "00000000000", "none"])
def test_what_is_no_number(text: str) -> None:
    assert phone_number(text, "CN") == ""


def test_a_mailbox_is_what_stands_before_the_sign_and_a_tag() -> None:
    assert mailbox(" Li.Na+news@Example.com ") == ("li.na+news@example.com", "li.na")


@pytest.mark.parametrize("text", ["info@example.com", "nobody", "@example.com", ""])
def test_mailboxes_of_nobody(text: str) -> None:
    assert mailbox(text) == ("", "")


def test_a_chinese_address_is_one_in_either_writing() -> None:
    simplified = place_of("广东省广州市天河区人民路12号3单元201室")
    assert simplified == place_of("廣東省廣州市天河區人民路12號3單元201室")
    assert (simplified.city, simplified.house) == ("广州天河区", "人民路12")


def test_a_western_address() -> None:
    place = place_of("12 High Street, York")
    assert (place.house, place.city) == ("12 high street", "york")


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    birth_date(text)
    phone_number(text, "CN")
    mailbox(text)
    place_of(text)
