"""Installs other event stores as they are published, to be measured beside the event log.

Their guarantees: eventsourcing: a gap-free order of commits, by a lock on the table; unique
(originator, version). message-db: an order within a category, by an advisory lock; unique message
ids and (stream, position). Both respond after the commit, as the log does.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg

MESSAGE_DB = "@eventide/message-db@1.3.1"
_MESSAGE_DB_PARTS = (
    *("types/message.sql", "tables/messages.sql", "functions/hash-64.sql"),
    *("functions/category.sql", "functions/is-category.sql", "functions/id.sql"),
    *("functions/acquire-lock.sql", "functions/cardinal-id.sql", "functions/stream-version.sql"),
    *("functions/write-message.sql", "indexes/messages-id.sql", "indexes/messages-stream.sql"),
    "indexes/messages-category.sql",
)


class PeerEvent(NamedTuple):
    """An event in the form that a peer takes."""

    id: bytes
    #: The entity that it belongs to, and its version there.
    entity: bytes
    version: int
    payload: bytes


class Peer(Protocol):
    """An event store to be measured."""

    async def append_all(self, batches: Sequence[Sequence[PeerEvent]]) -> None:
        """Append batch after batch, one commit each."""

    async def aclose(self) -> None:
        """Close its connections."""


class EventSourcing:
    """eventsourcing's PostgresApplicationRecorder; `functions`: its variant with a function."""

    def __init__(self, dsn: str, *, functions: bool) -> None:
        from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

        parts = urlsplit(dsn)
        self._store = PostgresDatastore(
            dbname=parts.path.lstrip("/"),
            host=parts.hostname,
            port=parts.port,
            user=parts.username,
            password=parts.password,
            enable_db_functions=functions,
        )
        table = "peer_events_by_function" if functions else "peer_events"
        self._recorder = PostgresApplicationRecorder(self._store, events_table_name=table)
        self._recorder.create_table()

    async def append_all(self, batches: Sequence[Sequence[PeerEvent]]) -> None:
        """Append batch after batch, in one thread, as the library is synchronous."""
        await asyncio.to_thread(self._append_all, batches)

    def _append_all(self, batches: Sequence[Sequence[PeerEvent]]) -> None:
        for batch in batches:
            self._append(batch)

    def _append(self, events: Sequence[PeerEvent]) -> None:
        from eventsourcing.persistence import StoredEvent

        self._recorder.insert_events(
            [
                StoredEvent(UUID(bytes=event.entity), event.version, "track", event.payload)
                for event in events
            ]
        )

    async def aclose(self) -> None:
        """Close its connections."""
        self._store.close()


class MessageDb:
    """message-db's write_message, once per event, a batch pipelined in one transaction."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn

    @classmethod
    async def install(cls, dsn: str) -> MessageDb | None:
        """Install it into the database; None where npm or the package is not available."""
        with tempfile.TemporaryDirectory() as folder:
            source = await asyncio.to_thread(_fetch, Path(folder))
            if source is None:
                return None
            conn = await asyncpg.connect(
                dsn, server_settings={"search_path": "message_store", "jit": "off"}
            )
            await conn.execute("CREATE SCHEMA message_store")
            for part in _MESSAGE_DB_PARTS:
                await conn.execute((source / part).read_text("utf-8"))
        return cls(conn)

    async def append_all(self, batches: Sequence[Sequence[PeerEvent]]) -> None:
        """Append batch after batch."""
        for batch in batches:
            rows: list[Any] = [
                (str(UUID(bytes=e.id)), f"track-{e.entity.hex()}", e.payload.decode())
                for e in batch
            ]
            await self._conn.executemany("SELECT write_message($1, $2, 'track', $3::jsonb)", rows)

    async def aclose(self) -> None:
        """Close its connection."""
        await self._conn.close()


def _fetch(folder: Path) -> Path | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    done = subprocess.run(
        [npm, "pack", "--silent", MESSAGE_DB],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        return None
    with tarfile.open(archives[0]) as archive:
        # Python before 3.11.4 has no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    return folder / "package" / "database"
