"""Tests what a new version of a journey does to the occurrences of its schedule."""

from __future__ import annotations

from typing import Any, Final

from integration.activation.journey_fixture import BEGIN, JourneyBench, leaf

from services.kernel.time import HOUR_US

BULLETIN: Final[dict[str, Any]] = {
    "id": "news",
    "enter": {
        "schedule": {"cron": "0 9 * * *", "zone": "UTC"},
        "audience": "vip",
        "again": "always",
    },
    "steps": [{"send": {"id": "news", "to": "mail", "template": "t"}}],
}


def bulletin(*, clock: int = 9, audience: str = "vip") -> dict[str, Any]:
    schedule = {"cron": f"0 {clock} * * *", "zone": "UTC"}
    return {**BULLETIN, "enter": {**BULLETIN["enter"], "schedule": schedule, "audience": audience}}


async def take_all(bench: JourneyBench) -> None:
    while await bench.engine.scheduler.take_once():
        pass


async def test_new_time_that_is_over_today_begins_with_the_next_day(bench: JourneyBench) -> None:
    bench.upstream.audience = {"vip": [[leaf(1)]]}
    await bench.define(**bulletin(clock=9))
    await bench.come_to_rest(8.5)
    await bench.define(**bulletin(clock=8))
    await bench.come_to_rest(0.1)
    await take_all(bench)
    await bench.come_to_rest()
    assert await bench.runs() == []
    await bench.come_to_rest(24)
    await take_all(bench)
    await bench.come_to_rest()
    assert [run["begun_at_us"] for run in await bench.runs()] == [BEGIN + 32 * HOUR_US]


async def test_audience_that_is_being_taken_is_that_of_the_version_of_its_instant(
    bench: JourneyBench,
) -> None:
    bench.upstream.audience = {
        "vip": [[leaf(1)], [leaf(2)], [leaf(3)]],
        "all": [[leaf(4)], [leaf(5)], [leaf(6)]],
    }
    await bench.define(**bulletin())
    await bench.come_to_rest(9)
    assert await bench.engine.scheduler.take_once() == 1
    await bench.define(**bulletin(audience="all"))
    await bench.come_to_rest()
    await take_all(bench)
    await bench.come_to_rest()
    assert {run["leaf_id"] for run in await bench.runs()} == {leaf(1), leaf(2), leaf(3)}
