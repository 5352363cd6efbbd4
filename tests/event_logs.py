"""Appends facts of any kind to the log of a running ingest, as one of its replicas does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onefold.log.v1.log_pb2 import Fact

from services.chassis.codec.fields import token_to_proto
from services.ingest.log import EventLog
from services.ingest.log.codec import decode_fact

#: The size of an atomic append.
_PAGE = 5_000


async def append_facts(event_log: EventLog, facts: Sequence[Fact]) -> Any:
    """Append facts, and return the token of the state that includes them; None without facts."""
    token = None
    for start in range(0, len(facts), _PAGE):
        page = enumerate(facts[start : start + _PAGE])
        decoded = [decode_fact(fact, index, event_log.index_key) for index, fact in page]
        token = token_to_proto((await event_log.append(decoded, atomic=True)).token)
    return token
