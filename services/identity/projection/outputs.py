"""Reads the facts of outputs that identity has published, which its outbox does not store."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from services.chassis.messaging.lives import went_back_message
from services.chassis.messaging.stream import OutboxMessage, Upstream
from services.identity.codec.bus import encode_facts, facts_in, log_life_of, output_with_facts
from services.kernel.errors import UpstreamWentBack

#: Facts that are read at a time; those of one output may be more.
MAX_FACTS = 5_000


class FactsOfOutputs:
    """Adds to outputs the facts of their offsets in the log; see `Completion` in the chassis."""

    def __init__(self, log: Upstream) -> None:
        self._log = log

    async def __call__(self, shard: int, outputs: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        """Return the first outputs with their facts.

        Raises OnefoldError; UpstreamWentBack where the log does not have these facts any more.
        """
        first, page = outputs[0].first, list(outputs[:1])
        page += takewhile(lambda output: output.next - first <= MAX_FACTS, outputs[1:])
        end = page[-1].next
        # Raises where the log has other facts before the end than identity has read.
        async for _ in self._log.read(shard, end, end, log_life_of(page[-1])):
            break
        facts = facts_in([message async for message in self._log.read(shard, first, end)])
        if len(facts) != end - first:
            raise UpstreamWentBack(went_back_message(shard, end, first + len(facts)))
        completed = []
        for output in page:
            own = facts[output.first - first : output.next - first]
            completed.append(output_with_facts(output, encode_facts(shard, output.first, own)))
        return completed
