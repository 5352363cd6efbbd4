"""Serves the rpcs about decisions, held edges, explanations and matches."""

from __future__ import annotations

from typing import Any

from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb

from services.chassis.access.principal import workspace_id
from services.chassis.codec.fields import (
    at_least_of,
    page_size_of,
    token_from_proto,
    token_to_proto,
)
from services.identity.api.calls import caller
from services.identity.codec.decisions import (
    decode_assessments,
    decode_decision,
    decode_pair,
    decode_reason,
)
from services.identity.codec.requests import decode_identifier
from services.identity.codec.responses import (
    decode_edge_cursor,
    decode_pair_cursor,
    edge_page_token,
    explanation_to_proto,
    held_count_to_proto,
    held_to_proto,
    pair_page_token,
)
from services.identity.commands.decisions import DecisionCommands
from services.identity.commands.matches import MatchCommands
from services.identity.domain.evidence import EvidenceKind
from services.identity.domain.held import DECIDABLE
from services.identity.projection.reader import StateReader
from services.identity.queries.explain import ExplanationQueries
from services.identity.queries.held import HeldEdgeQueries
from services.identity.queries.probable import MatchQueries
from services.kernel.errors import InvalidField


class DecisionsRpc:
    """Explains resolutions, and records decisions about them."""

    def __init__(
        self,
        reader: StateReader,
        commands: DecisionCommands,
        explanations: ExplanationQueries,
        held: HeldEdgeQueries,
    ) -> None:
        self._reader = reader
        self._commands = commands
        self._explanations = explanations
        self._held = held

    async def ExplainMatch(
        self, request: pb.ExplainMatchRequest, context: Any
    ) -> pb.ExplainMatchResponse:
        by = caller(self._reader.index_key)
        a, b = decode_identifier(request.a, by, "a"), decode_identifier(request.b, by, "b")
        if a == b:
            raise InvalidField("a and b are the same identifier; send two", field="b")
        token, as_of = await self._reader.runner.reach(at_least_of(request)), None
        if request.HasField("as_of"):
            as_of = token = token_from_proto(request.as_of)
            await self._reader.runner.reach(as_of)
        workspace = by.workspace_id
        ids = (a.id_in(workspace, by.index_key), b.id_in(workspace, by.index_key))
        explanation = await self._explanations.explain(workspace, *ids, as_of)
        return explanation_to_proto(explanation, token)

    async def RecordDecision(
        self, request: pb.RecordDecisionRequest, context: Any
    ) -> pb.RecordDecisionResponse:
        by = caller(self._reader.index_key)
        pair, reason = decode_pair(request, by), decode_reason(request.reason)
        kind = decode_decision(request.decision)
        token = await self._commands.record(by, pair, kind, reason)
        return pb.RecordDecisionResponse(token=token_to_proto(token))

    async def ListHeld(self, request: pb.ListHeldRequest, context: Any) -> pb.ListHeldResponse:
        size, after = page_size_of(request), decode_edge_cursor(request.page_token)
        if request.reason not in pb.HeldReason.values():
            raise InvalidField("use a value of HeldReason", field="reason")
        if request.weakest not in facts_pb.EvidenceKind.values():
            raise InvalidField("use a value of EvidenceKind", field="weakest")
        reasons = (request.reason,) if request.reason else DECIDABLE
        token = await self._reader.runner.reach(at_least_of(request))
        weakest = request.weakest or EvidenceKind.CLAIMED
        held = await self._held.list_held(workspace_id(), reasons, after, size, weakest)
        counts = [] if after else await self._held.counts(workspace_id(), reasons)
        return pb.ListHeldResponse(
            held=map(held_to_proto, held),
            next_page_token=edge_page_token(held[-1].edge.edge) if len(held) == size else "",
            token=token_to_proto(token),
            counts=map(held_count_to_proto, counts),
        )


class MatchesRpc:
    """Records and lists probable matches."""

    def __init__(self, reader: StateReader, commands: MatchCommands, queries: MatchQueries) -> None:
        self._reader = reader
        self._commands = commands
        self._queries = queries

    async def AssessMatches(
        self, request: pb.AssessMatchesRequest, context: Any
    ) -> pb.AssessMatchesResponse:
        by = caller(self._reader.index_key)
        assessments = decode_assessments(request.matches, by)
        token = await self._commands.assess(by, assessments)
        return pb.AssessMatchesResponse(token=token_to_proto(token))

    async def ListMatches(
        self, request: pb.ListMatchesRequest, context: Any
    ) -> pb.ListMatchesResponse:
        size, after = page_size_of(request), decode_pair_cursor(request.page_token)
        if request.assessment not in facts_pb.Assessment.values():
            raise InvalidField("use a value of Assessment", field="assessment")
        token = await self._reader.runner.reach(at_least_of(request))
        assessment = request.assessment or None
        found = await self._queries.list_matches(workspace_id(), assessment, after, size)
        return pb.ListMatchesResponse(
            matches=[facts_pb.MatchAssessed.FromString(message) for _, message in found],
            next_page_token=pair_page_token(found[-1][0]) if len(found) == size else "",
            token=token_to_proto(token),
        )
