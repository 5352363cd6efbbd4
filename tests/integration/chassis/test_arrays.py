"""Tests how statements get arrays."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection
from types import FrameType

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

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
    [
        *(["a", "b"], ("a", "b"), {"a", "b"}, frozenset("ab"), deque("ab")),
        *({"a": "x", "b": "y"}.keys(), {"x": "a", "y": "b"}.values()),
        FieldMask(paths=["a", "b"]).paths,
    ],
    ids=lambda values: type(values).__name__,
)
async def test_values_of_each_array_type_arrive(database: str, values: Collection[str]) -> None:
    assert isinstance(values, ARRAY_TYPES)
    conn = await connect(database, schema="public")
    try:
        assert sorted(await conn.fetchval("SELECT $1::text[]", values)) == ["a", "b"]
    finally:
        await conn.close()
