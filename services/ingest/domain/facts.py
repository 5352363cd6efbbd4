"""The words of the log: a fact before and after it has its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId
from services.kernel.tokens import Token

#: PostgreSQL refuses a value of 1 GiB; a fact is far from it, and fits into one gRPC message.
MAX_PAYLOAD = 1 << 20
MAX_TEXT = 256


class NewFact(NamedTuple):
    """A fact that wants a place in the log. A tuple: it is made once an event on the hot path."""

    workspace_id: str
    #: 16 bytes; the same id in a shard is the same fact.
    fact_id: FactId
    #: The full name of the protobuf message in `payload`.
    kind: str
    #: 16 bytes; None for facts that concern no person: those go to every shard.
    leaf_id: LeafId | None
    #: Unix microseconds; the log never lets it lie after the instant at which it learnt the fact.
    occurred_at_us: int
    #: The source it came from; empty for facts of the system itself.
    source_id: str
    #: Who or what said it: a key's id or a service's name.
    actor: str
    #: The serialised message, without anything that differs when the same is sent again.
    payload: bytes


class Row(NamedTuple):
    """A fact with its place: one row of the table `fact`, in the order of its columns."""

    offset: int
    occurred_at_us: int
    recorded_at_us: int
    shard: int
    #: Stands for the kind's name in the table `kind`.
    kind_id: int
    fact_id: bytes
    leaf_id: bytes | None
    workspace_id: str
    source_id: str
    actor: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the facts of one call, by their index in it."""

    #: How many are new in the log.
    appended: int
    #: Those that were in the log already, or earlier in the same call, with the same content.
    duplicates: frozenset[int]
    #: Those whose id was there with another content; they are not in the log.
    reused: frozenset[int]
    #: The state of the log that includes all of them, and the duplicates as well.
    token: Token
    #: When the log learnt them, Unix microseconds.
    recorded_at_us: int
    #: Where each one lies in its shard; -1 for those that are not new. A fact without a leaf lies
    #: at another offset in each shard: its first new one is given.
    offsets: tuple[int, ...]


def check(fact: NewFact, index: int) -> None:
    """Raises InvalidField where a fact cannot be kept."""
    fault = _fault(fact)
    if fault:
        field, message = fault
        raise InvalidField(message, field=f"facts[{index}].{field}")


def _fault(fact: NewFact) -> tuple[str, str] | None:
    if len(fact.fact_id) != 16:
        return "fact_id", "a fact id has 16 bytes"
    if fact.leaf_id is not None and len(fact.leaf_id) != 16:
        return "leaf_id", "a leaf id has 16 bytes, or none"
    if not fact.workspace_id or not fact.kind:
        return ("kind" if fact.workspace_id else "workspace_id"), "it must not be empty"
    for field in ("workspace_id", "kind", "source_id", "actor"):
        text = getattr(fact, field)
        if len(text) > MAX_TEXT or "\0" in text:
            return field, f"it has at most {MAX_TEXT} characters and no NUL"
    if len(fact.payload) > MAX_PAYLOAD:
        return "payload", f"it has at most {MAX_PAYLOAD} bytes"
    return None
