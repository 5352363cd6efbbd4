"""Records calls that were refused for the role of their key: each is a fact of the log."""

from __future__ import annotations

from collections.abc import Sequence

from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.ingest.v1.ingest_facts_pb2 import CallRefused

from services.chassis.access.uses import KeyUse
from services.ingest.domain.facts import NewFact
from services.ingest.log import EventLog
from services.ingest.log.store import LeafFactsQuery
from services.ingest.store.definitions import DefinitionStore
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId, WorkspaceId, hash_id, shard_of, to_hex

_KIND = CallRefused.DESCRIPTOR.full_name
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
        message = CallRefused(key_id=use.key_id, method=use.refused_method, day=use.day)
        payload = message.SerializeToString(deterministic=True)
        return NewFact(
            workspace_id=use.workspace_id,
            fact_id=FactId(hash_id(use.workspace_id, _KIND, payload)),
            kind=_KIND,
            leaf_id=_leaf(use.workspace_id),
            occurred_at_us=self._log.clock.now_us(),
            source_id="",
            actor=use.key_id,
            payload=payload,
            content_tag=self._log.index_key.content_tag(use.workspace_id, payload),
        )

    async def newest(self, workspace_id: WorkspaceId, limit: int) -> list[pb.RefusedCall]:
        """Return at most `limit` refused calls, the newest first."""
        leaf = _leaf(workspace_id)
        leaves = [(shard_of(leaf, self._log.shards), leaf, _END)]
        query = LeafFactsQuery(workspace_id, leaves, limit=limit)
        return [
            pb.RefusedCall(
                call=CallRefused.FromString(fact.payload),
                recorded_at_us=fact.recorded_at_us,
                fact_id=to_hex(fact.fact_id),
            )
            async for page in self._log.reader.leaf_facts(query)
            for fact in page
        ]


def _leaf(workspace_id: str) -> LeafId:
    """Return the leaf under which the refused calls of a workspace are; no person has it."""
    return LeafId(hash_id(workspace_id, _KIND))
