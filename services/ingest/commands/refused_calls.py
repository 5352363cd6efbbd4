"""Records calls that were refused for the role of their key: each is a fact of the log."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.access.uses import KeyUse
from services.ingest.codec.refused_calls import CALL_REFUSED, encode_refusal
from services.ingest.domain.facts import FactRow, NewFact
from services.ingest.log import EventLog
from services.ingest.log.store import LeafFactsQuery
from services.ingest.store.definitions import DefinitionStore
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId, WorkspaceId, hash_id, shard_of

_MAX_METHOD = 200
#: Beyond the last offset of any shard.
_END = 2**62


class RefusedCalls:
    """The refused calls of each workspace. All methods raise StoreUnavailable."""

    def __init__(self, log: EventLog, store: DefinitionStore) -> None:
        self._log = log
        self._store = store

    async def record(self, uses: Sequence[KeyUse]) -> None:
        """Record refusals; those of unknown keys, and those of before, change nothing.

        Raises InvalidField.
        """
        if any(not 0 < len(use.refused_method) <= _MAX_METHOD for use in uses):
            message = f"a method has a path of 1 to {_MAX_METHOD} characters"
            raise InvalidField(message, field="uses")
        known = {
            (workspace_id, key.key_id)
            for workspace_id in {use.workspace_id for use in uses}
            for key in await self._store.keys(workspace_id)
        }
        facts = [self._fact(use) for use in uses if (use.workspace_id, use.key_id) in known]
        if facts:
            await self._log.append(facts)

    def _fact(self, use: KeyUse) -> NewFact:
        payload = encode_refusal(use)
        return NewFact(
            workspace_id=use.workspace_id,
            fact_id=FactId(hash_id(use.workspace_id, CALL_REFUSED, payload)),
            kind=CALL_REFUSED,
            leaf_id=_leaf(use.workspace_id),
            occurred_at_us=self._log.clock.now_us(),
            source_id="",
            actor=use.key_id,
            payload=payload,
            content_tag=self._log.index_key.content_tag(use.workspace_id, payload),
        )

    async def newest(self, workspace_id: WorkspaceId, limit: int) -> list[FactRow]:
        """Return the facts of at most `limit` refused calls, the newest first."""
        leaf = _leaf(workspace_id)
        leaves = [(shard_of(leaf, self._log.shards), leaf, _END)]
        query = LeafFactsQuery(workspace_id, leaves, limit=limit)
        pages = self._log.reader.leaf_facts(query)
        return [fact async for page in pages for fact in page]


def _leaf(workspace_id: str) -> LeafId:
    """Return the leaf under which the refused calls of a workspace are; no person has it."""
    return LeafId(hash_id(workspace_id, CALL_REFUSED))
