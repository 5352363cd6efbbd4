"""Rebuilds with random rules of the whole language end in the live state, from whatever source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random

import pytest
from integration.profile.profile_stack import ProfileStack
from integration.profile.test_profile_service import logged_facts, rebuild
from laws.whole_language import make_facts, make_language

from services.kernel.time import DAY_US
from tests.plain_engine import write_engine_rows

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]


@pytest.mark.parametrize("seed", [51, 52])
async def test_rebuild_with_random_rules_of_the_whole_language_equals_the_live_state(
    open_stack: OpenStack, tmp_path: Path, seed: int
) -> None:
    chance = Random(seed)
    language, events = make_language(chance), make_facts(chance, 120, 12)
    facts = [fact for event in events for fact in event.facts()]
    half = len(facts) // 2
    async with open_stack() as stack:
        await stack.append([*language.facts, *chance.sample(facts[:half], half)])
        await stack.tick()
        rows = write_engine_rows(tmp_path / "rows", "profile", await logged_facts(stack), seed)
        await stack.append(chance.sample(facts[half:], len(facts) - half))
        await stack.tick(DAY_US)
        found = await rebuild(stack)
        assert found.live_digests["school"] == found.rebuilt_digests["school"]
        await rebuild(stack, shards=1, workers=2)
        await rebuild(stack, rows=rows)
        # The state that was switched to goes on as the one before would have.
        await rebuild(stack, switch_over=True)
        await stack.tick(40 * DAY_US)
        await rebuild(stack)
