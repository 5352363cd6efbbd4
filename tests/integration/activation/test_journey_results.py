"""Tests the results of journeys: messages by step, conversions by arm and hold-out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from integration.activation.journey_fixture import FakeRunner, JourneyBench
from integration.activation.ledger_fixture import W
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.activation.v1 import journey_service_pb2 as pb

from services.activation.api.journey_results import JourneyResultRpc
from services.activation.domain.receipts.model import Receipt
from services.activation.store.effects import DestinationKey
from services.activation.store.reports import Report, find_effects, save_reports
from services.chassis.access.principal import Principal, Role, set_principal
from services.chassis.postgres.database import transaction
from services.kernel.errors import InvalidField
from services.kernel.journeys.model import ReportKind
from services.kernel.time import HOUR_US


def calls(bench: JourneyBench) -> JourneyResultRpc:
    """Return the call about results, as a key of the workspace makes it."""
    set_principal(Principal(W, Role.ADMIN, "key_of_test"))
    database: Any = bench.ledger.database
    return JourneyResultRpc(database=database, runner=FakeRunner())  # type: ignore[arg-type]  # a fake


async def test_results_count_messages_by_step_and_conversions_by_arm_and_hold_out(
    bench: JourneyBench,
) -> None:
    """T23: the held out are recorded, and compared; what machines do does not count."""
    arms = [
        {
            "name": name,
            "share": "40%",
            "steps": [{"send": {"id": name, "to": "mail", "template": "t"}}],
        }
        for name in ("warm", "plain")
    ]
    held = {"name": "none", "share": "20%", "hold_out": True}
    goal = [{"event": "order_paid"}]
    split = {"split": {"id": "subject", "arms": [*arms, held]}}
    await bench.define(id="welcome", enter={"event": "registered"}, goal=goal, steps=[split])
    for number in range(1, 31):
        await bench.happen("registered", number)
    await bench.come_to_rest(1)
    assert await bench.send()
    for number in range(1, 31, 3):
        await bench.happen("order_paid", number)
    await bench.come_to_rest()
    pool, rows = bench.ledger.database.pool, await bench.ledger.rows()
    receipts = [
        Receipt(ReportKind.OPENED, is_machine=True, report_id="a"),
        Receipt(ReportKind.CLICKED, report_id="b"),
        Receipt(ReportKind.CLICKED, report_id="c"),
        Receipt(ReportKind.UNSUBSCRIBED),
    ]
    async with transaction(pool) as conn:
        key, warm = DestinationKey(W, "mail"), next(r for r in rows if r["step_id"] == "warm")
        found = await find_effects(conn, key, [warm["effect_id"]])
        own = [Report(key, e, each, bench.now_us) for e in found.values() for each in receipts]
        await save_reports(conn, own, bench.now_us)
    rpc = calls(bench)
    request = pb.GetJourneyResultsRequest(journey_id="welcome")
    results = await rpc.GetJourneyResults(request, None)
    sent = Counter(row["step_id"] for row in rows)
    by_step = {each.step_id: each for each in results.steps}
    assert {id_: each.sent for id_, each in by_step.items()} == sent
    counted = by_step["warm"]
    assert (counted.opened, counted.clicked, counted.unsubscribed) == (1, 1, 1)
    assert (by_step["plain"].opened, by_step["plain"].delivered) == (0, sent["plain"])
    whole, *groups = results.groups
    assert (whole.step_id, whole.runs, whole.converted) == ("", 30, 10)
    assert not whole.HasField("difference")
    by_arm = {each.arm: each for each in groups}
    assert {name: by_arm[name].runs for name in ("warm", "plain")} == sent
    none = by_arm["none"]
    assert none.held_out
    ends = [row["end_reason"] for row in await bench.runs()]
    assert none.runs == ends.count(runs_pb.RUN_END_HELD_OUT) > 0
    assert sum(each.converted for each in groups) == 10
    share = by_arm["warm"].converted / by_arm["warm"].runs - none.converted / none.runs
    assert by_arm["warm"].difference == pytest.approx(share)
    await _check_periods(bench, rpc)


async def _check_periods(bench: JourneyBench, rpc: JourneyResultRpc) -> None:
    """Check which runs and goals count by a request."""
    request = pb.GetJourneyResultsRequest(journey_id="welcome", within_us=1)
    assert sum(g.converted for g in (await rpc.GetJourneyResults(request, None)).groups) == 0
    later = {"from_us": bench.now_us, "to_us": bench.now_us + HOUR_US}
    request = pb.GetJourneyResultsRequest(journey_id="welcome", **later)
    assert not (await rpc.GetJourneyResults(request, None)).groups
    for wrong in ({"from_us": 5, "to_us": 5}, {"within_us": -1}):
        request = pb.GetJourneyResultsRequest(journey_id="welcome", **wrong)
        with pytest.raises(InvalidField):
            await rpc.GetJourneyResults(request, None)
