"""Records manual decisions about two identifiers."""

from __future__ import annotations

from services.chassis.codec.fields import token_from_proto
from services.chassis.rpc.clients import LogClient
from services.identity.codec.decisions import IdentifierPair, decision_to_proto, pair_fact
from services.identity.codec.requests import Caller
from services.identity.domain.evidence import DecisionKind
from services.identity.projection.reader import StateReader
from services.identity.store.decisions import load_decision
from services.kernel.errors import NotFound
from services.kernel.tokens import Token


class DecisionCommands:
    """Records decisions. Each call waits until the state includes the head of the log, as the
    decision before may not be folded yet."""

    def __init__(self, reader: StateReader, log: LogClient) -> None:
        self._reader = reader
        self._log = log

    async def record(
        self, caller: Caller, pair: IdentifierPair, kind: DecisionKind, reason: str
    ) -> Token:
        """Record a decision unless it counts already, and return a state of the log that includes
        it. Raises NotFound where there is nothing to withdraw, and TokenNotReached."""
        reached = await self._reader.runner.reach(await self._log.head())
        async with self._reader.snapshot() as conn:
            current = await load_decision(conn, pair.workspace_id, pair.ids)
        if current is None and kind == DecisionKind.WITHDRAW:
            raise NotFound("there is no decision about these identifiers to withdraw")
        if current is not None and current.kind == kind:
            return reached
        message = decision_to_proto(pair, kind, reason)
        fact = pair_fact(pair, message, caller, current.fact_id if current else None)
        return token_from_proto((await self._log.append([fact])).token)
