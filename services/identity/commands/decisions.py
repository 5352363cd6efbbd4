"""What people and models say about who is who, and the policy: compared, and made facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.chassis.codec.tokens import token_from_proto
from services.chassis.rpc.clients import LogClient
from services.identity.codec import decisions as wire
from services.identity.codec.bus import policy_message
from services.identity.codec.policy import POLICY, policy_defined
from services.identity.domain.evidence import DecisionKind, Pair
from services.identity.queries.profiles import IdentityQueries
from services.kernel.errors import InvalidField, NotFound
from services.kernel.tokens import Token


class DecisionService:
    """Every one is bound to the workspace of its asker, and waits until the state is as new as the
    log: what was said a moment ago may still be on its way. Raises TokenNotReached."""

    def __init__(self, queries: IdentityQueries, log: LogClient) -> None:
        self._queries = queries
        self._log = log

    async def decide(
        self,
        asker: wire.Caller,
        pair: wire.IdentifierPair,
        verdict: int,
        reason: str,
        timeout: float,
    ) -> Token:
        """The state of the log that includes a decision; one that holds already is not said again.

        Raises NotFound where there is nothing to take back.
        """
        reached = await self._reach_head(timeout)
        present = await self._queries.decision_on(pair.workspace_id, pair.ids)
        if present is None and verdict == DecisionKind.WITHDRAW:
            raise NotFound("nothing was decided about these two; there is nothing to take back")
        before, holds = present or (None, None)
        if holds == verdict:
            return reached
        said = wire.decision_message(pair, verdict, reason)
        return await self._append([wire.fact_about(pair, said, asker, before)])

    async def assess(
        self, asker: wire.Caller, told: Sequence[tuple[wire.IdentifierPair, Any]], timeout: float
    ) -> Token:
        """The state of the log that includes judgements; those that hold are not said again.

        Raises InvalidField where two are about the same identifiers.
        """
        pairs = [pair.ids for pair, _ in told]
        _check_once(pairs)
        reached = await self._reach_head(timeout)
        present = await self._queries.judgements(asker.workspace_id, pairs)
        facts = []
        for pair, message in told:
            before, kept = present.get(pair.ids, (None, b""))
            if kept != message.SerializeToString(deterministic=True):
                facts.append(wire.fact_about(pair, message, asker, before))
        return await self._append(facts) if facts else reached

    async def define(
        self, asker: wire.Caller, policy: Any, timeout: float, *, dry_run: bool
    ) -> tuple[int, bool, Token]:
        """The version of the policy then, whether it changed, and the token that includes it.

        Raises EtagMismatch.
        """
        reached = await self._reach_head(timeout)
        present = (await self._queries.policy(asker.workspace_id)).policy
        if present.version and policy_message(present) == policy:
            return present.version, False, reached
        version = present.version + 1
        if dry_run:
            return version, True, reached
        defined = policy_defined(policy, version)
        token = await self._log.define(
            asker.workspace_id, POLICY, version, defined, actor=asker.key_id
        )
        return version, True, token

    async def _append(self, facts: list[Any]) -> Token:
        return token_from_proto((await self._log.append(facts)).token)

    async def _reach_head(self, timeout: float) -> Token:
        head = await self._log.head()
        return await self._queries.reach(head, timeout)


def _check_once(pairs: Sequence[Pair]) -> None:
    seen: set[Pair] = set()
    for at, pair in enumerate(pairs):
        if pair in seen:
            raise InvalidField(
                "these two are judged twice; send the one that holds", field=f"matches[{at}]"
            )
        seen.add(pair)
