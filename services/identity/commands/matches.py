"""Records assessments of probable matches."""

from __future__ import annotations

from collections.abc import Sequence

from services.chassis.codec.fields import token_from_proto
from services.chassis.rpc.clients import LogClient
from services.identity.codec.decisions import RequestedAssessment, pair_fact
from services.identity.codec.requests import Caller
from services.identity.projection.reader import StateReader
from services.identity.store.matches import load_assessments
from services.kernel.tokens import Token


class MatchCommands:
    """Records assessments. Each call waits until the state includes the head of the log."""

    def __init__(self, reader: StateReader, log: LogClient) -> None:
        self._reader = reader
        self._log = log

    async def assess(self, caller: Caller, assessments: Sequence[RequestedAssessment]) -> Token:
        """Record the assessments that do not count already, and return a state of the log that
        includes all. Raises TokenNotReached."""
        reached = await self._reader.runner.reach(await self._log.head())
        pairs = [one.pair.ids for one in assessments]
        async with self._reader.snapshot() as conn:
            current = await load_assessments(conn, caller.workspace_id, pairs)
        facts = []
        for pair, message in assessments:
            before = current.get(pair.ids)
            if before is None or before.message != message.SerializeToString(deterministic=True):
                facts.append(pair_fact(pair, message, caller, before.fact_id if before else None))
        if not facts:
            return reached
        return token_from_proto((await self._log.append(facts)).token)
