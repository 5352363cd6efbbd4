"""Tests what becomes of runs where a shard has passed on a move before another one passes on less.

The clock of the test is that of the shard whose message is folded. Three leaves have three shards,
and the shard of the third one says that the others have moved.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from integration.activation.journey_fixture import BEGIN, JourneyBench, leaf
from integration.activation.journey_machine import Step
from integration.activation.lagging_bench import LaggingMachine
from integration.activation.ledger_fixture import SHARDS, Ledger, W
from integration.activation.test_journey_invariants import PHASES, STEP, check, check_end
from onefold.profile.v1.profile_stream_pb2 import LeafMove
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged
from properties import examples

AT_ONCE: Final[dict[str, Any]] = {
    "id": "welcome",
    "enter": {"event": "signed_up", "again": "never"},
    "steps": [{"send": {"id": "hello", "to": "mail", "template": "t"}}],
}
LATER: Final = {**AT_ONCE, "steps": [{"wait": "2h"}, *AT_ONCE["steps"]]}
#: When the log records an entry that a shard passes on late, and moves that it passes on before.
SIGNED_UP_US, MOVED_US, MOVED_AGAIN_US = BEGIN + 1_000, BEGIN + 2_000, BEGIN + 3_000
ENDED: Final = 3


async def hear_of_move(bench: JourneyBench, of: int, to: int, version: int, at_us: int) -> None:
    """Let the third shard say that a leaf has moved at an instant."""
    bench.now_us = at_us
    move = LeafMove(workspace_id=W, leaf_id=leaf(of), profile_id=leaf(to), version=version)
    await bench.fold(bench.shard(3), MembershipsChanged(leaf_moves=[move]))


async def sign_up_late(bench: JourneyBench, *people: int, **fields: Any) -> None:
    """Let the shards of leaves pass on entries that were recorded before the moves."""
    bench.now_us = SIGNED_UP_US
    for of in people:
        await bench.happen("signed_up", of, **fields)
    await bench.come_to_rest()


async def states(bench: JourneyBench) -> dict[int, int]:
    """Return the states of runs by the numbers of their leaves."""
    by_leaf = {bytes(row["leaf_id"]): row["state"] for row in await bench.runs()}
    return {n: by_leaf[leaf(n)] for n in (1, 2) if leaf(n) in by_leaf}


async def test_entry_that_arrives_after_its_leaf_has_left_a_person_begins_a_run(
    bench: JourneyBench,
) -> None:
    await bench.define(**AT_ONCE)
    await bench.move(2, 1, version=1)
    await bench.happen("signed_up", 1)
    await bench.come_to_rest()
    await hear_of_move(bench, 2, 2, 2, MOVED_US)
    await sign_up_late(bench, 2, profile=1, version=1)
    assert await states(bench) == {1: ENDED}
    bench.now_us = MOVED_US
    await bench.come_to_rest()
    assert await states(bench) == {1: ENDED, 2: ENDED}


async def test_two_entries_that_arrive_after_the_merge_of_their_persons_send_one_message(
    bench: JourneyBench,
) -> None:
    await bench.define(**AT_ONCE)
    await hear_of_move(bench, 2, 1, 1, MOVED_US)
    await sign_up_late(bench, 1, 2)
    assert await states(bench) == {1: ENDED, 2: ENDED}
    bench.now_us = MOVED_US
    await bench.come_to_rest()
    assert await bench.send() == ["hello"]


async def test_run_that_began_after_its_leaf_has_left_a_person_goes_on(bench: JourneyBench) -> None:
    await bench.define(**LATER)
    await bench.move(2, 1, version=1)
    await bench.come_to_rest()
    await hear_of_move(bench, 2, 2, 2, MOVED_US)
    bench.now_us = SIGNED_UP_US
    await bench.happen("signed_up", 1, occurred_at_us=BEGIN + 10)
    await sign_up_late(bench, 2, profile=1, version=1)
    bench.now_us = MOVED_US
    await bench.come_to_rest()
    await bench.come_to_rest(2.5)
    assert await states(bench) == {1: ENDED, 2: ENDED}


@pytest.mark.parametrize("is_early", [False, True])
async def test_move_that_arrives_after_a_later_one_of_its_leaf_counts_until_then(
    bench: JourneyBench, *, is_early: bool
) -> None:
    await bench.define(**LATER)
    for of in (1, 2):
        await bench.happen("signed_up", of)
    await bench.come_to_rest()
    moves = [(1, 1, MOVED_US), (2, 2, MOVED_AGAIN_US)]
    for to, version, at_us in moves if is_early else reversed(moves):
        await hear_of_move(bench, 2, to, version, at_us)
    bench.now_us = MOVED_US
    await bench.pass_time(us=1)
    await bench.look()
    assert sorted((await states(bench)).values()) == [1, 2]
    bench.now_us = MOVED_AGAIN_US
    await bench.come_to_rest()
    assert await states(bench) == {1: 1, 2: 1}
    await bench.come_to_rest(2.5)
    assert await bench.send() == ["hello", "hello"]


DELIVER: Final = st.builds(Step, st.just("deliver"), st.integers(0, SHARDS - 1), st.integers(0, 6))

#: Runs come to their ends while persons are still merged: a run that sleeps is then due no more.
COME_TO_ENDS: Final = 3 * [
    Step("pass", 1, 6),
    *(Step("deliver", shard, 60) for shard in range(SHARDS)),
    *(Step("look"), Step("publish"), Step("send")),
]


@examples(4, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(STEP, STEP, DELIVER), min_size=8, max_size=40))
async def test_invariants_hold_where_every_shard_lags_on_its_own(
    ledger: Ledger, steps: list[Step]
) -> None:
    machine = LaggingMachine(ledger)
    await machine.begin()
    for step in (*steps, *COME_TO_ENDS):
        await machine.take(step)
        await check(machine)
    await machine.lag_no_more()
    await check_end(machine)
