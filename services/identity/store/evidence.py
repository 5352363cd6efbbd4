"""Loads and saves identifiers, edges and decisions for the fold: one statement per table and
batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import asyncpg

from services.chassis.postgres.database import Queries, lock_keys
from services.identity.codec.policy import read_policy
from services.identity.domain.candidates import JointPair
from services.identity.domain.changes import EdgeChange, ReassignedIdentifier, ResolutionChanges
from services.identity.domain.claims import ProfileContents
from services.identity.domain.co_occurrence import CO_OCCURRENCE_KINDS, JOINT_KINDS, Neighbour
from services.identity.domain.evidence import (
    Decision,
    Edge,
    Evidence,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
    SeenSpan,
)
from services.identity.domain.fast_path import ProfileNamespace
from services.identity.domain.held import HeldEdge
from services.identity.domain.rows import (
    EdgeRow,
    IdentifierFlag,
    IdentifierRow,
    LockedState,
    ProfileGraph,
    StoredEvidence,
)
from services.identity.store.policy import ROLLOUT
from services.identity.store.rows import (
    columns_of,
    edge_columns_of,
    edge_row_of,
    identifier_of,
    stored_identifier_of,
    zip_columns,
)
from services.kernel.identifiers.priority import DEVICE_NAMESPACES
from services.kernel.ids import NO_ID, IdentifierId, ProfileId, WorkspaceId, shard_of

Q = Queries.load(__package__, "evidence.sql")

#: The lock spaces: a rebuild does not wait for the live state.
LIVE, REBUILD = "identity", "identity rebuild"
#: Of the claims that are held at an identifier as there are too many, so many are loaded at first.
CLAIMS = 8
#: PostgreSQL has room for some thousands of locks in all; above this, one lock replaces them.
_MAX_LOCKS = 256

_IDENTIFIER_COLUMNS = """
    shard identifier_id workspace_id namespace value profile_id first_seen_us first_fact flags
    version
"""
_EDGE_COLUMNS = """
    shard a b kind workspace_id first_seen_us first_fact last_seen_day held_reason held_namespace
