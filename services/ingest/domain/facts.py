"""Defines a fact before and after it has an offset in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId
from services.kernel.tokens import Token

#: Bytes. PostgreSQL refuses a value of 1 GiB; this is far below, and fits into one gRPC message.
MAX_PAYLOAD = 1 << 20
MAX_TEXT = 256


class NewFact(NamedTuple):
    """A fact to append. A tuple, because the hot path makes one for each event."""

    workspace_id: str
    #: 16 bytes; the same id in a shard is the same fact.
    fact_id: FactId
    #: The full name of the protobuf message in `payload`.
    kind: str
    #: 16 bytes; None for a broadcast fact, which is appended to every shard.
    leaf_id: LeafId | None
    #: Unix microseconds. The log stores `recorded_at` instead where that is earlier.
    occurred_at_us: int
    #: The source it came from; empty for facts of the system itself.
    source_id: str
    #: The id of a key or the name of a service.
    actor: str
    #: The serialised message.
    payload: bytes
    #: 16 bytes: facts of one id are the same fact if their tags are equal.
    content_tag: bytes


class FactRow(NamedTuple):
    """A fact in the log: one row of the table `fact`, in the order of its columns."""

    offset: int
    occurred_at_us: int
    recorded_at_us: int
    shard: int
    #: The number of the kind's name in the table `kind`.
    kind_id: int
    fact_id: bytes
    leaf_id: bytes | None
    workspace_id: str
    source_id: str
    actor: str
    payload: bytes
    content_tag: bytes


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The outcome of one call to append, by the index of each fact in the call."""

    #: The number of facts that are new in the log.
    appended: int
    #: Facts that were in the log already, or earlier in the call, with the same content.
    duplicates: frozenset[int]
    #: Facts whose id was in the log with other content; they were not appended.
    conflicting: frozenset[int]
    #: The state of the log that includes all of them, also the duplicates.
    token: Token
    #: When the log recorded them, Unix microseconds.
    recorded_at_us: int


def check_fact(fact: NewFact, index: int) -> None:
    """Raise InvalidField where the log cannot store a fact; `index` is its index in the call."""
    error = _validation_error(fact)
    if error:
        field, message = error
        raise InvalidField(message, field=f"facts[{index}].{field}")


def _validation_error(fact: NewFact) -> tuple[str, str] | None:
    """Return the invalid field and its constraint."""
    if len(fact.fact_id) != 16:
        return "fact_id", "a fact id has 16 bytes"
    if fact.leaf_id is not None and len(fact.leaf_id) != 16:
        return "leaf_id", "a leaf id has 16 bytes, or is empty"
    if not fact.workspace_id or not fact.kind:
        return ("kind" if fact.workspace_id else "workspace_id"), "it must not be empty"
    for field in ("workspace_id", "kind", "source_id", "actor"):
        text = getattr(fact, field)
        if len(text) > MAX_TEXT or "\0" in text:
            return field, f"it has at most {MAX_TEXT} characters and no NUL"
    if len(fact.payload) > MAX_PAYLOAD:
        return "payload", f"it has at most {MAX_PAYLOAD} bytes"
    return None
