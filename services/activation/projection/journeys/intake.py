"""Takes in what journeys are defined by and wait for: definitions, events, memberships, moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.profile.v1.profile_stream_pb2 import MatchedEvent
from onefold.segment.v1 import segment_stream_pb2 as pb

from services.activation.codec.journey_facts import (
    CONTACT_POLICY_DEFINED,
    DESTINATION_FLOW_CHANGED,
    JOURNEY_DEFINED,
    JOURNEY_FLOW_CHANGED,
    decode,
    decode_program,
    flow_change,
)
from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.program import Subject, event_subject, segment_subject
from services.activation.store import runs as store
from services.activation.store.gate import end_pause
from services.activation.store.journeys import (
    FlowKind,
    load_journeys,
    save_contact_policy,
    save_flow,
    save_journey,
)
from services.activation.store.runs import EVERY_LEAF, DueKey, LeafMoved
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId, hash_id
from services.kernel.journeys.model import Movement

log = structlog.get_logger(__name__)

#: The causes of changes of memberships that say nothing about what the person did.
_NOT_LIVED: Final = (pb.MEMBERSHIP_CAUSE_MERGE, pb.MEMBERSHIP_CAUSE_DEFINITION)
DEFINITIONS: Final = frozenset(
    (JOURNEY_DEFINED, JOURNEY_FLOW_CHANGED, CONTACT_POLICY_DEFINED, DESTINATION_FLOW_CHANGED)
)
#: By workspace and subject, the journeys in any version of which it counts.
Waiting = dict[tuple[WorkspaceId, Subject], list[str]]


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

    async def take_in(
        self, conn: asyncpg.Connection, shard: int, messages: Sequence[pb.MembershipsChanged]
    ) -> None:
        """Store what messages of segment say, inside the transaction of the fold."""
        facts = [f for m in messages for f in m.broadcast_facts if f.kind in DEFINITIONS]
        dues = [due for fact in facts for due in await define(conn, fact)]
        if facts:
            self.forget(shard)
        events = [event for message in messages for event in message.matched_events]
        moves = [_moved(move, m.log_time_us) for m in messages for move in m.leaf_moves]
        changes = [c for m in messages for c in m.changes if c.cause not in _NOT_LIVED]
        named = {e.workspace_id for e in events} | {c.workspace_id for c in changes}
        waiting = await self._load(conn, shard, named)
        moves += [_assigned(event) for event in events]
        moved = await store.move_leaves(conn, moves)
        now_us = max((message.log_time_us for message in messages), default=0)
        dues += [(key, now_us) for key in moved]
        found: dict[tuple[WorkspaceId, FactId], JourneyFact] = {}
        own = [(e.workspace_id, _event(e)) for e in events]
        own += [(c.workspace_id, _membership(c)) for c in changes]
        for name, fact in own:
            workspace_id = WorkspaceId(name)
            journeys = {
                journey_id
                for subject in fact.subjects
                for journey_id in waiting.get(workspace_id, {}).get((workspace_id, subject), ())
            }
            if journeys:
                found[workspace_id, fact.fact_id] = fact
                at_us = max(fact.occurred_at_us, fact.recorded_at_us)
                dues += [(DueKey(workspace_id, j, fact.leaf_id), at_us) for j in journeys]
        await store.add_facts(conn, found)
        await store.add_dues(conn, dues)

    async def _load(
        self, conn: asyncpg.Connection, shard: int, workspaces: set[str]
    ) -> dict[WorkspaceId, Waiting]:
        known = self._waiting.setdefault(shard, {})
        missing = {WorkspaceId(each) for each in workspaces} - known.keys()
        if missing:
            known |= {workspace_id: {} for workspace_id in missing}
            for (workspace_id, journey_id), history in (await load_journeys(conn, missing)).items():
                for subject in history.subjects:
                    key = workspace_id, subject
                    known[workspace_id].setdefault(key, []).append(journey_id)
        return known


async def define(conn: asyncpg.Connection, fact: Any) -> list[tuple[DueKey, int]]:
    """Save a definition; return the journey whose open runs are to be looked at, if any."""
    workspace_id, at_us = WorkspaceId(fact.workspace_id), fact.recorded_at_us
    try:
        match fact.kind:
            case kind if kind == JOURNEY_DEFINED:
                await save_journey(conn, workspace_id, at_us, fact.payload)
                journey_id = decode_program(fact.payload).journey.journey_id
            case kind if kind == JOURNEY_FLOW_CHANGED:
                message = decode(facts_pb.JourneyFlowChanged, fact.payload)
                change = flow_change(message, at_us)
                journey_id = message.journey_id
                await save_flow(conn, workspace_id, FlowKind.JOURNEY, journey_id, change)
                await end_pause(conn, workspace_id, journey_id=journey_id)
            case kind if kind == DESTINATION_FLOW_CHANGED:
                other = decode(facts_pb.DestinationFlowChanged, fact.payload)
                change = flow_change(other, at_us)
                id_ = other.destination_id
                await save_flow(conn, workspace_id, FlowKind.DESTINATION, id_, change)
                await end_pause(conn, workspace_id, destination_id=id_)
                return []
            case kind if kind == CONTACT_POLICY_DEFINED:
                await save_contact_policy(conn, workspace_id, at_us, fact.payload)
                return []
            case _:
                return []
    except InvalidField:
        log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
        return []
    return [(DueKey(workspace_id, journey_id, EVERY_LEAF), at_us)]


def _moved(move: Any, since_us: int) -> LeafMoved:
    return LeafMoved(
        WorkspaceId(move.workspace_id),
        LeafId(move.leaf_id),
        ProfileId(move.profile_id),
        move.version,
        since_us,
    )


def _assigned(event: MatchedEvent) -> LeafMoved:
    return LeafMoved(
        WorkspaceId(event.workspace_id),
        LeafId(event.leaf_id),
        ProfileId(event.profile_id),
        event.assignment_version,
        event.recorded_at_us,
    )


def _event(event: MatchedEvent) -> JourneyFact:
    return JourneyFact(
        LeafId(event.leaf_id),
        FactId(event.fact_id),
        event.occurred_at_us,
        event.recorded_at_us,
        tuple(map(event_subject, event.filter_ids)),
        msgspec.json.decode(event.properties) if event.properties else {},
    )


def _membership(change: pb.MembershipChange) -> JourneyFact:
    parts = (change.workspace_id, "membership", change.segment_id, change.profile_id)
    return JourneyFact(
        LeafId(change.profile_id),
        FactId(hash_id(*parts, str(change.ordinal))),
        change.changed_at_us,
        change.changed_at_us,
        (segment_subject(change.segment_id, _movement(change)),),
    )


def _movement(change: pb.MembershipChange) -> Movement:
    return Movement.ENTERED if change.entered else Movement.LEFT
