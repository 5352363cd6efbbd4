"""Birth dates, phones, mailboxes and addresses have one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.linkage.contacts import (
    PostalAddress,
    normalize_phone,
    parse_address,
    parse_birth_date,
    parse_mailbox,
)


@pytest.mark.parametrize("text", ["1990-03-07", "1990/3/7", "19900307", "1990年3月7日"])
def test_spellings_of_a_date_are_equal(text: str) -> None:
    assert parse_birth_date(text) == "1990-03-07"


@pytest.mark.parametrize(
    "text", ["", "1900-01-01", "1970-01-01", "1990-13-01", "soon", "0001-01-01"]
)
def test_default_or_invalid_date_is_no_birth_date(text: str) -> None:
    assert parse_birth_date(text) == ""


@pytest.mark.parametrize("text", ["13912345678", "139-1234-5678", "+86 139 1234 5678"])
def test_spellings_of_a_phone_number_are_equal(text: str) -> None:
    assert normalize_phone(text, "CN") == "8613912345678"


def test_invalid_phone_number_returns_its_digits() -> None:
    assert normalize_phone("19912345678901", "CN") == "19912345678901"


@pytest.mark.parametrize("text", ["", "110", "00000000000", "none"])
def test_text_that_is_no_phone_number_is_empty(text: str) -> None:
    assert normalize_phone(text, "CN") == ""


def test_mailbox_is_the_part_before_the_tag_and_the_sign() -> None:
    assert parse_mailbox(" Li.Na+news@Example.com ") == ("li.na+news@example.com", "li.na")


@pytest.mark.parametrize("text", ["info@example.com", "no sign", "@example.com", ""])
def test_impersonal_or_invalid_mailbox_is_empty(text: str) -> None:
    assert parse_mailbox(text) == ("", "")


def test_chinese_address_is_equal_in_both_scripts() -> None:
    simplified = parse_address("广东省广州市天河区人民路12号3单元201室")
    assert simplified == parse_address("廣東省廣州市天河區人民路12號3單元201室")
    assert (simplified.city, simplified.house) == ("广州天河区", "人民路12")


def test_western_address_has_house_and_city() -> None:
    address = parse_address("12 High Street, York")
    assert (address.house, address.city) == ("12 high street", "york")


@given(st.text(max_size=60))
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    born = parse_birth_date(text)
    assert born == parse_birth_date(born), "a date that was parsed stays as it is"
    assert normalize_phone(text, "CN").strip("0123456789") == ""
    whole, mailbox = parse_mailbox(text)
    assert mailbox in whole
    assert isinstance(parse_address(text), PostalAddress)
