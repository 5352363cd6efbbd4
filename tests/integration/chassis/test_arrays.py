"""Tests how statements get arrays."""

from __future__ import annotations

import sys
from collections.abc import Collection
from types import FrameType

import pytest

from services.chassis.postgres.arrays import ARRAY_TYPES
from services.chassis.postgres.database import connect

COUNT = "SELECT cardinality($1::bytea[])"


async def test_elements_of_arrays_are_not_tested_by_abstract_classes(database: str) -> None:
    tests = 0

    def on_call(frame: FrameType, event: str, _: object) -> None:
        nonlocal tests
        tests += event == "call" and frame.f_code.co_name == "__instancecheck__"

    conn = await connect(database, schema="public")
    try:
        await conn.fetchval(COUNT, [b"x"])
        sys.setprofile(on_call)
        assert await conn.fetchval(COUNT, [bytes([n % 256]) for n in range(1_000)]) == 1_000
    finally:
        sys.setprofile(None)
        await conn.close()
    assert tests < 100, "two for each element, as asyncpg comes"


@pytest.mark.parametrize(
    "values",
    [[b"a", b"b"], (b"a", b"b"), {b"a", b"b"}, {b"a": 1, b"b": 2}.keys()],
    ids=lambda v: type(v).__name__,
)
async def test_values_of_each_array_type_arrive(database: str, values: Collection[bytes]) -> None:
    assert isinstance(values, ARRAY_TYPES)
    conn = await connect(database, schema="public")
    try:
        assert await conn.fetchval(COUNT, values) == 2
    finally:
        await conn.close()
