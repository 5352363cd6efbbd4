"""Computes stable 64-bit ids of predicates and accumulators, and packs sets of ids.

An id is the first 8 bytes, big-endian, of BLAKE2b over the canonical JSON of the structure of a
predicate or an accumulator: the same predicate has the same id in every rule, service and year.
The structure of a value is the name of its class and those of its fields that differ from their
defaults, so a field that is added with a default changes no id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from struct import pack, unpack
from typing import Any

from services.kernel.rules import model
from services.kernel.rules.inputs import AccumulatorSpec
from services.kernel.rules.values import Json, canonical_json


@lru_cache(maxsize=65_536)
def predicate_id(predicate: model.Predicate) -> int:
    """Return the id of a predicate, 0 <= id < 2^64."""
    return _hash(_structure(predicate))


@lru_cache(maxsize=65_536)
def accumulator_id(spec: AccumulatorSpec) -> int:
    """Return the id of an accumulator, 0 <= id < 2^64."""
    return _hash(_structure(spec))


def structure_id(value: Any) -> int:
    """Return the id of any part of a rule, such as an event filter, 0 <= id < 2^64."""
    return _hash(_structure(value))


def predicates(rule: model.Rule) -> tuple[model.Predicate, ...]:
    """Return the predicates of a rule in the order in which they are written, each once.

    The rule has no references any more.
    """
    return tuple(dict.fromkeys(_walk(rule)))


# Many profiles have the same true predicates.
@lru_cache(maxsize=1_024)
def pack_ids(ids: frozenset[int]) -> bytes:
    """Pack a set of ids: 8 bytes each, ascending."""
    ordered = sorted(ids)
    return pack(f">{len(ordered)}Q", *ordered)


@lru_cache(maxsize=1_024)
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
        case model.Reference():
            raise TypeError("a reference is replaced before the rule is evaluated")
        case _:
            yield rule


def _structure(value: Any) -> Json:
    if is_dataclass(value):
        structure: dict[str, Json] = {"": type(value).__name__.lower()}
        for field in fields(value):
            part = getattr(value, field.name)
            if field.name != _DERIVED and (not _has_default(field) or part != field.default):
                structure[field.name] = _structure(part)
        return structure
    if isinstance(value, Enum):
        return value.value
    return [_structure(part) for part in value] if isinstance(value, tuple) else value


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING


def _hash(form: Json) -> int:
    digest = blake2b(canonical_json(form).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


#: The field of comparisons that is computed from their value.
_DERIVED = "text"
