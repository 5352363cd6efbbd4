"""Reads from facts of the log which persons were erased."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact

from services.kernel.erasures import PersonErasure
from services.kernel.ids import WorkspaceId

PERSON_ERASED: str = PersonErased.DESCRIPTOR.full_name


def erasures_in(facts: Iterable[Fact]) -> Iterator[PersonErasure]:
    """Yield the erasures among facts."""
    for fact in facts:
        if fact.kind == PERSON_ERASED:
            erased = PersonErased.FromString(fact.payload)
            yield PersonErasure(
                WorkspaceId(fact.workspace_id),
                erased.request_id,
                frozenset(erased.identifier_ids),
                frozenset(erased.changed_ids),
                frozenset(erased.account_ids),
                fact.recorded_at_us,
            )
