"""The deadline of a call is passed on and never grows."""

from __future__ import annotations

import asyncio
from contextvars import copy_context

from services.chassis.runtime.tasks import clip_to_deadline, deadline, start_deadline


def test_deadline_outside_of_a_call_is_none() -> None:
    assert copy_context().run(deadline) is None
    assert copy_context().run(clip_to_deadline, 5.0) == 5.0


def test_clip_to_deadline_returns_the_shorter_time() -> None:
    def shorter() -> tuple[float, float]:
        start_deadline(60.0)
        return clip_to_deadline(5.0), clip_to_deadline(600.0)

    own, callers = copy_context().run(shorter)
    assert own == 5.0
    assert 0 < callers <= 60.0


def test_deadline_that_has_passed_is_zero() -> None:
    def late() -> float | None:
        start_deadline(-1.0)
        return deadline()

    assert copy_context().run(late) == 0.0


async def test_deadlines_of_tasks_are_independent() -> None:
    async def limited() -> float | None:
        start_deadline(60.0)
        return deadline()

    async def endless() -> float | None:
        return deadline()

    first, second = await asyncio.gather(limited(), endless())
    assert first is not None
    assert second is None
