"""Ends the process at every statement of a look: nothing is repeated, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest
from integration.activation.journey_fixture import BEGIN, EMPTY, JourneyBench
from integration.activation.journey_machine import CARE
from integration.activation.ledger_fixture import Ledger


class Killed(Exception):
    """Stands for the end of the process."""


@contextmanager
def killed_at(statement: int, *, done: bool) -> Iterator[list[int]]:
    """End the process at a statement, before it or when it is `done`; yield how many there were."""
    count = [0]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "fetchval", "fetchrow", "execute"):
            original = getattr(asyncpg.Connection, name)

            async def counted(conn: Any, *args: Any, _call: Any = original, **named: Any) -> Any:
                count[0] += 1
                if count[0] == statement and not done:
                    raise Killed
                result = await _call(conn, *args, **named)
                if count[0] == statement:
                    raise Killed
                return result

            patch.setattr(asyncpg.Connection, name, counted)
        yield count


async def work(bench: JourneyBench) -> None:
    """Do all that is due once."""
    await bench.look()
    while await bench.engine.publisher.publish_once():
        pass
    while await bench.engine.own_effects.carry_out():
        pass


@pytest.mark.parametrize("done", [False, True])
async def test_process_that_is_killed_at_any_statement_repeats_and_loses_nothing(
    ledger: Ledger, done: bool
) -> None:
    steps = [*CARE["steps"][:2], {"put": {"tag": "eager"}, "id": "p"}]
    expected: tuple[Any, ...] | None = None
    reached, statement = True, 0
    while reached:
        await ledger.database.pool.execute(EMPTY)
        bench = JourneyBench(ledger)
        await bench.define(**{**CARE, "steps": steps})
        await bench.happen("entered", 1, occurred_at_us=BEGIN)
        await bench.happen("entered", 2, occurred_at_us=BEGIN)
        await bench.happen("paid", 2, occurred_at_us=BEGIN + 1)
        await bench.pass_time(3)
        reached = False
        with killed_at(statement, done=done) as count:
            try:
                await work(bench)
            except Killed:
                reached = True
        # Leases of what was begun and not ended expire.
        await ledger.database.pool.execute("UPDATE effect SET due_at = now()")
        await bench.come_to_rest()
        await work(bench)
        states = sorted((r["step_id"], r["state"]) for r in await bench.ledger.rows())
        kinds = sorted(f.kind.rpartition(".")[2] for f in bench.log.facts.values())
        assert (await bench.verify()).unjustified == []
        expected = expected or (states, kinds)
        assert (states, kinds) == expected, f"killed at statement {statement}"
        reached = reached or statement == 0
        # Each of both tests takes every second statement.
        statement += 2 if statement else 1 + done
    assert statement > 20
    assert count[0] < statement
