"""Computes profile's leaves outside of the service: the functions that an engine runs.

    fold_leaves    the leaves of some facts, as records by leaf
    merge          the records of one leaf as one, whichever facts they are of
    leaf_row       the row of a leaf

Evaluations are left to the service: they need the assignments of identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import TypeAlias

import msgspec
from onefold.log.v1.log_pb2 import Fact

from services.kernel.fold.leaf import combine, decode, encode
from services.kernel.index_key import IndexKey
from services.profile.codec.definitions import rule_definition
from services.profile.codec.log import decode_log_events
from services.profile.domain.backfill import index_of, union_of
from services.profile.domain.bulk_fold import BulkFold
from services.profile.domain.evaluation import PredicateIndexes

#: A key and a value.
Record: TypeAlias = tuple[bytes, bytes]

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


def predicate_indexes(by_shard: Iterable[Iterable[Fact]]) -> PredicateIndexes:
    """Return the predicates that the definitions of all shards need."""
    indexes: list[PredicateIndexes] = []
    for facts in by_shard:
        rules = [rule for rule in map(rule_definition, facts) if rule is not None]
        indexes.append(index_of(rules, indexes[-1] if indexes else None))
    return union_of(indexes)


def fold_leaves(
    facts: Iterable[Fact], definitions: Sequence[Sequence[bytes]], index_key: str
) -> Iterator[Record]:
    """Yield the leaves of facts. `definitions`: the serialised facts of each shard that define
    rules."""
    fold = BulkFold(predicate_indexes(map(Fact.FromString, shard) for shard in definitions))
    fold.add(decode_log_events(facts, IndexKey.parse(index_key)))
    for leaf_id, (workspace_id, state) in fold.take().items():
        yield leaf_id, _encode((workspace_id, encode(state)))


def merge(key: bytes, values: Sequence[bytes]) -> bytes:
    """Return the value of several records of one leaf."""
    rows = [_decode(value) for value in values]
    return _encode((rows[0][0], encode(reduce(combine, (decode(state) for _, state in rows)))))


def leaf_row(leaf_id: bytes, value: bytes) -> tuple[bytes, str, bytes]:
    """Return the leaf, its workspace and its state."""
    workspace_id, state = _decode(value)
    return leaf_id, workspace_id, state
