"""Computes identity's rows outside of the service: the functions that an engine runs.

    fold_evidence    the evidence in some facts, as records by key
    merge            the records of one key as one, whichever facts they are of
    ends             the identifiers of a record, which belong to one component
    newest_policies  the policies in force
    resolve_group    the rows of whole components, from all their records

Keys are the kind of the record and the ids that it is about; values are MessagePack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from onefold.log.v1.log_pb2 import Fact

from services.identity.codec.bus import decode_facts
from services.identity.codec.policy import PolicyFact, decode_policy, read_policy
from services.identity.domain.evidence import (
    Decision,
    Edge,
    Evidence,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
    SeenSpan,
)
from services.identity.domain.full_resolution import full_resolution
from services.identity.domain.policy import DEFAULT, Policy
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import add_decisions
from services.identity.store.rows import edge_columns_of
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, WorkspaceId
from services.kernel.index_key import IndexKey

IDENTIFIER, EDGE, DECISION = b"i", b"e", b"d"
#: A key and a value.
Record: TypeAlias = tuple[bytes, bytes]
#: A table and a row.
TableRow: TypeAlias = tuple[str, tuple[Any, ...]]

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


def fold_evidence(
    facts: Iterable[Fact], workspaces: Iterable[bytes], index_key: str
) -> Iterator[Record]:
    """Yield the evidence in facts. `workspaces`: the serialised facts that define them."""
    cache = EvidenceCache(0, IndexKey.parse(index_key))
    cache.regions.fold(map(Fact.FromString, workspaces))
    decoded, evidence = decode_facts(facts), Evidence()
    for identifier_set, span in decoded.observations.items():
        evidence.add(cache.observation(identifier_set), span)
    add_decisions(evidence, cache, decoded.decisions)
    workspace_of = {id_: one.workspace_id for id_, one in evidence.identifiers.items()}
    for id_, first in evidence.first_seen.items():
        workspace_id, identifier = evidence.identifiers[id_]
        yield IDENTIFIER + id_, _encode((workspace_id, *(identifier or (None, None)), *first))
    for edge, (first, day) in evidence.edges.items():
        key = EDGE + edge.a + edge.b + bytes([edge.kind])
        yield key, _encode((workspace_of[edge.a], *first, day))
    for pair, (at, kind, actor, reason) in evidence.decisions.items():
        row = (workspace_of[pair.a], *at, kind, actor, reason)
        yield DECISION + pair.a + pair.b, _encode(row)


def newest_policies(facts: Iterable[Fact]) -> dict[WorkspaceId, Policy]:
    """Return the policies in force, by workspace, given all facts that define any."""
    newest: dict[WorkspaceId, PolicyFact] = {}
    for policy in map(decode_policy, facts):
        existing = newest.get(policy.workspace_id)
        if existing is None or existing.version < policy.version:
            newest[policy.workspace_id] = policy
    return {id_: read_policy(one.message, one.version) for id_, one in newest.items()}


def merge(key: bytes, values: Sequence[bytes]) -> bytes:
    """Return the value of several records of one key."""
    rows = [_decode(value) for value in values]
    kind = key[:1]
    if kind == DECISION:
        return _encode(max(rows, key=lambda row: row[1:]))
    if kind == EDGE:
        first = min(row[1:3] for row in rows)
        return _encode((rows[0][0], *first, max(row[3] for row in rows)))
    named = next((row for row in rows if row[1] is not None), rows[0])
    return _encode((*named[:3], *min(row[3:5] for row in rows)))


def ends(key: bytes) -> tuple[bytes, bytes]:
    """Return the two identifiers that a record is about; twice the same one of an identifier."""
    return key[1:17], key[17:33] or key[1:17]


def resolve_group(
    records: Iterable[Record], policies: Mapping[WorkspaceId, Policy]
) -> Iterator[TableRow]:
    """Yield the rows of some components of one workspace, given all their records."""
    evidence, workspace_id = _evidence_of(records)
    identifiers = evidence.identifiers
    found = full_resolution(workspace_id, evidence, policies.get(workspace_id, DEFAULT))
    for id_, (profile_id, first, flags) in found.identifier_rows():
        identifier = identifiers[id_].identifier or (None, None)
        yield "identifier", (id_, workspace_id, *identifier, profile_id, *first, flags)
    for edge, row in found.edge_rows():
        yield "edge", (*edge, workspace_id, *edge_columns_of(row))
    for pair, (at, kind, actor, reason) in evidence.decisions.items():
        yield "decision", (*pair, workspace_id, *at, kind, actor, reason)


def _evidence_of(records: Iterable[Record]) -> tuple[Evidence, WorkspaceId]:
    evidence, workspace_id = Evidence(), WorkspaceId("")
    for key, value in records:
        row = _decode(value)
        workspace_id = WorkspaceId(row[0])
        a, b = map(IdentifierId, ends(key))
        if key[:1] == IDENTIFIER:
            _, namespace, text, *first = row
            identifier = None if namespace is None else Identifier(namespace, text)
            evidence.first_seen[a] = FirstSeen(*first)
            evidence.identifiers[a] = IdentifierInWorkspace(workspace_id, identifier)
        elif key[:1] == EDGE:
            evidence.edges[Edge(a, b, key[33])] = SeenSpan(FirstSeen(*row[1:3]), row[3])
        else:
            evidence.decisions[Pair(a, b)] = Decision(FirstSeen(*row[1:3]), *row[3:])
    return evidence, workspace_id
