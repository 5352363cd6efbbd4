"""Resolves the identifiers around some as they were in the past, from the facts of the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import asyncpg

from services.chassis.access.tables import WorkspaceRegions
from services.identity.codec.bus import decode_facts
from services.identity.domain.co_occurrence import holders_to_compare
from services.identity.domain.evidence import (
    Decision,
    DecisionKind,
    Edge,
    Evidence,
    EvidenceKind,
    Pair,
    SeenSpan,
)
from services.identity.domain.explain import ExplainedEdge, Explanation, orient, shortest_path
from services.identity.domain.held import HeldEdge, HeldReason
from services.identity.domain.normalize import normalize_pair, observation_of
from services.identity.domain.policy import Policy
from services.identity.domain.resolution import (
    LinkedProfiles,
    Node,
    classify_all,
    held_by_policy,
    link_components,
    neighbours_of,
    node_of,
)
from services.identity.domain.rows import ResolvedProfile, SeenIdentifier
from services.identity.projection.reader import StateReader
from services.identity.store.decisions import load_decided_with
from services.identity.store.evidence import PostgresEvidence
from services.identity.store.policy import newest_policy
from services.kernel.as_of import AsOf
from services.kernel.errors import TooLarge
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token

#: The most leaves read for an answer about the past, and the most read at the same time.
MAX_LEAVES, LEAVES_PAGE = 5_000, 1_000


class LeafLog(Protocol):
    """The facts of leaves; see services.chassis.rpc.clients.LogClient."""

    async def read_leaves(
        self,
        workspace_id: WorkspaceId,
        leaf_ids: Sequence[bytes],
        *,
        before: Token | None = None,
        before_us: int = 0,
    ) -> list[Any]:
        """Return their facts before a token, and (0 = any) before an instant."""


class PastProfiles:
    """Returns profiles as they were in the past."""

    def __init__(self, reader: StateReader, log: LeafLog) -> None:
        self._reader = reader
        self._log = log

    async def profile(
        self, workspace_id: WorkspaceId, id_: IdentifierId, as_of: AsOf
    ) -> ResolvedProfile | None:
        """Return the profile that an identifier belonged to; None if it was not seen by then.

        `id_` may also be the id of a profile, which is that of its first identifier. Raises
        TooLarge.
        """
        async with self._reader.snapshot() as conn:
            key = self._reader.index_key
            return await PastState(conn, self._log, workspace_id, as_of, key).profile_of(id_)


class _Around(NamedTuple):
    """The identifiers around some, of which all evidence was read."""

    inside: set[IdentifierId]
    #: The edges that the policy holds.
    held: dict[Edge, HeldEdge]
    policy: Policy


class PastState:
    """The profiles around some identifiers in the past; none of it is stored."""

    def __init__(
        self,
        conn: asyncpg.Connection,
        log: LeafLog,
        workspace_id: WorkspaceId,
        as_of: AsOf,
        index_key: IndexKey,
    ) -> None:
        self._conn = conn
        self._store = PostgresEvidence(conn, shards=1)
        self._log = log
        self._workspace_id = workspace_id
        self._as_of = as_of
        self._index_key = index_key
        self._regions = WorkspaceRegions()
        self._evidence = Evidence()
        self._read_leaves: set[bytes] = set()
        #: Identifiers of which all evidence was read.
        self._complete: set[IdentifierId] = set()

    async def explain(self, a: IdentifierId, b: IdentifierId) -> Explanation:
        """Explain two identifiers. Raises TooLarge."""
        around = await self._around({a, b})
        found = self._explain(a, b, around)
        beyond = {id_ for one in found.path for id_ in one.edge[:2]} - around.inside
        if beyond:
            held = await self._held_by_policy(around.inside | beyond, around.policy)
            around = around._replace(held={**held, **around.held})
            found = self._explain(a, b, around)
        return found

    async def profile_of(self, id_: IdentifierId) -> ResolvedProfile | None:
        """Return the profile that an identifier belonged to; None if it was not seen by then.

        The id of a profile is that of its first identifier. Raises TooLarge.
        """
        around = await self._around({id_})
        if id_ not in around.inside:
            return None
        profiles = self._linked(around).profiles
        seen = (
            SeenIdentifier(other, identifier, self._evidence.first_seen[other])
            for other, profile_id in profiles.items()
            if profile_id == profiles[id_]
            and (identifier := self._evidence.identifiers[other].identifier) is not None
        )
        ordered = sorted(seen, key=lambda one: (one.first, one.identifier_id))
        return ResolvedProfile(profiles[id_], tuple(ordered))

    async def _around(self, ids: set[IdentifierId]) -> _Around:
        """Read the evidence about all identifiers that some may be joined with."""
        policy = await newest_policy(self._conn, self._workspace_id, self._as_of.token)
        await self._regions.load(self._conn, (), [self._workspace_id])
        await self._complete_evidence(ids)
        inside = {id_ for id_ in ids if id_ in self._evidence.first_seen}
        while True:
            held = await self._held_by_policy(inside, policy)
            active = (edge for edge in self._edges() if edge not in held)
            ends = {id_ for e in active if not inside.isdisjoint(e[:2]) for id_ in e[:2]}
            if ends <= inside:
                return _Around(inside, held, policy)
            await self._complete_evidence(ends - inside)
            inside |= ends

    def _linked(self, around: _Around) -> LinkedProfiles:
        """Return the profiles of the identifiers that were reached."""
        nodes, decisions = self._nodes(), self._evidence.decisions
        apart = {p for p, d in decisions.items() if d.kind == DecisionKind.SEPARATE}
        eligible = {
            edge: span
            for edge, span in self._edges().items()
            if edge not in around.held and around.inside.issuperset(edge[:2])
        }
        members = {id_: nodes[id_] for id_ in around.inside}
        return link_components(members, eligible, apart, around.policy)

    async def _held_by_policy(
        self, inside: Collection[IdentifierId], policy: Policy
    ) -> dict[Edge, HeldEdge]:
        """Return the edges of some identifiers that the policy holds. The class of an end depends
        on all its edges, so the evidence of the other ends is completed first."""
        await self._complete_evidence({id_ for edge in self._edges_at(inside) for id_ in edge[:2]})
        # So does how many persons its holders are, which the edges between these show.
        neighbours = neighbours_of(self._nodes(), self._edges(), policy)
        for id_, some in neighbours.items():
            if id_ in self._complete:
                rule = policy.rule(self._evidence.identifiers[id_].namespace)
                await self._complete_evidence(holders_to_compare(some, rule))
        nodes = self._nodes()
        co_occurrences = classify_all(nodes, self._edges(), policy)
        return held_by_policy(nodes, self._edges_at(inside), co_occurrences, policy)

    def _explain(self, a: IdentifierId, b: IdentifierId, around: _Around) -> Explanation:
        linked, edges = self._linked(around), self._edges()
        profiles, held = linked.profiles, {**around.held, **linked.held}
        is_same = a in profiles and b in profiles and profiles[a] == profiles[b]
        path = shortest_path((e for e in edges if not is_same or e not in held), a, b)
        explained = {edge: self._explain_edge(edge, held.get(edge), profiles) for edge in path}
        return Explanation(
            profile_a=profiles.get(a),
            profile_b=profiles.get(b),
            path=orient(path, a, explained),
            policy_version=around.policy.version,
        )

    def _explain_edge(
        self, edge: Edge, held: HeldEdge | None, profiles: Mapping[IdentifierId, ProfileId]
    ) -> ExplainedEdge:
        identifiers = self._evidence.identifiers
        decision = self._decision_behind(edge, held, profiles)
        return ExplainedEdge(
            a=identifiers[edge.a].identifier,
            b=identifiers[edge.b].identifier,
            edge=edge,
            span=self._edges()[edge],
            held=held,
            actor=decision.actor if decision else "",
            reason=decision.reason if decision else "",
        )

    def _decision_behind(
        self, edge: Edge, held: HeldEdge | None, profiles: Mapping[IdentifierId, ProfileId]
    ) -> Decision | None:
        decisions = self._evidence.decisions
        if edge.kind == EvidenceKind.DECIDED:
            return decisions[Pair(edge.a, edge.b)]
        if held is None or held.reason != HeldReason.SEPARATED:
            return None
        ends = {profiles.get(edge.a), profiles.get(edge.b)}
        separations = (
            decision
            for pair, decision in decisions.items()
            if decision.kind == DecisionKind.SEPARATE
            and {profiles.get(pair.a), profiles.get(pair.b)} == ends
        )
        return min(separations, default=None)

    def _nodes(self) -> dict[IdentifierId, Node]:
        identifiers = self._evidence.identifiers
        return {
            id_: node_of(identifiers[id_], first)
            for id_, first in self._evidence.first_seen.items()
        }

    def _edges(self) -> dict[Edge, SeenSpan]:
        made = (decision.edge(pair) for pair, decision in self._evidence.decisions.items())
        return {**self._evidence.edges, **dict(one for one in made if one is not None)}

    def _edges_at(self, ids: Collection[IdentifierId]) -> dict[Edge, SeenSpan]:
        return {e: span for e, span in self._edges().items() if e.a in ids or e.b in ids}

    async def _complete_evidence(self, ids: Collection[IdentifierId]) -> None:
        """Read all evidence about identifiers. It lies under their own leaves and under those of
        all identifiers that they have an edge or a decision with."""
        needed = set(ids) - self._complete
        if not needed:
            return
        adjacent = await self._store.load_edges(needed)
        leaves: set[bytes] = needed | {id_ for edge in adjacent.edges for id_ in edge[:2]}
        leaves |= await load_decided_with(self._conn, needed)
        await self._read(leaves - self._read_leaves)
        self._complete |= needed

    async def _read(self, leaves: set[bytes]) -> None:
        if len(self._read_leaves) + len(leaves) > MAX_LEAVES:
            raise TooLarge(
                "too many related identifiers for an answer about the past; ask without as_of",
                limit=str(MAX_LEAVES),
            )
        remaining = sorted(leaves)
        for start in range(0, len(remaining), LEAVES_PAGE):
            page = remaining[start : start + LEAVES_PAGE]
            facts = await self._log.read_leaves(
                self._workspace_id, page, before=self._as_of.token, before_us=self._as_of.before_us
            )
            self._add(facts)
        self._read_leaves |= leaves

    def _add(self, facts: Iterable[Any]) -> None:
        region = self._regions.of(self._workspace_id)
        decoded = decode_facts(facts)
        for identifier_set, span in decoded.observations.items():
            observation = observation_of(identifier_set, region, self._index_key)
            self._evidence.add(observation, span)
        for one in decoded.decisions:
            pair = normalize_pair(one.workspace_id, one.identifiers, region, self._index_key)
            self._evidence.add_decision(one.decision, pair)
