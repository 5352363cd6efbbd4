"""A profile becomes a flat record, and wrong settings are rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.linkage.config import DEFAULT, load_config
from services.linkage.records import (
    ComparisonRecord,
    LinkageProfile,
    comparison_record,
    purposes_of,
    representative,
    unique_values_of,
)

CONFIG = load_config()


def profile(**traits: object) -> LinkageProfile:
    identifiers = (("anonymous_id", "a-1"), ("member_id", "m-1"), ("email", "li@example.com"))
    return LinkageProfile("p-1", identifiers, traits)


def test_record_has_traits_or_else_identifiers() -> None:
    record = comparison_record(
        profile(name="李娜", birthday="19900307", mobile="13912345678"), CONFIG
    )
    assert (record.han, record.born, record.phone) == ("李娜", "1990-03-07", "8613912345678")
    assert record.email == "li@example.com"


def test_record_of_an_empty_profile_has_no_values() -> None:
    record = comparison_record(LinkageProfile("p-1", ()), CONFIG)
    assert set(record[1:-2]) == {None}


def test_record_has_no_column_of_the_network_or_a_device() -> None:
    assert not any(
        word in name for name in ComparisonRecord._fields for word in ("ip", "device", "agent")
    )


def test_purpose_is_granted_by_true_alone() -> None:
    assert purposes_of(profile(consent_analytics=True), CONFIG) == {"analytics"}
    for value in (False, "true", 1, None):
        assert not purposes_of(profile(consent_analytics=value), CONFIG)


def test_representative_is_the_identifier_with_the_highest_priority() -> None:
    assert representative(profile()) == Identifier("member_id", "m-1")


def test_unique_values_hold_the_unique_namespaces() -> None:
    assert unique_values_of(profile(), CONFIG) == {"member_id": frozenset({"m-1"})}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[]", "traits, grants"),
        ("colour: red", "colour"),
        ("traits: {shoe: [size]}", "shoe"),
        ("traits: {name: name}", "traits.name"),
        ("traits: {name: [name]}", "grants"),
        ("traits: {name: [n]}\ngrants: {c: [a]}\nthresholds: {accept: 0.1}", "thresholds"),
        ("traits: {name: [n]}\ngrants: {c: [a]}\nthresholds: {accept: high}", "thresholds"),
        ("traits: {name: [n]}\ngrants: {c: [a]}\nregion: Atlantis", "region"),
        ("traits: [", "YAML"),
    ],
)
def test_wrong_setting_is_named_in_the_error(text: str, part: str, tmp_path: Path) -> None:
    file = tmp_path / "matching.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(InvalidField, match=part):
        load_config(file)


def test_default_settings_load() -> None:
    assert load_config(DEFAULT).thresholds.accept > load_config(DEFAULT).thresholds.review
