"""Explanations: why two identifiers are one person, or why not, now or as of an earlier token."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import asyncpg

from services.chassis.access.tables import WorkspaceRegions
from services.chassis.postgres.database import Queries
from services.identity.codec import bus as wire
from services.identity.domain.evidence import (
    Decision,
    DecisionKind,
    Edge,
    EvidenceKind,
    FirstSeen,
    Pair,
    SeenSpan,
)
from services.identity.domain.explain import ExplainedEdge, Explanation, orient, shortest_path
from services.identity.domain.fast_path import node_from
from services.identity.domain.linking import HeldEdge, HeldReason, Node, link_components
from services.identity.domain.normalize import normalize_pair, observation_of
from services.identity.domain.policy import DEFAULT, Policy
from services.identity.domain.resolution import classify_all, held_by_policy
from services.identity.domain.rows import Evidence, ProfileGraph, decided_edge
from services.identity.store.postgres import PostgresEvidence
from services.kernel.errors import TooLarge
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.tokens import Token

Q = Queries.load("services.identity.store")
#: Identifiers that are looked at on the way from one to another; farther ones are taken for apart.
MOST_NEAR = 20_000
#: Leaves whose facts are read for an explanation of the past.
MOST_LEAVES = 5_000
#: Leaves that the log gives at once.
LEAVES_ASKED = 1_000


class Log(Protocol):
    """What the log tells of some leaves; see chassis.peers.LogPeer."""

    async def read_leaves(
        self,
        workspace_id: WorkspaceId,
        leaf_ids: Sequence[bytes],
        *,
        before: Token | None = None,
    ) -> list[Any]:
        """Their facts before a token."""
        ...


async def explain_now(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, a: IdentifierId, b: IdentifierId
) -> Explanation:
    """Why, by what is kept; inside a transaction that sees one state."""
    tables = PostgresEvidence(conn, shards=1)
    profiles = await tables.profiles((a, b))
    policy = await newest_policy(conn, workspace_id)
    same = profiles.get(a) is not None and profiles.get(a) == profiles.get(b)
    if same:
        region = await tables.load_profiles({profiles[a]})
        path = shortest_path((e for e, row in region.edges.items() if row.held is None), a, b)
    elif len(profiles) == 2:
        region, path = await _search(tables, a, b)
    else:
        region, path = ProfileGraph(), []
    decisions = await _decisions(conn, region, path)
    ties = {edge: _tie(edge, region, decisions) for edge in path}
    ends = (profiles.get(a), profiles.get(b))
    return Explanation(*ends, orient(path, a, ties), policy.version)


async def newest_policy(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, as_of: Token | None = None
) -> Policy:
    """The policy of a workspace, now or as of a token."""
    for message, version, shard, offset in await conn.fetch(Q.policies, workspace_id):
        if as_of is None or offset < as_of.offset(shard):
            return wire.read_policy(message, version)
    return DEFAULT


async def _search(
    tables: PostgresEvidence, a: IdentifierId, b: IdentifierId
) -> tuple[ProfileGraph, list[Edge]]:
    """The shortest way over all evidence, from both ends at once: a hub in the middle is met and
    not walked over."""
    region = ProfileGraph()
    rims, seen = [{a}, {b}], [{a}, {b}]
    while all(rims) and sum(map(len, seen)) < MOST_NEAR:
        side = 0 if len(rims[0]) <= len(rims[1]) else 1
        near = await tables.load_edges(rims[side])
        region.merge(near)
        ends = {id_ for edge in near.edges for id_ in edge[:2]}
        rims[side] = ends - seen[side]
        seen[side] |= ends
        if not rims[side].isdisjoint(seen[1 - side]):
            return region, shortest_path(region.edges, a, b)
    return region, []


async def _decisions(
    conn: asyncpg.Connection, region: ProfileGraph, path: Iterable[Edge]
) -> dict[Edge, Decision]:
    """The decisions that bind or hold the edges of a path."""
    found: dict[Edge, Decision] = {}
    for edge in path:
        row = region.edges[edge]
        is_held = row.held is not None and row.held.reason == HeldReason.SEPARATED
        if edge.kind == EvidenceKind.DECIDED:
            rows = await conn.fetch(Q.decisions_of, [edge.a], [edge.b])
        elif is_held:
            ends = [_profile(region, edge.a), _profile(region, edge.b)]
            rows = await conn.fetch(Q.separations_between, *ends)
        else:
            continue
        if rows:
            at, fact, verdict, actor, reason = rows[0]
            found[edge] = Decision(FirstSeen(at, fact), verdict, actor, reason)
    return found


def _profile(region: ProfileGraph, id_: IdentifierId) -> ProfileId:
    return (region.members.get(id_) or region.outside[id_]).profile_id


def _tie(edge: Edge, region: ProfileGraph, decisions: Mapping[Edge, Decision]) -> ExplainedEdge:
    ends = [(region.members.get(id_) or region.outside[id_]).name.identifier for id_ in edge[:2]]
    row, decision = region.edges[edge], decisions.get(edge)
    who = (decision.actor, decision.reason) if decision else ("", "")
    return ExplainedEdge(ends[0], ends[1], edge, row.span, row.held, *who)


class Past:
    """The people around two identifiers as the log knew them at a token; nothing of it is kept."""

    def __init__(
        self,
        conn: asyncpg.Connection,
        log: Log,
        workspace_id: WorkspaceId,
        as_of: Token,
    ) -> None:
        self._conn = conn
        self._tables = PostgresEvidence(conn, shards=1)
        self._log = log
        self._workspace_id = workspace_id
        self._as_of = as_of
        self._regions = WorkspaceRegions()
        self._evidence = Evidence()
        #: Leaves whose facts were read, and identifiers of which all evidence is there.
        self._read: set[bytes] = set()
        self._known: set[IdentifierId] = set()

    async def explain(self, a: IdentifierId, b: IdentifierId) -> Explanation:
        """Why, then. Raises TooLarge."""
        policy = await newest_policy(self._conn, self._workspace_id, self._as_of)
        await self._regions.load(self._conn, (), [self._workspace_id])
        await self._know({a, b})
        people = {id_ for id_ in (a, b) if id_ in self._evidence.identifiers}
        while True:
            held = await self._judge(people, policy)
            grown = {
                id_
                for e in self._edges()
                if e not in held and not people.isdisjoint(e[:2])
                for id_ in e[:2]
            } - people
            if not grown:
                return self._explain(a, b, people, held, policy)
            people |= grown
            await self._know(people)

    async def _judge(
        self, people: Collection[IdentifierId], policy: Policy
    ) -> dict[Edge, HeldEdge]:
        """The edges of people that bind nobody. Whoever they were seen with has to be known."""
        mine = {e: s for e, s in self._edges().items() if not set(people).isdisjoint(e[:2])}
        await self._know({id_ for edge in mine for id_ in edge[:2]})
        edges = self._edges()
        nodes = self._nodes()
        companies = classify_all(nodes, edges, policy)
        mine = {e: s for e, s in edges.items() if not set(people).isdisjoint(e[:2])}
        return held_by_policy(nodes, mine, companies, policy)

    def _explain(
        self,
        a: IdentifierId,
        b: IdentifierId,
        people: set[IdentifierId],
        held: dict[Edge, HeldEdge],
        policy: Policy,
    ) -> Explanation:
        nodes, edges = self._nodes(), self._edges()
        decisions = self._evidence.decisions
        apart = {p for p, d in decisions.items() if d.kind == DecisionKind.SEPARATE}
        inside = {id_: nodes[id_] for id_ in people}
        eligible = [
            (e, s.first) for e, s in edges.items() if e not in held and people.issuperset(e[:2])
        ]
        profiles, between = link_components(inside, eligible, apart, policy)
        held |= between
        same = a in profiles and b in profiles and profiles[a] == profiles[b]
        path = shortest_path((e for e in edges if not same or e not in held), a, b)
        ties = {edge: self._tie(edge, held, profiles) for edge in path}
        return Explanation(profiles.get(a), profiles.get(b), orient(path, a, ties), policy.version)

    def _tie(
        self,
        edge: Edge,
        held: Mapping[Edge, HeldEdge],
        profiles: Mapping[IdentifierId, ProfileId],
    ) -> ExplainedEdge:
        names, why = self._evidence.names, held.get(edge)
        who = ("", "")
        for pair, decision in sorted(self._evidence.decisions.items()):
            ends = {profiles.get(pair.a), profiles.get(pair.b)}
            parts = ends == {profiles.get(edge.a), profiles.get(edge.b)}
            is_its_own = edge.kind == EvidenceKind.DECIDED and pair == edge[:2]
            is_apart = why is not None and why.reason == HeldReason.SEPARATED and parts
            if is_its_own or (is_apart and decision.kind == DecisionKind.SEPARATE):
                who = (decision.actor, decision.reason)
                break
        ids = (names[edge.a].identifier, names[edge.b].identifier)
        return ExplainedEdge(*ids, edge, self._edges()[edge], why, *who)

    def _nodes(self) -> dict[IdentifierId, Node]:
        evidence = self._evidence
        return {
            id_: node_from(evidence.names[id_], first)
            for id_, first in evidence.identifiers.items()
        }

    def _edges(self) -> dict[Edge, SeenSpan]:
        made = [decided_edge(pair, d) for pair, d in self._evidence.decisions.items()]
        return {**self._evidence.edges, **dict(one for one in made if one is not None)}

    async def _know(self, ids: Collection[IdentifierId]) -> None:
        """Read all evidence about some identifiers that was there then: it lies under them, and
        under those that they were ever named with."""
        asked = set(ids) - self._known
        if not asked:
            return
        near = await self._tables.load_edges(asked)
        leaves: set[bytes] = asked | {id_ for edge in near.edges for id_ in edge[:2]}
        for a, b in await self._conn.fetch(Q.decided_with, list(asked)):
            leaves |= {a, b}
        await self._read_leaves(leaves - self._read)
        self._known |= asked

    async def _read_leaves(self, leaves: set[bytes]) -> None:
        if len(self._read) + len(leaves) > MOST_LEAVES:
            raise TooLarge(
                "they are named together with too many others to look back; ask about now",
                limit=str(MOST_LEAVES),
            )
        rest = sorted(leaves)
        for start in range(0, len(rest), LEAVES_ASKED):
            some = rest[start : start + LEAVES_ASKED]
            facts = await self._log.read_leaves(self._workspace_id, some, before=self._as_of)
            self._take_in(facts)
        self._read |= leaves

    def _take_in(self, facts: Iterable[Any]) -> None:
        region = self._regions.of(self._workspace_id)
        said = wire.decode_facts(facts)
        for names, span in said.observations.items():
            self._evidence.add(observation_of(names, region), span)
        for decided in said.decisions:
            two = normalize_pair(decided.workspace_id, decided.identifiers, region)
            if two:
                self._evidence.decide(Pair(min(two), max(two)), decided.decision, two)
