"""Tests when the plans of a connection are renewed."""

from __future__ import annotations

from typing import Any

from services.chassis.postgres.plans import PlanRenewal


class CountingConnection:
    def __init__(self) -> None:
        self.executed: list[str] = []

    async def execute(self, statement: str) -> None:
        self.executed.append(statement)


async def test_plans_are_renewed_each_time_the_facts_have_doubled() -> None:
    conn: Any = CountingConnection()
    renewal = PlanRenewal(conn, first=1_000)
    renewed_at = []
    for folded in range(100, 50_001, 100):
        await renewal.note_folded(100)
        if len(conn.executed) > len(renewed_at):
            renewed_at.append(folded)
    assert conn.executed == ["DISCARD PLANS"] * 6
    assert renewed_at == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000]
