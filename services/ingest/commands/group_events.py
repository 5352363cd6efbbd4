"""Group events on their way into the log: each is two facts that stand or fall together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import reduce
from typing import TypeAlias

from services.ingest.domain.facts import Appended, NewFact
from services.ingest.ports import Log
from services.kernel.errors import Conflict
from services.kernel.tokens import Token

#: The facts of one event: under the leaf of the person, and of the account.
Pair: TypeAlias = tuple[NewFact, NewFact]


async def append_pairs(log: Log, pairs: Sequence[Pair]) -> Appended:
    """Append events that are two facts each; the answer counts events.

    An event is new where one of its facts is, and reused where one of them is there with another
    content: then neither is appended. Raises StoreUnavailable.
    """
    # Each is a call of its own, and whole; the log commits those that come together as one group.
    calls = (log.append(pair, whole=True) for pair in pairs)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    appended: dict[int, Appended] = {}
    reused: set[int] = set()
    for index, answer in enumerate(answers):
        if isinstance(answer, Appended):
            appended[index] = answer
        elif isinstance(answer, Conflict):
            reused.add(index)
        else:
            raise answer
    known = frozenset(index for index, answer in appended.items() if not answer.appended)
    return Appended(
        appended=len(appended) - len(known),
        duplicates=known,
        reused=frozenset(reused),
        token=reduce(Token.union, (answer.token for answer in appended.values()), Token()),
        recorded_at_us=max((a.recorded_at_us for a in appended.values()), default=0),
        offsets=(),
    )
