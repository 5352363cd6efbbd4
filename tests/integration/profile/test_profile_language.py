"""A rebuild of facts and rules of the whole language equals the live state, as time passes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import Random

import pytest
from integration.profile.profile_stack import ProfileStack
from laws.whole_language import make_facts, make_language

from services.kernel.time import DAY_US, HOUR_US

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]


@pytest.mark.parametrize("seed", [41])
async def test_rebuild_of_the_whole_language_equals_the_live_state_as_time_passes(
    open_stack: OpenStack, seed: int
) -> None:
    random = Random(seed)
    language, events = make_language(random), make_facts(random, 90, 9)
    facts = [*language.facts, *(fact for event in events for fact in event.facts())]
    random.shuffle(facts)
    async with open_stack() as stack:
        for part in (facts[:40], facts[40:90], facts[90:]):
            await stack.append(part)
            await stack.tick(random.choice((0, HOUR_US, DAY_US)))
        for advance_us in (0, 30 * DAY_US):
            await stack.tick(advance_us)
            rebuilt = await stack.rebuild()
            assert rebuilt.equal, list(rebuilt.differing_rows)
