"""What of a person is compared, and what never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier
from services.linkage.config import DEFAULT, read_config
from services.linkage.people import Person
from services.linkage.records import Compared, compared, purposes_of, spokesman, unique_of

CONFIG = read_config()


def person(**traits: object) -> Person:
    known = (("anonymous_id", "a-1"), ("member_id", "m-1"), ("email", "li@example.com"))
    return Person("p-1", known, traits)


def test_a_record_is_made_of_traits_and_else_of_identifiers() -> None:
    record = compared(person(name="李娜", birthday="19900307", mobile="13912345678"), CONFIG)
    assert (record.han, record.born, record.phone) == ("李娜", "1990-03-07", "8613912345678")
    assert record.email == "li@example.com"


def test_what_is_not_known_is_none() -> None:
    record = compared(Person("p-1", ()), CONFIG)
    assert set(record[1:-2]) == {None}


def test_no_column_is_of_the_network_or_a_device() -> None:
    assert not any(word in name for name in Compared._fields for word in ("ip", "device", "agent"))


def test_only_true_grants_a_purpose() -> None:
    assert purposes_of(person(consent_analytics=True), CONFIG) == {"analytics"}
    for value in (False, "true", 1, None):
        assert not purposes_of(person(consent_analytics=value), CONFIG)


def test_of_a_person_the_strongest_identifier_speaks() -> None:
    assert spokesman(person()) == Identifier("member_id", "m-1")


def test_what_nobody_has_two_of() -> None:
    assert unique_of(person(), CONFIG) == {"member_id": frozenset({"m-1"})}


@pytest.mark.parametrize(
    ("told", "part"),
    [
        ("[]", "traits, grants"),
        ("colour: red", "colour"),
        ("traits: {shoe: [size]}", "shoe"),
        ("traits: {name: name}", "traits.name"),
        ("traits: {name: [name]}", "grants"),
        ("traits: {name: [n]}\ngrants: {c: [a]}\nthresholds: {accept: 0.1}", "thresholds"),
        ("traits: {name: [n]}\ngrants: {c: [a]}\nthresholds: {accept: high}", "thresholds"),
        ("traits: {name: [n]}\ngrants: {c: [a]}\nregion: nowhere", "region"),
        ("traits: [", "YAML"),
    ],
)
def test_a_wrong_part_of_the_settings_is_named(told: str, part: str, tmp_path: Path) -> None:
    file = tmp_path / "matching.yaml"
    file.write_text(told, "utf-8")
    with pytest.raises(InvalidField, match=part):
        read_config(file)


def test_the_settings_that_come_with_it_can_be_read() -> None:
    assert read_config(DEFAULT).thresholds.accept > read_config(DEFAULT).thresholds.review
