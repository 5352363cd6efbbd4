"""Folds workspaces, sources, keys and erasures from the log into the tables of ingest.

A definition is appended to the log and read back from it, so what ingest returns never differs
from what the other services see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import asyncpg

from services.chassis.access.tables import ACCESS_KINDS, fold_access_facts
from services.chassis.codec.erasures import PERSON_ERASED, erasures_in
from services.chassis.postgres.database import transaction
from services.ingest.codec.definitions import decode_definition, fact_to_proto
from services.ingest.codec.erasure import (
    ERASURE_FOLDED,
    ERASURE_REQUESTED,
    decode_folded,
    decode_request,
)
from services.ingest.domain.definitions import newest
from services.ingest.store import definitions as store
from services.ingest.store.erasures import add_folded, mark_erased, save_requests

_PAGE = 1_000
_KINDS = ACCESS_KINDS | {ERASURE_REQUESTED, PERSON_ERASED, ERASURE_FOLDED}


class DefinitionProjection:
    """Folds shard 0, which has all definitions because they are broadcast facts."""

    def __init__(self, pool: asyncpg.Pool, on_changed: Sequence[Callable[[], None]]) -> None:
        """`on_changed` are called after definitions were folded."""
        self._pool = pool
        self._on_changed = on_changed

    async def refresh(self) -> None:
        """Fold up to the end of the log. Raises StoreUnavailable.

        Each page is one transaction with its checkpoint, so a stop at any time loses nothing.
        """
        changed = False
        while await self._fold_page():
            changed = True
        if changed:
            for notify in self._on_changed:
                notify()

    async def _fold_page(self) -> bool:
        """Return whether there was a definition to fold."""
        async with transaction(self._pool) as conn:
            first = await store.lock_checkpoint(conn)
            # Read before the facts: a fact that is appended in between is folded the next time.
            end = await store.end_of_shard(conn)
            if end <= first:
                return False
            rows = await store.logged_definitions(conn, first, _KINDS, _PAGE)
            page = [fact_to_proto(dict(row)) for row in rows]
            access = [fact for fact in page if fact.kind in ACCESS_KINDS]
            await fold_access_facts(conn, access)
            await store.save_definitions(conn, newest(map(decode_definition, access)))
            requested = [fact for fact in page if fact.kind == ERASURE_REQUESTED]
            await save_requests(conn, map(decode_request, requested))
            for erasure in erasures_in(page):  # of an imported log; else it is marked already
                await mark_erased(conn, *erasure[:2], erasure.recorded_at_us, None)
            for fact in page:
                if fact.kind == ERASURE_FOLDED:
                    await add_folded(conn, fact.workspace_id, *decode_folded(fact))
            is_full = len(page) == _PAGE
            await store.save_checkpoint(conn, page[-1].offset + 1 if is_full else end)
        return bool(page)
