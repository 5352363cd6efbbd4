"""Named statements."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from services.chassis.postgres.database import (
    Queries,
    is_connection_error,
    is_transient,
    lock_class,
    translate_store_errors,
)
from services.kernel.errors import StoreUnavailable

CHASSIS = Path("services/chassis")


def test_statements_are_attributes() -> None:
    queries = Queries.parse(
        "-- name: one\n-- Gives one.\nSELECT 1\n\n-- name: two\nSELECT 2\n", "x"
    )
    assert queries.one == "-- Gives one.\nSELECT 1"
    assert queries.two == "SELECT 2"
    assert dir(queries) == ["one", "two"]
    with pytest.raises(AttributeError, match="x has no statement three"):
        queries.three  # noqa: B018


@pytest.mark.parametrize("text", ["-- name: a\n-- only words\n", "-- name: a\nS\n-- name: a\nT\n"])
def test_an_empty_statement_or_a_name_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="twice there or empty"):
        Queries.parse(text, "x")


def test_every_statement_of_the_chassis_is_used() -> None:
    known = set(dir(Queries.load("services.chassis")))
    used = set()
    for file in CHASSIS.glob("*.py"):
        used |= set(re.findall(r"\bQ\.(\w+)", file.read_text()))
    assert known <= used


def test_the_server_being_away_is_one_error() -> None:
    with pytest.raises(StoreUnavailable), translate_store_errors():
        raise ConnectionRefusedError
    with pytest.raises(KeyError), translate_store_errors():
        raise KeyError("another")
    assert not is_connection_error(ValueError())
    assert not is_connection_error(FileNotFoundError("about a file, and not about the server"))


def test_who_is_in_the_way_is_not_away() -> None:
    """A worker whose transaction lost a deadlock has its connection, and tries again on it."""
    deadlock = asyncpg.DeadlockDetectedError("deadlock")
    assert is_transient(deadlock)
    assert not is_connection_error(deadlock)
    with pytest.raises(asyncpg.DeadlockDetectedError), translate_store_errors():
        raise deadlock


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), TimeoutError(), asyncpg.CannotConnectNowError("starting")]
)
def test_who_is_away_may_come_back(error: BaseException) -> None:
    assert is_connection_error(error)
    assert is_transient(error)


def test_lock_classes_fit_into_four_bytes() -> None:
    assert -(2**31) <= lock_class("lease profile") < 2**31
    assert lock_class("a") != lock_class("b")
