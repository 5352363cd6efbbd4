"""Tests which packages a command needs before it runs."""

from __future__ import annotations

import pytest

from services.devstack.venv import LOCK, PARQUET_LOCK, SPARK_LOCK, locks_of


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("export log folder", [PARQUET_LOCK]),
        ("export pack folder", []),
        ("rebuild identity --engine spark --log folder", [SPARK_LOCK]),
        ("rebuild identity --engine=spark --log folder", [SPARK_LOCK]),
        ("rebuild identity", []),
        ("rebuild", []),
        ("", []),
    ],
)
def test_locks_of_a_command_have_what_parquet_and_spark_need(command: str, more: list[str]) -> None:
    assert locks_of(command.split()) == [LOCK, *more]
