"""Tests that requests for profiles are measured against the declared limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from services.chassis.runtime.telemetry import Metrics
from services.profile.queries.latency import LookupLatency


def counts_of(latency: LookupLatency) -> Mapping[str, int]:
    async def rows(_: Any) -> Mapping[str, int]:
        return {"leaves": 7}

    no_connection: Any = None
    return asyncio.run(latency.adding_to(rows)(no_connection))  # type: ignore[arg-type]  # a coroutine


@pytest.mark.parametrize(("limit_s", "late"), [(0.0, 1), (1e6, 0)])
def test_request_that_takes_longer_than_the_limit_is_counted(limit_s: float, late: int) -> None:
    latency = LookupLatency(Metrics("profile"), limit_s)
    with latency.measured():
        began_us = int(time.time() * 1e6)
        while int(time.time() * 1e6) <= began_us + 1:
            pass
    assert counts_of(latency) == {"leaves": 7, "profiles_found": 1, "profiles_found_late": late}


def test_request_that_fails_is_not_measured() -> None:
    latency = LookupLatency(Metrics("profile"), 0.0)
    with pytest.raises(LookupError), latency.measured():
        raise LookupError
    assert counts_of(latency)["profiles_found"] == 0
