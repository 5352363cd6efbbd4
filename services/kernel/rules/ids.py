"""Computes stable 64-bit ids of predicates and accumulators, and packs sets of ids.

An id is the first 8 bytes, big-endian, of BLAKE2b over the canonical JSON of a predicate or an
accumulator: the same predicate has the same id in every rule, service and year.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from struct import pack, unpack

from services.kernel.rules import model
from services.kernel.rules.json_form import dump_rule, events_form
from services.kernel.rules.values import Json, canonical_json


@lru_cache(maxsize=65_536)
def predicate_id(predicate: model.Predicate) -> int:
    """Return the id of a predicate, 0 <= id < 2^64."""
    return _hash(dump_rule(predicate))


@lru_cache(maxsize=65_536)
def accumulator_id(spec: model.AccumulatorSpec) -> int:
    """Return the id of an accumulator, 0 <= id < 2^64."""
    form = events_form(spec.events)
    if spec.kind is model.AccumulatorKind.DISTINCT:
        form["property"] = spec.property
    # The key is part of stored ids and never changes.
    return _hash({f"series_{spec.kind.value}": form})


def predicates(rule: model.Rule) -> tuple[model.Predicate, ...]:
    """Return the predicates of a rule in the order in which they are written, each once."""
    return tuple(dict.fromkeys(_walk(rule)))


def accumulator_of(predicate: model.Predicate) -> model.AccumulatorSpec | None:
    """Return the accumulator that a predicate needs; None if it reads a trait.

    The window and the compared number are no part of it, so predicates share accumulators.
    """
    match predicate:
        case model.CountPredicate() | model.LastSeenPredicate():
            return model.AccumulatorSpec(model.AccumulatorKind.COUNT, predicate.events)
        case model.DistinctPredicate():
            return model.AccumulatorSpec(
                model.AccumulatorKind.DISTINCT, predicate.events, predicate.property
            )
        case _:
            return None


def pack_ids(ids: Iterable[int]) -> bytes:
    """Pack a set of ids: 8 bytes each, ascending."""
    ordered = sorted(ids)
    return pack(f">{len(ordered)}Q", *ordered)


def unpack_ids(packed: bytes) -> frozenset[int]:
    """Return the ids that `pack_ids` packed."""
    return frozenset(unpack(f">{len(packed) // 8}Q", packed))


def to_bigint(id_: int) -> int:
    """Return an id as PostgreSQL stores it: a bigint is signed."""
    return id_ - (1 << 64) if id_ >= 1 << 63 else id_


def from_bigint(stored: int) -> int:
    """Return the id that `to_bigint` was given."""
    return stored % (1 << 64)


def _walk(rule: model.Rule) -> Iterator[model.Predicate]:
    match rule:
        case model.All() | model.Any_():
            for part in rule.rules:
                yield from _walk(part)
        case model.Not():
            yield from _walk(rule.rule)
        case _:
            yield rule


def _hash(form: Json) -> int:
    digest = blake2b(canonical_json(form).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
