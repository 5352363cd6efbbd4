"""Appends group events: each becomes two facts, and both are appended or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import reduce
from typing import Protocol, TypeAlias

from services.ingest.domain.facts import AppendResult, NewFact
from services.kernel.errors import Conflict
from services.kernel.tokens import Token

#: The two facts of one event: under the leaf of the person, and under that of the account.
PersonAndAccountFact: TypeAlias = tuple[NewFact, NewFact]


class FactLog(Protocol):
    """The event log, as far as the commands append to it."""

    async def append(self, facts: Sequence[NewFact], *, atomic: bool = False) -> AppendResult:
        """Append facts; see `EventLog.append`."""
        ...


async def append_group_events(log: FactLog, pairs: Sequence[PersonAndAccountFact]) -> AppendResult:
    """Append events of two facts each; the result counts events.

    An event is new where one of its facts is, and conflicting where one of them is in the log with
    other content: then neither is appended. Raises StoreUnavailable.
    """
    # Each pair is an atomic call; the log commits concurrent calls as one group.
    calls = (log.append(pair, atomic=True) for pair in pairs)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    results: dict[int, AppendResult] = {}
    conflicting: set[int] = set()
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, AppendResult):
            results[index] = outcome
        elif isinstance(outcome, Conflict):
            conflicting.add(index)
        else:
            raise outcome
    duplicates = frozenset(index for index, result in results.items() if not result.appended)
    return AppendResult(
        appended=len(results) - len(duplicates),
        duplicates=duplicates,
        conflicting=frozenset(conflicting),
        token=reduce(Token.union, (result.token for result in results.values()), Token()),
        recorded_at_us=max((result.recorded_at_us for result in results.values()), default=0),
    )
