"""Identifiers and edges in PostgreSQL; one statement a table and batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import asyncpg

from services.chassis.postgres.database import Queries
from services.identity.codec.bus import read_policy
from services.identity.domain.co_occurrence import Neighbour
from services.identity.domain.digest import partition_share
from services.identity.domain.evidence import (
    Decision,
    DecisionKind,
    Edge,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
    SeenSpan,
)
from services.identity.domain.explain import ExplainedEdge, HeldEdgeView
from services.identity.domain.linking import HeldEdge
from services.identity.domain.policy import Policy
from services.identity.domain.rows import (
    EdgeChange,
    EdgeRow,
    Evidence,
    IdentifierAssignment,
    IdentifierFlag,
    IdentifierRow,
    LockedState,
    ProfileGraph,
    ReassignedIdentifier,
    ResolutionChanges,
    ResolvedProfile,
    SeenIdentifier,
    StoredEvidence,
    StoredIdentifier,
)
from services.identity.projection.ports import ProfileNamespace
from services.kernel.digest import MODULUS
from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId, hash_id, shard_of

Q = Queries.load(__package__)

#: Locks are numbers of one space for the whole database. What is mixed into ours keeps them apart
#: from others', and those of a rebuild apart from those of the live state.
LIVE = int.from_bytes(hash_id("onefold", "identity", "live")[:8], "big")
REBUILDING = int.from_bytes(hash_id("onefold", "identity", "rebuilding")[:8], "big")
#: Held shared by whoever locks ids one by one, and alone by whoever locks too many for that.
_ALL = 0
#: Stands for a shard where none is asked for.
NO_SHARD = -1
_WORK = IdentifierId(b"work")
#: PostgreSQL has room for some thousands of locks in all.
_MANY = 256

_IDENTIFIER_COLUMNS = (
    "shard identifier_id workspace_id namespace value profile_id first_seen_us first_fact marks"
    " version"
)
_EDGE_COLUMNS = (
    "shard a b strength workspace_id first_seen_us first_fact last_day held held_namespace"
)


class PostgresEvidence:
    """Identifiers, edges and decisions inside the open transaction of a connection.

    `shards`: how many there are; `space`: that of the locks.
    """

    def __init__(self, conn: asyncpg.Connection, *, shards: int, space: int = LIVE) -> None:
        self._conn = conn
        self._space = space
        self._shards = shards

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """See `Tables.profiles`."""
        return (await self.profiles_and_work(ids, NO_SHARD))[0]

    async def profiles_and_work(
        self, ids: Collection[bytes], shard: int
    ) -> tuple[dict[IdentifierId, ProfileId], bool]:
        """The profiles of those of `ids` that are known; and whether people of a shard have to be
        looked at anew."""
        profiles = _pairs(await self._conn.fetch(Q.load_profiles, list(ids), shard))
        return profiles, bool(profiles.pop(_WORK, b""))

    async def load(self, evidence: Evidence) -> StoredEvidence:
        """See `Tables.look`."""
        kept = StoredEvidence()
        for row in await self._conn.fetch(Q.look, *_asked(evidence)):
            _READ[row[0]](kept, row)
        return kept

    async def lock(self, stake: Collection[bytes]) -> bool:
        """See `Tables.hold`."""
        if len(stake) > _MANY:
            await self._conn.execute(Q.lock_all, self._lock_key(_ALL))
            return True
        # In one order for all callers, or two could wait for each other for ever.
        keys = sorted({self._lock_key(int.from_bytes(id_[:8], "big")) for id_ in stake})
        await self._conn.execute("SAVEPOINT held")
        await self._conn.execute(Q.lock, [self._lock_key(_ALL), *keys])
        return False

    async def unlock(self) -> None:
        """See `Tables.let_go`."""
        await self._conn.execute("ROLLBACK TO SAVEPOINT held")

    async def load_locked(
        self, evidence: Evidence, workspaces: Collection[WorkspaceId]
    ) -> LockedState:
        """See `Tables.look_again`."""
        kept, version = StoredEvidence(), 0
        policies: dict[WorkspaceId, Policy] = {}
        unsettled: set[WorkspaceId] = set()
        contested: set[ProfileId] = set()
        for row in await self._conn.fetch(Q.look_again, *_asked(evidence), list(workspaces)):
            kind, workspace = row[0], row[7]
            if kind <= _DECISION:
                _READ[kind](kept, row)
            elif kind == _VERSION:
                version = row[4]
            elif kind == _POLICY:
                policies[workspace] = read_policy(row[1], row[4])
                if row[3]:
                    unsettled.add(workspace)
            else:
                contested.add(row[1])
        return LockedState(kept, version, policies, frozenset(unsettled), frozenset(contested))

    async def neighbours(
        self,
        ids: Collection[IdentifierId],
        namespaces: Collection[str],
        strengths: Collection[int],
        most: int,
    ) -> dict[IdentifierId, list[Neighbour]]:
        """See `Tables.company`."""
        met: dict[IdentifierId, list[Neighbour]] = {}
        rows = await self._conn.fetch(
            Q.load_company, list(ids), list(namespaces), list(strengths), most
        )
        for id_, other, namespace, at, fact, day in rows:
            met.setdefault(id_, []).append(
                Neighbour(other, namespace, SeenSpan(FirstSeen(at, fact), day))
            )
        return met

    async def counts(
        self, asked: Mapping[ProfileId, Collection[str]]
    ) -> dict[ProfileNamespace, int]:
        """See `Tables.counts`."""
        pairs = [(profile, name) for profile, names in asked.items() for name in names]
        rows = await self._conn.fetch(Q.count_identifiers, *_columns(pairs))
        return {(profile, namespace): count for profile, namespace, count in rows}

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        """See `Tables.region`."""
        rows = await self._conn.fetch(Q.load_members, list(profiles))
        region = ProfileGraph({row[0]: _member(row) for row in rows})
        marked = [
            id_ for id_, one in region.members.items() if one.marks & IdentifierFlag.CONTESTED
        ]
        for row in await self._conn.fetch(Q.load_region, list(region.members), marked):
            if row[2]:
                region.edges[Edge(*row[:3])] = _known_edge(row)
            else:
                region.separated.add(Pair(*row[:2]))
        await self._load_beyond(region)
        return region

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        """See `Tables.around`."""
        region = ProfileGraph()
        for row in await self._conn.fetch(Q.load_around, list(ids)):
            region.edges[Edge(*row[:3])] = _known_edge(row)
        await self._load_beyond(region)
        return region

    async def _load_beyond(self, region: ProfileGraph) -> None:
        missing = {id_ for edge in region.edges for id_ in edge[:2]} - region.members.keys()
        if missing:
            rows = await self._conn.fetch(Q.load_identifiers, list(missing))
            region.outside = {row[0]: _member(row) for row in rows}

    async def save(
        self,
        changes: ResolutionChanges,
        names: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> list[ReassignedIdentifier]:
        """See `Tables.save`."""
        if changes.added:
            rows = [
                (*self._row(i, known, names[i]), version)
                for i, known in sorted(changes.added.items())
            ]
            await self._copy("identifier", _IDENTIFIER_COLUMNS, rows)
        if changes.earlier:
            sightings = [(i, *first) for i, (_, first) in changes.earlier.items()]
            await self._conn.execute(Q.see_earlier, *_columns(sightings))
        if changes.edges:
            await self._save_edges(changes.edges)
        if changes.decisions:
            await self._save_decisions(changes.decisions, names)
        moved = await self._move(changes, version) if changes.merged else []
        if changes.reassigned:
            placed = [(one.identifier_id, one.after) for one in changes.reassigned]
            await self._conn.execute(Q.place, version, *_columns(placed))
        if changes.flagged:
            await self._conn.execute(Q.mark, *_columns(changes.flagged.items()))
        return moved

    async def _save_edges(self, edges: Mapping[Edge, EdgeChange]) -> None:
        added: list[tuple[Any, ...]] = []
        changed: list[tuple[object, ...]] = []
        gone: list[Edge] = []
        for edge, (workspace, before, now) in edges.items():
            if now is None:
                gone.append(edge)
            elif before is None:
                added.append((*edge, workspace, *_edge_columns(now)))
            else:
                changed.append((*edge, *_edge_columns(now)))
        if added:
            added.sort()
            rows = [(shard_of(row[0], self._shards), *row) for row in added]
            await self._copy("edge", _EDGE_COLUMNS, rows)
        if changed:
            await self._conn.execute(Q.change_edges, *_columns(changed))
        if gone:
            await self._conn.execute(Q.remove_edges, *_columns(gone))

    async def _save_decisions(
        self,
        decisions: Mapping[Pair, tuple[Decision | None, Decision]],
        names: Mapping[IdentifierId, IdentifierInWorkspace],
    ) -> None:
        rows = []
        for pair, (_, now) in sorted(decisions.items()):
            workspace, shard = names[pair.a].workspace_id, shard_of(pair.a, self._shards)
            rows.append((shard, *pair, workspace, *now.at, now.kind, now.actor, now.reason))
        await self._conn.execute(Q.save_decisions, *_columns(rows))

    async def _copy(self, table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
        # COPY costs a third of what INSERT … SELECT unnest(…) costs on this side of the wire.
        await self._conn.copy_records_to_table(table, records=rows, columns=columns.split())

    async def _move(self, changes: ResolutionChanges, version: int) -> list[ReassignedIdentifier]:
        rows = await self._conn.fetch(Q.move, version, *_columns(changes.merged.items()))
        return [
            ReassignedIdentifier(
                id_, before, after, _name(workspace, namespace, value), FirstSeen(at, fact)
            )
            for id_, before, after, workspace, namespace, value, at, fact in rows
            if id_ not in changes.added
        ]

    def _lock_key(self, number: int) -> int:
        return int.from_bytes((number ^ self._space).to_bytes(8, "big"), "big", signed=True)

    def _row(
        self, id_: IdentifierId, known: IdentifierRow, name: IdentifierInWorkspace
    ) -> tuple[object, ...]:
        shard, spelled = shard_of(id_, self._shards), name.identifier or (None, None)
        profile, first, marks = known
        return (shard, id_, name.workspace_id, *spelled, profile, *first, marks)


def _asked(evidence: Evidence) -> tuple[list[Any], ...]:
    edges = _columns(evidence.edges) if evidence.edges else [[], [], []]
    pairs = _columns(evidence.decisions) if evidence.decisions else [[], []]
    return ([*evidence.names], *edges, *pairs)


def _read_identifier(kept: StoredEvidence, row: Any) -> None:
    kept.identifiers[row[1]] = IdentifierRow(row[2], FirstSeen(row[4], row[5]), row[3])


def _read_edge(kept: StoredEvidence, row: Any) -> None:
    day, held = divmod(row[6], 8)
    why = HeldEdge(held, row[7]) if held else None
    edge = Edge(row[1], row[2], row[3])
    kept.edges[edge] = EdgeRow(SeenSpan(FirstSeen(row[4], row[5]), day), why)


def _read_decision(kept: StoredEvidence, row: Any) -> None:
    at = FirstSeen(row[4], row[5])
    kept.decisions[Pair(row[1], row[2])] = Decision(at, row[3], row[7], row[8])


_READ = (_read_identifier, _read_edge, _read_decision)
_DECISION, _VERSION, _POLICY = 2, 3, 4


def _member(row: Any) -> StoredIdentifier:
    _, workspace, namespace, value, profile, at, fact, marks = row
    return StoredIdentifier(_name(workspace, namespace, value), profile, FirstSeen(at, fact), marks)


def _known_edge(row: Any) -> EdgeRow:
    at, fact, day, held, namespace = row[3:8]
    return EdgeRow(SeenSpan(FirstSeen(at, fact), day), HeldEdge(held, namespace) if held else None)


def _edge_columns(row: EdgeRow) -> tuple[object, ...]:
    (first, day), held = row
    return (*first, day, *(held or (0, "")))


def _columns(rows: Collection[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _name(workspace: str, namespace: str | None, value: str | None) -> IdentifierInWorkspace:
    identifier = None if namespace is None else Identifier(namespace, value or "")
    return IdentifierInWorkspace(WorkspaceId(workspace), identifier)


def _pairs(rows: list[Any]) -> dict[IdentifierId, ProfileId]:
    return dict(rows)


async def resolve(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: Sequence[bytes]
) -> dict[IdentifierId, ProfileId]:
    """The profiles of those of `ids` that are known in a workspace."""
    return _pairs(await conn.fetch(Q.resolve, ids, workspace_id)) if ids else {}


async def load_person(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, id_: bytes
) -> ResolvedProfile | None:
    """The profile that holds an identifier; None where the workspace knows no such identifier."""
    rows = await conn.fetch(Q.list_identifiers, id_, workspace_id)
    if not rows:
        return None
    seen = tuple(
        SeenIdentifier(Identifier(namespace, value), FirstSeen(at, fact))
        for _, namespace, value, at, fact in rows
        if namespace is not None
    )
    return ResolvedProfile(rows[0]["profile_id"], seen)


async def read_assignments(
    conn: asyncpg.Connection, *, prefetch: int
) -> AsyncIterator[IdentifierAssignment]:
    """Which profile every identifier belongs to; inside a transaction."""
    async for row in conn.cursor(Q.read_assignments, prefetch=prefetch):
        workspace, id_, profile, version, namespace, value = row
        yield IdentifierAssignment(id_, profile, version, _name(workspace, namespace, value))


async def list_held(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    reasons: Collection[int],
    after: Edge,
    limit: int,
) -> list[HeldEdgeView]:
    """What is held back for some reasons, after an edge, in order."""
    asked = [int(reason) for reason in reasons]
    rows = await conn.fetch(Q.list_held, workspace_id, asked, *after, limit)
    found = []
    for row in rows:
        known = _known_edge(row)
        one, other = (_name(workspace_id, *row[at : at + 2]).identifier for at in (8, 11))
        tie = ExplainedEdge(one, other, Edge(*row[:3]), known.span, known.held)
        found.append(HeldEdgeView(tie, row[10], row[13]))
    return found


async def list_matches(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    judgement: int | None,
    after: Pair,
    limit: int,
) -> list[tuple[Pair, bytes]]:
    """Probable matches after a pair, in order."""
    rows = await conn.fetch(Q.list_matches, workspace_id, judgement, *after, limit)
    return [(Pair(a, b), message) for a, b, message in rows]


async def decision_on(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, pair: Pair
) -> tuple[FactId, DecisionKind] | None:
    """The decision on a pair that counts."""
    row = await conn.fetchrow(Q.decision_fact, *pair, workspace_id)
    return (FactId(row[0]), DecisionKind(row[1])) if row else None


async def judgements(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, pairs: Sequence[Pair]
) -> dict[Pair, tuple[FactId, bytes]]:
    """The judgements of pairs that count."""
    rows = await conn.fetch(Q.judgements, *_columns(pairs), workspace_id)
    return {Pair(a, b): (fact, message) for a, b, fact, message in rows}


async def partition_digest(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> int:
    """The digest of who is whom alone; inside a transaction."""
    total = 0
    async for id_, profile in conn.cursor(Q.digest_of_partition, workspace_id, prefetch=5_000):
        total += partition_share(id_, profile)
    return total % MODULUS


async def count_rows(conn: asyncpg.Connection) -> dict[str, int]:
    """Named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})
