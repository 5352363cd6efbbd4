"""Stores what the gate reads and decides: the contacts of a person, addresses, begun attempts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from services.activation.codec.journey_facts import decode_program
from services.activation.domain.journeys.program import Program
from services.activation.domain.policy.gate import AddressState
from services.activation.store.effects import Attempt
from services.chassis.postgres.database import Queries, lock_keys
from services.kernel.errors import InvalidField
from services.kernel.ids import LeafId, WorkspaceId

Q = Queries.load(__package__, "gate.sql")


@dataclass(frozen=True, slots=True)
class Contact:
    """An effect of a run as the gate sees it beside the one that it decides about."""

    effect_id: bytes
    leaf_id: LeafId
    destination_id: str
    journey_id: str
    journey_version: int
    step_id: str
    purpose: str
    priority: int
    at_us: int
    valid_until_us: int
    #: None = no attempt has begun.
    begun_at_us: int | None
    #: Whether it goes before later ones, as it has not ended and does not wait for a time to come.
    is_open: bool


@dataclass(frozen=True, slots=True)
class Beginning:
    """An attempt that passes the gate, with its message."""

    attempt: Attempt
    payload: bytes
    #: Empty = the message has no address.
    address_key: bytes
    #: Of the template of the message.
    template_version: int


async def lock_persons_of(conn: asyncpg.Connection, leaf_ids: Iterable[LeafId]) -> None:
    """Lock persons by their leaves, until the transaction ends.

    Two readers of a person have a leaf in common, also where only one has read a merge.
    """
    await conn.execute(Q.lock_leaves, lock_keys("activation contacts", leaf_ids))


async def lock_attempts(conn: asyncpg.Connection, attempts: Sequence[Attempt]) -> set[bytes]:
    """Lock the effects of attempts; return those whose lease is still held."""
    rows = await conn.fetch(
        Q.lock_attempts,
        [attempt.effect_id for attempt in attempts],
        [attempt.shard for attempt in attempts],
        [attempt.number for attempt in attempts],
    )
    return {row["effect_id"] for row in rows}


async def load_contacts(
    conn: asyncpg.Connection, leaf_ids: Collection[LeafId], begun_after_us: int, now_us: int
) -> list[Contact]:
    """Return the effects of runs that began after an instant, and those that are open."""
    rows = await conn.fetch(Q.load_contacts, leaf_ids, begun_after_us, now_us)
    return [Contact(*row) for row in rows]


async def load_awaited_looks(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    journey_ids: Collection[str],
    leaf_ids: Collection[LeafId],
    now_us: int,
) -> set[tuple[str, bytes]]:
    """Return the journeys and leaves at which a look is due, and was not taken yet."""
    rows = await conn.fetch(Q.load_awaited_looks, workspace_id, journey_ids, leaf_ids, now_us)
    return {(row["journey_id"], row["leaf_id"]) for row in rows}


async def load_programs(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, keys: Collection[tuple[str, int]]
) -> dict[tuple[str, int], Program]:
    """Return versions of journeys, by id and version; those that cannot be read are left out."""
    ids, versions = [id_ for id_, _ in keys], [version for _, version in keys]
    found = {}
    for row in await conn.fetch(Q.load_programs, workspace_id, ids, versions):
        try:
            program = decode_program(row["payload"])
        except InvalidField:
            continue
        found[program.journey.journey_id, program.journey.version] = program
    return found


async def load_addresses(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, keys: Collection[bytes], now_us: int
) -> Mapping[bytes, AddressState]:
    """Return what is known of addresses at an instant; what is usable is left out."""
    rows = await conn.fetch(Q.load_addresses, workspace_id, keys, now_us) if keys else []
    return {row["address_key"]: AddressState(row["state"]) for row in rows if row["state"]}


async def save_dead_addresses(conn: asyncpg.Connection, effect_ids: Collection[bytes]) -> None:
    """Record that nothing arrives at the addresses of effects."""
    await conn.execute(Q.save_dead_addresses, effect_ids, AddressState.BOUNCED.value)


async def end_pause(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    *,
    journey_id: str | None = None,
    destination_id: str | None = None,
) -> None:
    """Let the gate look again at what a pause of a journey or of a destination holds."""
    await conn.execute(Q.end_pause, workspace_id, journey_id, destination_id)


async def begin_attempts(
    conn: asyncpg.Connection, begun: Sequence[Beginning], position: bytes, now_us: int
) -> None:
    """Begin attempts whose effects are locked.

    `position`: where the channel will write their messages at the earliest.
    """
    await conn.execute(
        Q.begin_attempts,
        [each.attempt.effect_id for each in begun],
        [each.attempt.shard for each in begun],
        [each.payload for each in begun],
        [each.address_key for each in begun],
        position,
        now_us,
        [each.template_version for each in begun],
    )
