"""Stores what providers report of messages, and what it says of addresses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

from services.activation.domain.policy.gate import AddressState
from services.activation.domain.receipts.model import (
    SOFT_SPAN_US,
    SOFT_UNUSABLE_US,
    Bounce,
    Receipt,
    is_softly_dead,
    state_after,
)
from services.activation.domain.templates import RenderedMessage
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import Queries
from services.kernel.ids import FactId, WorkspaceId, hash_id
from services.kernel.journeys.model import ReportKind

Q = Queries.load(__package__, "reports.sql")
UNDELIVERED = ReportKind.UNDELIVERED
#: What persons do says nothing of how their message was delivered.
_ENGAGEMENTS = (ReportKind.OPENED, ReportKind.CLICKED)


@dataclass(frozen=True, slots=True)
class ReportedEffect:
    """A message that a provider reports of."""

    effect_id: bytes
    #: The leaf of the entry of its run, or its profile.
    leaf_id: bytes
    run_id: bytes | None
    journey_id: str | None
    step_id: str | None
    purpose: str | None
    address_key: bytes | None
    #: When its first attempt began, Unix microseconds; None = it has not.
    begun_at_us: int | None
    #: Where the message went; empty = it is not known any more.
    to: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """A receipt of a message that the ledger has."""

    key: DestinationKey
    effect: ReportedEffect
    receipt: Receipt
    at_us: int

    @property
    def fact_id(self) -> FactId:
        """The id of its fact: a provider that repeats a receipt reports nothing new."""
        subject = self.receipt.report_id or self.effect.effect_id
        what = self.receipt.what.value
        return FactId(hash_id(*self.key, "delivery_reported", subject, what))


async def find_effects(
    conn: asyncpg.Connection, key: DestinationKey, effect_ids: Collection[bytes]
) -> dict[bytes, ReportedEffect]:
    """Return the effects of a destination by their ids."""
    rows = await conn.fetch(Q.find_effects, *key, effect_ids) if effect_ids else []
    return {row["effect_id"]: _effect(row) for row in rows}


async def find_by_addresses(
    conn: asyncpg.Connection, key: DestinationKey, address_keys: Collection[bytes]
) -> dict[bytes, ReportedEffect]:
    """Return the last effect of a destination to each of some addresses, by address."""
    rows = await conn.fetch(Q.find_by_addresses, *key, address_keys) if address_keys else []
    return {row["address_key"]: _effect(row) for row in rows}


async def save_reports(
    conn: asyncpg.Connection, reports: Sequence[Report], now_us: int
) -> list[Report]:
    """Save reports with what follows for messages and addresses; return those that are new."""
    unique = {report.fact_id: report for report in reports}
    own = [unique[fact_id] for fact_id in sorted(unique)]
    rows = await conn.fetch(
        Q.save,
        [report.fact_id for report in own],
        [report.key.workspace_id for report in own],
        [report.key.destination_id for report in own],
        [report.effect.effect_id for report in own],
        [report.effect.leaf_id for report in own],
        [report.effect.run_id for report in own],
        [report.effect.journey_id for report in own],
        [report.effect.step_id for report in own],
        [report.receipt.what.value for report in own],
        [report.at_us for report in own],
        [report.receipt.is_machine for report in own],
        [report.receipt.reason for report in own],
        [report.receipt.bounce is Bounce.HARD for report in own],
    )
    new_ids = {row["fact_id"] for row in rows}
    new = [report for report in own if report.fact_id in new_ids]
    own_reports = [(r.effect.effect_id, r.receipt.what, r.receipt.reason) for r in new]
    await _apply(conn, own_reports)
    await _mark_addresses(conn, new, now_us)
    return new


async def restore_reports(conn: asyncpg.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Save reports as the log has them, and set the states of their messages.

    `rows`: as `reported_delivery` returns them. What they say of addresses is not in the log.
    """
    await conn.executemany(Q.restore, rows)
    await _apply(conn, [(row[3], ReportKind(row[8]), row[11]) for row in rows])


async def _apply(
    conn: asyncpg.Connection, reports: Iterable[tuple[bytes, ReportKind, str]]
) -> None:
    """Set the states of messages by effect, kind and reason of their reports.

    A message that has arrived by one report has arrived.
    """
    states = {}
    for effect_id, what, reason in sorted(reports, key=lambda r: r[1] is not UNDELIVERED):
        states[effect_id] = what, "" if what in _ENGAGEMENTS else reason
    ids = sorted(states)
    await conn.execute(
        Q.apply,
        ids,
        [state_after(states[id_][0]).value for id_ in ids],
        [states[id_][1] for id_ in ids],
    )


async def _mark_addresses(conn: asyncpg.Connection, reports: Sequence[Report], now_us: int) -> None:
    marks: dict[tuple[WorkspaceId, bytes], list[Report]] = {}
    for report in reports:
        is_of_address = report.receipt.what is ReportKind.COMPLAINED or (
            report.receipt.bounce is not Bounce.NONE
        )
        if is_of_address and report.effect.address_key:
            address = report.key.workspace_id, report.effect.address_key
            marks.setdefault(address, []).append(report)
    for (workspace_id, address_key), own in sorted(marks.items()):
        before = await conn.fetchval(Q.lock_address, workspace_id, address_key) or ()
        state, until_us, bounces = _address_state(own, tuple(before), now_us)
        await conn.execute(Q.save_address, workspace_id, address_key, state, until_us, bounces)


def _address_state(
    reports: Sequence[Report], before: tuple[int, ...], now_us: int
) -> tuple[str, int | None, tuple[int, ...]]:
    """Return the state of an address, until when, and its bounces, after reports."""
    soft = [r.at_us for r in reports if r.receipt.bounce is Bounce.SOFT]
    bounces = tuple(sorted(at for at in {*before, *soft} if at > now_us - SOFT_SPAN_US))
    if any(r.receipt.what is ReportKind.COMPLAINED for r in reports):
        return AddressState.COMPLAINED.value, None, bounces
    if any(r.receipt.bounce is Bounce.HARD for r in reports):
        return AddressState.BOUNCED.value, None, bounces
    if is_softly_dead(bounces, now_us):
        return AddressState.BOUNCED.value, now_us + SOFT_UNUSABLE_US, bounces
    return "", None, bounces


def _effect(row: asyncpg.Record) -> ReportedEffect:
    return ReportedEffect(
        row["effect_id"],
        row["leaf_id"] or row["profile_id"],
        row["run_id"],
        row["journey_id"],
        row["step_id"],
        row["purpose"],
        row["address_key"],
        row["begun_at_us"],
        _address_in(row["payload"]),
    )


def _address_in(payload: bytes | None) -> str:
    """Return the address in a message; empty = it has none."""
    if payload is None:
        return ""
    try:
        return msgspec.json.decode(payload, type=RenderedMessage).to
    except msgspec.DecodeError:
        return ""
