"""Keeps a table of PostgreSQL equal to the members of segments: one row each."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from services.activation.channels.change import ChangedProfile
from services.activation.channels.crm import record_entries
from services.activation.channels.mirrors import MirrorSender, MirrorWrite, write_by_halves
from services.activation.channels.postgres import PostgresServers, quoted_table
from services.activation.domain.mirror_channels import PostgresMirror
from services.activation.domain.model import Destination
from services.activation.domain.transitions import AttemptResult


class PostgresMirrorSender(MirrorSender):
    """Writes the rows of members; no older version of a row replaces a newer one."""

    limit = 500

    def __init__(self, servers: PostgresServers) -> None:
        self._servers = servers

    def entries(self, destination: Destination, profile: ChangedProfile) -> dict[str, bytes]:
        return record_entries(destination.channel, profile)

    async def write(
        self, destination: Destination, writes: Sequence[MirrorWrite]
    ) -> list[AttemptResult]:
        channel = destination.channel
        if not isinstance(channel, PostgresMirror):
            raise TypeError("this sender writes the rows of members")
        results = await write_by_halves(
            lambda some: self._write_together(destination, channel, some), writes
        )
        return [results[each.key] for each in writes]

    async def _write_together(
        self, destination: Destination, channel: PostgresMirror, writes: Sequence[MirrorWrite]
    ) -> list[AttemptResult]:
        statement = (
            f"INSERT INTO {quoted_table(channel.table)} AS t"
            " (profile_id, is_member, traits, version)"
            " SELECT profile_id, is_member, traits::jsonb, version"
            " FROM unnest($1::text[], $2::boolean[], $3::text[], $4::bigint[])"
            " AS n (profile_id, is_member, traits, version)"
            " ON CONFLICT (profile_id) DO UPDATE SET is_member = excluded.is_member,"
            " traits = excluded.traits, version = excluded.version"
            " WHERE t.version < excluded.version"
        )
        # The same order in every transaction.
        ordered = sorted(writes, key=lambda each: each.key)

        async def upsert(conn: asyncpg.Connection) -> None:
            await conn.execute(
                statement,
                [each.key for each in ordered],
                [each.value is not None for each in ordered],
                [(each.value or b"{}").decode() for each in ordered],
                [each.version for each in ordered],
            )

        return [await self._servers.run(destination, channel, upsert)] * len(writes)
