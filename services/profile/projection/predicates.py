"""What the definitions that were folded ask for, kept in memory while nobody learns of more."""

from __future__ import annotations

from services.profile.codec import bus as wire
from services.profile.domain.backfill import grown
from services.profile.domain.model import Catalogues
from services.profile.store import postgres as store
from services.profile.store.postgres import Connection


class Rulebook:
    """Catalogues by workspace: of one shard, and of all."""

    def __init__(self) -> None:
        self._of_shard: dict[int, tuple[int, Catalogues]] = {}
        self._of_all: tuple[tuple[tuple[int, int], ...], Catalogues] = ((), {})

    async def of_shard(self, conn: Connection, shard: int, revision: int) -> Catalogues:
        """What a shard has learnt, at its present revision: this is what it folds by."""
        known = self._of_shard.get(shard)
        if known is None or known[0] != revision:
            known = (revision, await _load(conn, shard))
            self._of_shard[shard] = known
        return known[1]

    async def of_all(self, conn: Connection) -> Catalogues:
        """What any shard has learnt: this is what profiles are asked.

        Must be called under the locks of the profiles that are asked. Who held one of them before
        has then been seen, with all it knew: so no answer of theirs is ever left unasked.
        """
        revisions = await store.load_revisions(conn)
        if self._of_all[0] != revisions:
            self._of_all = (revisions, await _load(conn, None))
        return self._of_all[1]


async def _load(conn: Connection, shard: int | None) -> Catalogues:
    facts = await store.load_definitions(conn, shard, wire.RULE_KINDS)
    return grown({}, wire.definitions(facts))