"""


class PostgresEvidence:
    """Implements `EvidenceStore` inside the open transaction of a connection.

    `shards`: their number; `space`: the lock space.
    """

    def __init__(self, conn: asyncpg.Connection, *, shards: int, space: str = LIVE) -> None:
        self.shards = shards
        self._conn = conn
        self._space = space
        #: Shared for callers that lock single ids, exclusive for callers that lock too many.
        self._all_key = lock_keys(space, [NO_ID])[0]

    async def load(self, evidence: Evidence) -> StoredEvidence:
        row: Any = await self._conn.fetchrow(Q.load_evidence, *_keys_of(evidence))
        return StoredEvidence(_identifiers_of(row), _stored_edges_of(row), _decisions_of(row))

    async def lock(self, ids: Collection[bytes]) -> bool:
        if len(ids) > _MAX_LOCKS:
            await self._conn.execute(Q.lock_all, self._all_key)
            return True
        await self._conn.execute("SAVEPOINT locked")
        await self._conn.execute(Q.lock, [self._all_key, *lock_keys(self._space, ids)])
        return False

    async def drain(self) -> None:
        """Wait until every transaction that has locked something has ended."""
        await self._conn.execute("SAVEPOINT locked")
        await self._conn.execute(Q.lock_all, self._all_key)
        await self.unlock()

    async def unlock(self) -> None:
        await self._conn.execute("ROLLBACK TO SAVEPOINT locked")

    async def next_version(self) -> int:
        """Return a version for rows to write, higher than all earlier ones."""
        return int(await self._conn.fetchval(Q.next_version))

    async def load_locked(
        self, evidence: Evidence, workspaces: Collection[WorkspaceId]
    ) -> LockedState:
        stored = await self.load(evidence)
        profiles = {row.profile_id for row in stored.identifiers.values()}
        naming = [id_ for id_ in map(IdentifierId, profiles) if id_ not in stored.identifiers]
        arguments = (list(profiles), naming, list(workspaces), ROLLOUT)
        row: Any = await self._conn.fetchrow(Q.load_state, *arguments)
        stored.identifiers.update(_identifiers_of(row))
        columns = "policy_workspaces policy_messages policy_versions policy_rolling_out"
        policies, rolling_out = {}, set()
        for workspace, message, version, is_rolling_out in zip_columns(row, columns):
            policies[workspace] = read_policy(message, version)
            if is_rolling_out:
                rolling_out.add(workspace)
        return LockedState(
            stored=stored,
            version=row["version"],
            policies=policies,
            rolling_out=frozenset(rolling_out),
            contested=frozenset(row["contested"]),
        )

    async def load_neighbours(
        self,
        ids: Collection[IdentifierId],
        without: Collection[str],
        kinds: Collection[int],
        limit: int,
    ) -> dict[IdentifierId, list[Neighbour]]:
        found: dict[IdentifierId, list[Neighbour]] = {}
        arguments = (list(ids), list(without), list(kinds), limit)
        for row in await self._conn.fetch(Q.load_neighbours, *arguments):
            id_, neighbour_id, namespace, first_seen_us, first_fact, last_seen_day, kind = row
            span = SeenSpan(FirstSeen(first_seen_us, first_fact), last_seen_day)
            found.setdefault(id_, []).append(Neighbour(neighbour_id, namespace, span, kind))
        return found

    async def count_identifiers(
        self, queries: Mapping[ProfileId, Collection[str]]
    ) -> dict[ProfileNamespace, int]:
        pairs = [(profile, name) for profile, names in queries.items() for name in names]
        rows = await self._conn.fetch(Q.count_identifiers, *columns_of(pairs, 2))
        return {(profile, namespace): count for profile, namespace, count in rows}

    async def load_contents(
        self, profiles: Collection[ProfileId], others: Collection[str], most: int
    ) -> dict[ProfileId, ProfileContents]:
        arguments = (list(profiles), DEVICE_NAMESPACES, EvidenceKind.CLAIMED, list(others), most)
        rows = await self._conn.fetch(Q.load_contents, *arguments)
        return {profile: ProfileContents(*found) for profile, *found in rows}

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        rows = await self._conn.fetch(Q.load_members, list(profiles))
        members = {row["identifier_id"]: stored_identifier_of(row) for row in rows}
        contested = [
            id_ for id_, one in members.items() if one.row.flags & IdentifierFlag.CONTESTED
        ]
        edges = await self._conn.fetch(Q.load_profile_edges, list(members), contested)
        graph = ProfileGraph(members, _edges_of(edges))
        if contested:
            graph.merge(await self._claims(contested, CLAIMS))
            pairs = await self._conn.fetch(Q.load_separations, contested)
            graph.separated = {Pair(a, b) for a, b in pairs}
        await self._load_outside(graph)
        return graph

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        rows = await self._conn.fetch(Q.load_edges, list(ids))
        graph = ProfileGraph(edges=_edges_of(rows))
        await self._load_outside(graph)
        return graph

    async def load_claims(self, ids: Collection[IdentifierId], limit: int) -> ProfileGraph:
        graph = await self._claims(ids, limit)
        await self._load_outside(graph)
        return graph

    async def _claims(self, ids: Collection[IdentifierId], limit: int) -> ProfileGraph:
        by_id: dict[IdentifierId, list[Any]] = {}
        for row in await self._conn.fetch(Q.load_claims, list(ids), limit):
            by_id.setdefault(row["id"], []).append(row)
        graph = ProfileGraph()
        for id_, rows in by_id.items():
            graph.edges.update(_edges_of(rows))
            if len(rows) >= limit:
                last = max(rows, key=lambda row: (row["first_seen_us"], row["first_fact"]))
                graph.cut[id_] = Edge(last["a"], last["b"], last["kind"])
        return graph

    async def load_joint(self, ids: Collection[IdentifierId]) -> tuple[list[Edge], set[ProfileId]]:
        edges = await self._conn.fetch(Q.load_joint, list(ids), list(JOINT_KINDS))
        rows = await self._conn.fetch(Q.load_profile_ids, list(ids))
        return [Edge(*edge) for edge in edges], {profile_id for (profile_id,) in rows}

    async def load_between(
        self, pairs: Collection[JointPair]
    ) -> dict[IdentifierId, tuple[str, ProfileId]]:
        kinds = [kind for kind in CO_OCCURRENCE_KINDS if kind != EvidenceKind.CO_OBSERVED]
        rows = await self._conn.fetch(Q.load_between, *columns_of(pairs, 3), kinds)
        return {id_: (namespace, profile_id) for id_, namespace, profile_id in rows}

    async def _load_outside(self, graph: ProfileGraph) -> None:
        outside = {id_ for edge in graph.edges for id_ in edge[:2]} - graph.members.keys()
        if outside:
            rows = await self._conn.fetch(Q.load_identifiers, list(outside))
            graph.outside = {row["identifier_id"]: stored_identifier_of(row) for row in rows}

    async def save(
        self,
        changes: ResolutionChanges,
        identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> list[ReassignedIdentifier]:
        if changes.added:
            await self._add_identifiers(changes.added, identifiers, version)
        if changes.earlier:
            seen = [(id_, *first) for id_, (_, first) in changes.earlier.items()]
            await self._conn.execute(Q.save_earlier, *columns_of(seen, 3))
        if changes.edges:
            await self._save_edges(changes.edges)
        if changes.decisions:
            await self._save_decisions(changes.decisions, identifiers)
        merged = await self._merge_profiles(changes, version) if changes.merged else []
        if changes.reassigned:
            reassigned = [(one.id, one.after) for one in changes.reassigned]
            await self._conn.execute(Q.reassign, version, *columns_of(reassigned, 2))
        if changes.flagged:
            await self._conn.execute(Q.set_flags, *columns_of(changes.flagged.items(), 2))
        return merged

    async def _add_identifiers(
        self,
        added: Mapping[IdentifierId, IdentifierRow],
        identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> None:
        rows = []
        for id_, (profile_id, first, flags) in sorted(added.items()):
            workspace, identifier = identifiers[id_]
            key = (shard_of(id_, self.shards), id_, workspace, *(identifier or (None, None)))
            rows.append((*key, profile_id, *first, flags, version))
        await self._copy("identifier", _IDENTIFIER_COLUMNS, rows)

    async def _save_edges(self, edges: Mapping[Edge, EdgeChange]) -> None:
        added: list[tuple[Any, ...]] = []
        changed: list[tuple[object, ...]] = []
        deleted: list[Edge] = []
        for edge, (workspace, before, after) in edges.items():
            if after is None:
                deleted.append(edge)
            elif before is None:
                shard = shard_of(edge.a, self.shards)
                added.append((shard, *edge, workspace, *edge_columns_of(after)))
            else:
                changed.append((*edge, *edge_columns_of(after)))
        if added:
            added.sort(key=lambda row: row[1:4])
            await self._copy("edge", _EDGE_COLUMNS, added)
        if changed:
            await self._conn.execute(Q.update_edges, *columns_of(changed, 8))
        if deleted:
            await self._conn.execute(Q.delete_edges, *columns_of(deleted, 3))

    async def _save_decisions(
        self,
        decisions: Mapping[Pair, tuple[Decision | None, Decision]],
        identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
    ) -> None:
        rows = []
        for pair, (_, decision) in sorted(decisions.items()):
            at, kind, actor, reason = decision
            shard, workspace = shard_of(pair.a, self.shards), identifiers[pair.a].workspace_id
            rows.append((shard, *pair, workspace, *at, kind, actor, reason))
        await self._conn.execute(Q.save_decisions, *columns_of(rows, 9))

    async def _merge_profiles(
        self, changes: ResolutionChanges, version: int
    ) -> list[ReassignedIdentifier]:
        merged = columns_of(changes.merged.items(), 2)
        return [
            ReassignedIdentifier(
                id=row["identifier_id"],
                before=row["before"],
                after=row["after"],
                identifier=identifier_of(row["workspace_id"], row["namespace"], row["value"]),
                first=FirstSeen(row["first_seen_us"], row["first_fact"]),
            )
            for row in await self._conn.fetch(Q.merge_profiles, version, *merged)
            if row["identifier_id"] not in changes.added
        ]

    async def _copy(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        # COPY costs a third of INSERT … SELECT unnest(…) on the client's side.
        await self._conn.copy_records_to_table(table, records=rows, columns=columns.split())


def _keys_of(evidence: Evidence) -> tuple[list[Any], ...]:
    edges, pairs = columns_of(evidence.edges, 3), columns_of(evidence.decisions, 2)
    return ([*evidence.identifiers], *edges, *pairs)


def _identifiers_of(row: Any) -> dict[IdentifierId, IdentifierRow]:
    columns = zip_columns(row, "ids profile_ids first_seen_us first_facts flags")
    return {
        id_: IdentifierRow(profile_id, FirstSeen(first_seen_us, first_fact), flags)
        for id_, profile_id, first_seen_us, first_fact, flags in columns
    }


def _stored_edges_of(row: Any) -> dict[Edge, EdgeRow]:
    columns = zip_columns(
        row,
        "edge_a edge_b edge_kinds edge_first_seen_us edge_first_facts edge_last_seen_days"
        " edge_held_reasons edge_held_namespaces",
    )
    return {
        Edge(a, b, kind): EdgeRow(
            SeenSpan(FirstSeen(first_seen_us, first_fact), last_seen_day),
            HeldEdge(reason, namespace) if reason else None,
        )
        for a, b, kind, first_seen_us, first_fact, last_seen_day, reason, namespace in columns
    }


def _decisions_of(row: Any) -> dict[Pair, Decision]:
    columns = zip_columns(
        row,
        "decision_a decision_b decision_times decision_facts decision_kinds decision_actors"
        " decision_reasons",
    )
    return {
        Pair(a, b): Decision(FirstSeen(occurred_at_us, fact_id), kind, actor, reason)
        for a, b, occurred_at_us, fact_id, kind, actor, reason in columns
    }


def _edges_of(rows: Iterable[Any]) -> dict[Edge, EdgeRow]:
    return {Edge(row["a"], row["b"], row["kind"]): edge_row_of(row) for row in rows}
