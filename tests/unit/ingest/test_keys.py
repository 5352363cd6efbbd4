"""The life of a key: restrictions, expiry, rotation, and the admin key of the settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.access.principal import Role
from services.ingest.domain.definitions import KeyDefinition, newest
from services.ingest.domain.keys import (
    MAX_LIFETIME_US,
    MAX_OVERLAP_US,
    MAX_RESTRICTIONS,
    KeyState,
    bootstrap_changes,
    check_key,
    check_lifetime,
    check_overlap,
    expiring,
    state_of,
    successor,
)
from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US

NOW = 1_800_000_000_000_000
WEB = KeyDefinition("w", "key_1", b"h" * 32, Role.SOURCE, "web", "Web", created_at_us=NOW)
ADMIN = KeyDefinition("w", "key_x", b"a" * 32, Role.ADMIN, created_at_us=NOW)


def named(name: str, **fields: object) -> KeyDefinition:
    """Return the key of the settings as it is defined at a start, with other fields."""
    key = ADMIN._replace(key_id=f"key_{name}", key_hash=name.encode() * 32, bootstrap=True)
    return key._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"allowed_origins": ("https://a.example/path",)}, "allowed_origins[0]"),
        ({"allowed_origins": ("https://a.example", "null")}, "allowed_origins[1]"),
        ({"allowed_origins": ("https://a.example",) * 51}, "allowed_origins"),
        ({"allowed_origins": ("https://a.example",), "source_id": ""}, "allowed_origins"),
        ({"allowed_addresses": ("10.0.0.1/8",)}, "allowed_addresses[0]"),
        ({"allowed_addresses": (" 10.0.0.1",)}, "allowed_addresses[0]"),
        ({"allowed_addresses": ("10.0.0.1",) * 51}, "allowed_addresses"),
        ({"title": "x" * 201}, "title"),
    ],
)
def test_key_with_an_invalid_field_is_refused(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_key(WEB._replace(**fields))  # type: ignore[arg-type]
    assert caught.value.field == field


def test_key_with_restrictions_is_accepted() -> None:
    check_key(WEB)
    origins = tuple(f"https://a{n}.example" for n in range(MAX_RESTRICTIONS))
    check_key(WEB._replace(allowed_origins=origins, allowed_addresses=("10.0.0.0/8", "::1")))
    check_key(ADMIN._replace(allowed_addresses=("2001:db8::/32",)))


@pytest.mark.parametrize(
    ("check", "most"), [(check_lifetime, MAX_LIFETIME_US), (check_overlap, MAX_OVERLAP_US)]
)
def test_span_beyond_its_bounds_is_refused(check: Callable[[int], None], most: int) -> None:
    check(0)
    check(most)
    for span in (-1, most + 1, 2**62, -(2**62)):
        with pytest.raises(InvalidField):
            check(span)


def test_state_of_a_key_follows_its_definition_and_the_clock() -> None:
    limited = WEB._replace(expires_at_us=NOW + 1)
    assert state_of(limited, NOW) is KeyState.ACTIVE
    assert state_of(limited, NOW + 1) is KeyState.EXPIRED
    assert state_of(WEB, NOW, source_disabled=True) is KeyState.SOURCE_DISABLED
    assert state_of(limited._replace(disabled=True), NOW + 1) is KeyState.DISABLED


def test_successor_has_everything_of_the_replaced_key_but_its_secret_and_times() -> None:
    replaced = WEB._replace(
        version=3,
        expires_at_us=NOW + 90 * DAY_US,
        allowed_origins=("https://a.example",),
        allowed_addresses=("10.0.0.0/8",),
    )
    later = NOW + 80 * DAY_US
    new = successor(replaced, "key_2", b"n" * 32, later, 0)
    assert new == replaced._replace(
        key_id="key_2",
        key_hash=b"n" * 32,
        version=1,
        created_at_us=later,
        expires_at_us=later + 90 * DAY_US,
    )
    assert successor(WEB, "key_2", b"n" * 32, later, 0).expires_at_us == 0
    assert successor(WEB, "key_2", b"n" * 32, later, DAY_US).expires_at_us == later + DAY_US


@pytest.mark.parametrize(
    "fields", [{"disabled": True}, {"expires_at_us": NOW}, {"bootstrap": True}]
)
def test_key_that_is_not_active_or_of_the_settings_has_no_successor(
    fields: dict[str, object],
) -> None:
    with pytest.raises(InvalidField):
        successor(WEB._replace(**fields), "key_2", b"n" * 32, NOW, 0)  # type: ignore[arg-type]


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_expiry_of_a_replaced_key_never_moves_later(before: int, at: int) -> None:
    changed = expiring(WEB._replace(expires_at_us=before, version=4), at)
    assert changed.version == 5
    assert changed.expires_at_us == (min(before, at) if before else at)


def test_first_key_of_the_settings_is_defined_alone() -> None:
    other = ADMIN._replace(key_id="key_other")
    assert bootstrap_changes(named("a"), [other], DAY_US) == [named("a")]


def test_key_of_the_settings_that_is_defined_changes_nothing() -> None:
    assert bootstrap_changes(named("a", created_at_us=NOW + 9), [named("a")], DAY_US) == []


def test_another_key_in_the_settings_lets_the_previous_one_expire() -> None:
    before = named("a", version=2)
    changes = bootstrap_changes(named("b"), [before, WEB, ADMIN], DAY_US)
    assert changes == [named("b"), before._replace(version=3, expires_at_us=NOW + DAY_US)]
    at_once = bootstrap_changes(named("b"), [before], 0)
    assert state_of(at_once[1], NOW) is KeyState.EXPIRED


def test_issued_key_that_the_settings_name_becomes_theirs() -> None:
    issued = named("b", bootstrap=False, title="issued")
    changes = bootstrap_changes(named("b"), [named("a"), issued], DAY_US)
    assert changes[0] == issued._replace(version=2, bootstrap=True)
    assert [key.expires_at_us for key in changes[1:]] == [NOW + DAY_US]


@pytest.mark.parametrize(
    "fields", [{"disabled": True}, {"expires_at_us": NOW + 5}, {"expires_at_us": NOW - 5}]
)
@pytest.mark.parametrize("bootstrap", [True, False])
def test_key_that_was_replaced_or_disabled_stays_so_and_replaces_none(
    fields: dict[str, object], bootstrap: bool
) -> None:
    known = named("a", bootstrap=bootstrap, **fields)
    assert bootstrap_changes(named("a"), [known, named("b")], DAY_US) == []


@given(st.lists(st.sampled_from("abcd"), max_size=12))
def test_any_starts_leave_exactly_the_last_new_key_without_an_expiry(starts: list[str]) -> None:
    """Replicas that still start with previous settings change nothing."""
    keys: list[KeyDefinition] = []
    for at, name in enumerate(starts):
        current = named(name, created_at_us=NOW + at)
        changes = bootstrap_changes(current, keys, DAY_US)
        keys = [key for key in newest([*keys, *changes]) if isinstance(key, KeyDefinition)]
        assert bootstrap_changes(current, keys, DAY_US) == []
    by_first_start = list(dict.fromkeys(starts))
    valid = [key.key_id for key in keys if not key.expires_at_us]
    assert valid == [f"key_{name}" for name in by_first_start[-1:]]
