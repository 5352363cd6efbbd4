"""T8: a pause of three days sends nothing and loses no run, and a stop holds what is on its way."""

from __future__ import annotations

from typing import Any

import pytest
from integration.activation.journey_fixture import calls, leaf
from integration.activation.journey_machine import CARE, Machine, Step
from integration.activation.ledger_fixture import Ledger
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.activation.v1 import journey_service_pb2 as pb

SEND = {"send": {"id": "reminder", "to": "mail", "template": "t", "valid": "12h"}}
SHORT: dict[str, Any] = {**CARE, "steps": [{"wait": "2h"}, SEND]}


async def counted(machine: Machine) -> tuple[int, int, int]:
    """Return how many runs have begun, are open, and have ended."""
    rpc = await calls(machine.bench)
    found = await rpc.SummarizeJourney(pb.SummarizeJourneyRequest(journey_id="j"), None)
    return found.begun, found.open, sum(each.count for each in found.ended)


async def reasons(machine: Machine) -> dict[int, str]:
    """Return the reason of the effect of each leaf; "" = it was sent."""
    rows = {row["leaf_id"]: row for row in await machine.bench.ledger.rows()}
    return {n: rows[leaf(n)]["reason"].partition(":")[0] for n in (1, 2, 3) if leaf(n) in rows}


@pytest.mark.parametrize(
    ("overdue", "first"),
    [
        (facts_pb.OVERDUE_SEND, "answer"),
        (facts_pb.OVERDUE_SKIP, "expired"),
        (facts_pb.OVERDUE_RESCHEDULE, "answer"),
    ],
)
@pytest.mark.parametrize("paused", ["j", "mail"])
async def test_pause_of_three_days_sends_nothing_and_loses_no_run(
    ledger: Ledger, paused: str, overdue: facts_pb.Overdue, first: str
) -> None:
    machine = Machine(ledger)
    await machine.begin(SHORT)
    for n in (1, 2, 3):
        await machine.take(Step("entered", n))
    await machine.bench.come_to_rest(1)
    await machine.flow(paused, facts_pb.FLOW_PAUSED)
    for half_day in range(6):
        await machine.bench.come_to_rest(12)
        if half_day == 1:
            # In the pause one pays, and another one wants no more messages.
            await machine.take(Step("paid", 2))
            await machine.take(Step("refuse", 3))
        await machine.send()
        begun, open_, ended = await counted(machine)
        assert begun == open_ + ended == 3
    assert machine.begun == []
    await machine.flow(paused, facts_pb.FLOW_OPEN, overdue)
    await machine.bench.come_to_rest(1)
    await machine.send()
    third = "expired" if first == "expired" else "consent_withdrawn"
    assert await reasons(machine) == {1: first, 2: "overtaken", 3: third}
    assert len(machine.begun) == (first == "answer")
    assert await counted(machine) == (3, 0, 3)
    assert (await machine.bench.verify()).unjustified == []


@pytest.mark.parametrize("stopped", ["j", "mail"])
async def test_stop_holds_what_is_queued_at_the_door_of_the_provider(
    ledger: Ledger, stopped: str
) -> None:
    machine = Machine(ledger)
    await machine.begin(SHORT)
    for n in (1, 2, 3):
        await machine.take(Step("entered", n))
    await machine.bench.come_to_rest(2.5)
    machine.max_in_flight = 1

    async def stop() -> None:
        await machine.flow(stopped, facts_pb.FLOW_STOPPED)

    machine.provider.on_attempt = stop
    await machine.send()
    await machine.bench.come_to_rest(1)
    await machine.send()
    found = sorted((await reasons(machine)).values())
    assert (found[0], set(found[1:])) == ("answer", {"stopped"})
    assert len(machine.begun) == 1
    assert await counted(machine) == (3, 0, 3)
