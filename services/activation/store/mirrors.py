"""Stores mirrors: the profiles whose memberships concern them, and what the receivers have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from services.activation.domain.contracts import ChannelKind
from services.activation.domain.mirrors import JOINED, MirrorEntry, join_ordinal, newest_changes
from services.activation.domain.model import DeliveryState, Destination, TriggeringChange
from services.activation.store.effects import DestinationKey
from services.activation.store.runs import leaves_of_persons
from services.chassis.postgres.database import Queries
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, from_hex, to_hex

Q = Queries.load(__package__, "mirrors.sql")
_DELIVERED, _SUPPRESSED = DeliveryState.DELIVERED.value, DeliveryState.SUPPRESSED.value
_OWNERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class ClaimedMember:
    """A profile whose entries are to be derived."""

    profile_id: ProfileId
    #: By segment, the ordinal of the last change.
    memberships: Mapping[str, int]
    version: int


@dataclass(frozen=True, slots=True)
class LockedMember:
    """A profile that is locked in the open transaction."""

    profile_id: ProfileId
    #: The entries that it has had until now.
    keys: Sequence[str]
    version: int


async def save_changes(
    conn: asyncpg.Connection,
    changes: Sequence[TriggeringChange],
    destinations: Sequence[Destination],
) -> set[DestinationKey]:
    """Record changes of memberships for the mirrors that they concern; return those."""
    rows: list[tuple[WorkspaceId, str, ProfileId, str]] = []
    for destination in destinations:
        if destination.channel.contract.kind is not ChannelKind.MIRROR:
            continue
        concerned = newest_changes(
            (each.profile_id, each.segment_id, each.ordinal)
            for each in changes
            if each.workspace_id == destination.workspace_id
            and each.segment_id in destination.segment_ids
        )
        rows += [
            (
                destination.workspace_id,
                destination.destination_id,
                id_,
                msgspec.json.encode(of).decode(),
            )
            for id_, of in concerned.items()
        ]
    # The same order in every transaction.
    rows.sort()
    if rows:
        await conn.execute(Q.save_changes, *map(list, zip(*rows, strict=True)))
    return {DestinationKey(workspace_id, id_) for workspace_id, id_, _, _ in rows}


async def lock_joins(
    conn: asyncpg.Connection, key: DestinationKey, limit: int
) -> Sequence[asyncpg.Record]:
    """Lock the effects of runs that add persons to a mirror or remove them, the oldest first."""
    return await conn.fetch(Q.lock_joins, *key, limit)


async def save_joins(
    conn: asyncpg.Connection,
    key: DestinationKey,
    joins: Sequence[tuple[asyncpg.Record, bool | None]],
) -> None:
    """Record what locked effects ask for, and end them.

    True adds the person, False removes it; None = the step is not defined any more. A person is
    added by the leaf of a run, which stays the same after a merge, and removed by all leaves.
    """
    leaves = {LeafId(row["leaf_id"]) for row, joined in joins if joined is not None}
    persons = await leaves_of_persons(conn, key.workspace_id, leaves)
    ordinals: dict[LeafId, int] = {}
    for row, joined in joins:
        if joined is not None:
            own = LeafId(row["leaf_id"])
            ordinal = join_ordinal(row["changed_at_us"], joined=joined)
            for leaf_id in (own,) if joined else persons[own]:
                ordinals[leaf_id] = max(ordinal, ordinals.get(leaf_id, 0))
    ids = sorted(ordinals)
    await conn.execute(Q.save_joins, *key, JOINED, ids, [ordinals[id_] for id_ in ids])
    ended = sorted((row["effect_id"], row["shard"], joined is None) for row, joined in joins)
    await conn.execute(
        Q.end_joins,
        [id_ for id_, _, _ in ended],
        [shard for _, shard, _ in ended],
        [_SUPPRESSED if is_gone else _DELIVERED for _, _, is_gone in ended],
        ["the step is not defined any more" if is_gone else "" for _, _, is_gone in ended],
    )


async def save_page(
    conn: asyncpg.Connection,
    key: DestinationKey,
    segment_id: str,
    members: Sequence[ProfileId],
    *,
    listed_s: float,
    after: bytes,
    last: bytes | None,
) -> None:
    """Take in a page of the members of a segment: who is in it, and who of its range is not.

    `listed_s`: before the page was read, Unix seconds of the database; changes that were recorded
    since are newer. `after`, `last`: the range of the page; None = to the end.
    """
    page = (*key, segment_id, sorted(members), listed_s)
    await conn.execute(Q.save_listed, *page)
    await conn.execute(Q.drop_unlisted, *page, after, last)


async def count(conn: asyncpg.Connection, mirror: Destination) -> asyncpg.Record:
    """Return the counts of a mirror, named as in `onefold.activation.v1.Mirror`."""
    key = mirror.workspace_id, mirror.destination_id
    row = await conn.fetchrow(Q.count_mirror, *key, mirror.version)
    if row is None:
        raise LookupError("counts without GROUP BY have one row")
    return row


async def reconcile(conn: asyncpg.Connection, mirror: Destination) -> None:
    """Have the members of a mirror loaded and all of its entries written."""
    key = mirror.workspace_id, mirror.destination_id
    await conn.execute(Q.save_loaded, *key, 0)
    await conn.execute(Q.write_all, *key)


async def with_work(
    conn: asyncpg.Connection, mirrors: Sequence[Destination]
) -> list[DestinationKey]:
    """Return the mirrors that have members or entries due, or whose members are to be loaded."""
    if not mirrors:
        return []
    rows = await conn.fetch(
        Q.mirrors_with_work,
        [each.workspace_id for each in mirrors],
        [each.destination_id for each in mirrors],
        [each.version for each in mirrors],
    )
    return [DestinationKey(WorkspaceId(r["workspace_id"]), r["destination_id"]) for r in rows]


async def claim_members(
    conn: asyncpg.Connection, key: DestinationKey, limit: int, lease_s: float
) -> list[ClaimedMember]:
    """Lease profiles whose entries are to be derived."""
    rows = await conn.fetch(Q.claim_members, *key, limit, lease_s)
    return [
        ClaimedMember(
            ProfileId(row["profile_id"]),
            msgspec.json.decode(row["memberships"], type=dict[str, int]),
            row["version"],
        )
        for row in rows
    ]


async def lock_members(
    conn: asyncpg.Connection, key: DestinationKey, ids: Collection[ProfileId]
) -> list[LockedMember]:
    """Lock profiles and return what they have."""
    rows = await conn.fetch(Q.lock_members, *key, list(ids))
    return [LockedMember(ProfileId(r["profile_id"]), r["keys"], r["version"]) for r in rows]


async def save_members(
    conn: asyncpg.Connection,
    key: DestinationKey,
    members: Sequence[tuple[ProfileId, Collection[str], float | None]],
) -> None:
    """Record which entries profiles have, and in how many seconds they are derived again.

    The rows of erased persons are deleted as soon as they have no entries.
    """
    await conn.execute(
        Q.save_members,
        *key,
        [id_ for id_, _, _ in members],
        [msgspec.json.encode(sorted(keys)).decode() for _, keys, _ in members],
        [delay_s for _, _, delay_s in members],
    )
    await conn.execute(Q.delete_erased_members, *key, [id_ for id_, _, _ in members])


async def lock_entries(
    conn: asyncpg.Connection, key: DestinationKey, keys: Collection[str]
) -> dict[str, MirrorEntry]:
    """Lock entries and return them by key."""
    return _entries(await conn.fetch(Q.lock_entries, *key, sorted(keys)))


async def lock_due_entries(
    conn: asyncpg.Connection, key: DestinationKey, limit: int
) -> dict[str, MirrorEntry]:
    """Lock entries that are to be written, and return them by key."""
    return _entries(await conn.fetch(Q.lock_due_entries, *key, limit))


async def save_entries(
    conn: asyncpg.Connection, key: DestinationKey, changed: Mapping[str, MirrorEntry | None]
) -> None:
    """Save entries by key; None stands for one that is deleted."""
    deleted = sorted(k for k, entry in changed.items() if entry is None)
    if deleted:
        await conn.execute(Q.delete_entries, *key, deleted)
    # The same order in every transaction.
    saved = [entry for _, entry in sorted(changed.items()) if entry is not None]
    if saved:
        await conn.execute(
            Q.save_entries,
            *key,
            [entry.key for entry in saved],
            [_owners_text(entry) for entry in saved],
            [entry.version for entry in saved],
            [entry.due_s for entry in saved],
            [entry.is_written for entry in saved],
            [entry.in_flight for entry in saved],
            [entry.doubtful_until_s for entry in saved],
            [entry.attempts for entry in saved],
            [entry.reason for entry in saved],
        )


def _owners_text(entry: MirrorEntry) -> str:
    owners = {to_hex(id_): msgspec.Raw(fields) for id_, fields in entry.owners.items()}
    return msgspec.json.encode(owners).decode()


def _entries(rows: Sequence[Any]) -> dict[str, MirrorEntry]:
    return {
        row["key"]: MirrorEntry(
            row["key"],
            {
                ProfileId(from_hex(id_)): bytes(fields)
                for id_, fields in _OWNERS.decode(row["owners"]).items()
            },
            row["version"],
            row["due_s"],
            row["is_written"],
            row["in_flight"],
            row["doubtful_until_s"],
            row["attempts"],
            row["reason"],
        )
        for row in rows
    }
