"""Takes in what journeys are defined by and wait for: definitions, events, memberships, moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import structlog

from services.activation.codec.coupons import CODES_LOADED, POOL_DEFINED, decode_codes
from services.activation.codec.journey_facts import (
    CONTACT_POLICY_DEFINED,
    DESTINATION_FLOW_CHANGED,
    decode_destination_flow,
    decode_journey_flow,
    decode_program,
)
from services.activation.codec.journey_inputs import journey_facts, moved_leaves, workspaces_of
from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.program import Subject
from services.activation.store import runs as store
from services.activation.store.coupons import Q as COUPONS
from services.activation.store.coupons import UsedCode, save_pool, use_coupons
from services.activation.store.gate import end_pause
from services.activation.store.journeys import (
    FlowKind,
    load_journeys,
    save_contact_policy,
    save_flow,
    save_journey,
)
from services.activation.store.runs import EVERY_LEAF, DueKey
from services.chassis.codec.journey_facts import JOURNEY_DEFINED, JOURNEY_FLOW_CHANGED
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, WorkspaceId

log = structlog.get_logger(__name__)

DEFINITIONS: Final = frozenset(
    (
        *(JOURNEY_DEFINED, JOURNEY_FLOW_CHANGED, CONTACT_POLICY_DEFINED, DESTINATION_FLOW_CHANGED),
        *(POOL_DEFINED, CODES_LOADED),
    )
)


@dataclass
class Waiting:
    """What the journeys of a workspace wait for, by subject."""

    #: The journeys in any version of which it counts.
    journeys: dict[Subject, set[str]] = field(default_factory=dict)
    #: The pools whose coupons it uses, with the property that has the code.
    uses: dict[Subject, set[tuple[str, str]]] = field(default_factory=dict)


class JourneyIntake:
    """Stores what journeys wait for, and asks for looks at the persons concerned.

    Every fold takes its locks in the order of the statements here: definitions, leaves, facts,
    dues, each ascending.
    """

    def __init__(self) -> None:
        #: By shard, what its journeys wait for, by workspace; as of its last definition.
        self._waiting: dict[int, dict[WorkspaceId, Waiting]] = {}

    def forget(self, shard: int) -> None:
        """Forget what is remembered of a shard."""
        self._waiting.pop(shard, None)

    async def take_in(self, conn: asyncpg.Connection, shard: int, messages: Sequence[Any]) -> bool:
        """Store what messages of segment say, inside the transaction of the fold.

        Return whether persons are to be looked at.
        """
        facts = [f for m in messages for f in m.broadcast_facts if f.kind in DEFINITIONS]
        dues = [due for fact in facts for due in await define(conn, fact)]
        if facts:
            self.forget(shard)
        moves = list(moved_leaves(messages))
        of_moves = {move.workspace_id for move in moves}
        waiting = await self._load(conn, shard, workspaces_of(messages) | of_moves)
        awaited = {workspace_id: own.journeys for workspace_id, own in waiting.items()}
        moved = await store.move_leaves(conn, moves)
        unseen = [(key, at_us) for key, at_us in moved if awaited[key.workspace_id]]
        now_us = max((message.log_time_us for message in messages), default=0)
        found: dict[tuple[WorkspaceId, FactId], JourneyFact] = {}
        used: list[UsedCode] = []
        for workspace_id, fact in journey_facts(messages, awaited):
            known = waiting[workspace_id]
            journeys = {j for subject in fact.subjects for j in known.journeys.get(subject, ())}
            if journeys:
                found[workspace_id, fact.fact_id] = fact
                keys = [DueKey(workspace_id, j, fact.leaf_id) for j in journeys]
                dues += [(key, fact.learnt_at_us) for key in keys]
            used += _used_codes(workspace_id, fact, known)
        await store.add_facts(conn, found)
        unseen += [(DueKey(*key), now_us) for key in sorted(await use_coupons(conn, used))]
        await store.add_dues(conn, dues, unseen)
        return bool(dues or unseen)

    async def _load(
        self, conn: asyncpg.Connection, shard: int, workspaces: set[WorkspaceId]
    ) -> dict[WorkspaceId, Waiting]:
        known = self._waiting.setdefault(shard, {})
        missing = workspaces - known.keys()
        if missing:
            known |= {workspace_id: Waiting() for workspace_id in missing}
            for (workspace_id, journey_id), history in (await load_journeys(conn, missing)).items():
                own = known[workspace_id]
                for subject in history.subjects:
                    own.journeys.setdefault(subject, set()).add(journey_id)
                for subject, pool_id, code_property in history.coupon_uses:
                    own.uses.setdefault(subject, set()).add((pool_id, code_property))
        return known


def _used_codes(
    workspace_id: WorkspaceId, fact: JourneyFact, waiting: Waiting
) -> Iterator[UsedCode]:
    """Yield the codes that an event says were used."""
    for subject in fact.subjects:
        for pool_id, code_property in sorted(waiting.uses.get(subject, ())):
            code = fact.properties.get(code_property)
            if isinstance(code, str) and code:
                times = fact.occurred_at_us, fact.recorded_at_us
                yield UsedCode(workspace_id, pool_id, code, fact.fact_id, *times)


async def define(conn: asyncpg.Connection, fact: Any) -> list[tuple[DueKey, int]]:
    """Save a definition; return the journey whose open runs are to be looked at, if any."""
    workspace_id, at_us = WorkspaceId(fact.workspace_id), fact.recorded_at_us
    try:
        match fact.kind:
            case kind if kind == JOURNEY_DEFINED:
                await save_journey(conn, workspace_id, at_us, fact.payload)
                journey_id = decode_program(fact.payload).journey.journey_id
            case kind if kind == JOURNEY_FLOW_CHANGED:
                journey_id, change = decode_journey_flow(fact.payload, at_us)
                await save_flow(conn, workspace_id, FlowKind.JOURNEY, journey_id, change)
                await end_pause(conn, workspace_id, journey_id=journey_id)
            case kind if kind == DESTINATION_FLOW_CHANGED:
                id_, change = decode_destination_flow(fact.payload, at_us)
                await save_flow(conn, workspace_id, FlowKind.DESTINATION, id_, change)
                await end_pause(conn, workspace_id, destination_id=id_)
                return []
            case kind if kind == CONTACT_POLICY_DEFINED:
                await save_contact_policy(conn, workspace_id, at_us, fact.payload)
                return []
            case kind if kind == POOL_DEFINED:
                await save_pool(conn, workspace_id, fact.payload)
                return []
            case kind if kind == CODES_LOADED:
                await conn.execute(COUPONS.add_codes, workspace_id, *decode_codes(fact.payload))
                return []
            case _:
                return []
    except InvalidField:
        log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
        return []
    return [(DueKey(workspace_id, journey_id, EVERY_LEAF), at_us)]
