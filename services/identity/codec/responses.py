"""Encodes profiles, explanations, held edges, previews and merges as responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.codec.fields import PageToken, token_to_proto
from services.identity.codec.bus import identifier_to_proto
from services.identity.domain.evidence import SEEN_PERIOD_DAYS, Edge, Pair
from services.identity.domain.explain import (
    ExplainedEdge,
    Explanation,
    HeldCount,
    HeldEdgeView,
    IdentityGraph,
)
from services.identity.domain.merges import Merges
from services.identity.domain.preview import PreviewTotals, ProfileGroup, Regrouping
from services.identity.domain.rows import SeenIdentifier
from services.kernel.ids import to_hex
from services.kernel.time import DAY_US
from services.kernel.tokens import Token

#: The sort keys of held edges and of matches: the ids of both ends, and the kind of an edge.
_EDGE_TOKEN, _PAIR_TOKEN = PageToken("16s16sB"), PageToken("16s16s")


def profile_identifier(seen: SeenIdentifier) -> pb.ProfileIdentifier:
    """Return the message of an identifier and its first sighting."""
    return pb.ProfileIdentifier(
        identifier=identifier_to_proto(seen.identifier),
        first_seen_us=seen.first.occurred_at_us,
        fact_id=to_hex(seen.first.fact_id),
        identifier_id=to_hex(seen.identifier_id),
    )


def explanation_to_proto(explanation: Explanation, token: Token) -> pb.ExplainMatchResponse:
    """Return the message of an explanation, with the state that was read."""
    return pb.ExplainMatchResponse(
        same=explanation.same,
        profile_id_a=to_hex(explanation.profile_a or b""),
        profile_id_b=to_hex(explanation.profile_b or b""),
        path=map(_edge_to_proto, explanation.path),
        policy_version=explanation.policy_version,
        token=token_to_proto(token),
    )


def held_to_proto(held: HeldEdgeView) -> pb.HeldEdge:
    """Return the message of a held edge."""
    return pb.HeldEdge(
        edge=_edge_to_proto(held.edge),
        profile_id_a=to_hex(held.profile_a),
        profile_id_b=to_hex(held.profile_b),
        clash=filter(None, map(identifier_to_proto, held.clash)),
    )


def graph_to_proto(graph: IdentityGraph, token: Token) -> pb.GetGraphResponse:
    """Return the message of a graph, with the state that was read."""
    return pb.GetGraphResponse(
        profile_id=to_hex(graph.profile.profile_id),
        identifiers=map(profile_identifier, graph.shown),
        edges=[
            pb.GraphEdge(
                edge=_edge_to_proto(each.edge),
                profile_id_a=to_hex(each.profile_a),
                profile_id_b=to_hex(each.profile_b),
            )
            for each in graph.edges
        ],
        decisions=[
            pb.RecordedDecision(
                a=identifier_to_proto(each.a),
                b=identifier_to_proto(each.b),
                decision=each.decision.kind,  # type: ignore[arg-type]  # the numbers are the enum's
                actor=each.decision.actor,
                reason=each.decision.reason,
                occurred_at_us=each.decision.at.occurred_at_us,
                fact_id=to_hex(each.decision.at.fact_id),
            )
            for each in graph.decisions
        ],
        identifier_count=len(graph.profile.identifiers),
        token=token_to_proto(token),
    )


def _edge_to_proto(explained: ExplainedEdge) -> pb.Edge:
    reason, namespace = explained.held or (0, "")
    first, last_seen_day = explained.span
    return pb.Edge(
        a=identifier_to_proto(explained.a),
        b=identifier_to_proto(explained.b),
        kind=explained.edge.kind,  # type: ignore[arg-type]  # the numbers are the enum's
        fact_id=to_hex(first.fact_id),
        first_seen_us=first.occurred_at_us,
        last_seen_us=(last_seen_day - SEEN_PERIOD_DAYS + 1) * DAY_US,
        held_reason=reason,  # type: ignore[arg-type]  # the numbers are the enum's
        held_namespace=namespace,
        actor=explained.actor,
        reason=explained.reason,
    )


def held_count_to_proto(counted: HeldCount) -> pb.HeldCount:
    """Return the message of a number of held edges."""
    reason, kind, number = counted
    return pb.HeldCount(
        reason=reason,  # type: ignore[arg-type]  # the numbers are the enum's
        kind=kind,  # type: ignore[arg-type]  # the numbers are the enum's
        count=number,
    )


def preview_to_proto(part: Regrouping | PreviewTotals, token: Token) -> pb.PreviewPolicyResponse:
    """Return the message of a part of a preview, with the state that was read."""
    state = token_to_proto(token)
    if isinstance(part, Regrouping):
        regrouping = pb.Regrouping(before=_groups(part.before), after=_groups(part.after))
        return pb.PreviewPolicyResponse(regrouping=regrouping, token=state)
    totals = pb.PolicyPreviewTotals(
        profiles_before=part.profiles_before,
        profiles_after=part.profiles_after,
        biggest_before=part.biggest_before,
        biggest_after=part.biggest_after,
        held_before=part.held_before,
        held_after=part.held_after,
    )
    return pb.PreviewPolicyResponse(totals=totals, token=state)


def _groups(groups: Iterable[ProfileGroup]) -> Iterator[pb.ProfileGroup]:
    for profile_id, ids in groups:
        yield pb.ProfileGroup(profile_id=to_hex(profile_id), identifier_ids=map(to_hex, ids))


def merges_to_proto(merges: Merges) -> pb.WatchMergesResponse:
    """Return the message of the merges and splits in one published message."""
    return pb.WatchMergesResponse(
        moves=[
            pb.ProfileMove(
                before_profile_id=to_hex(move.before),
                after_profile_id=to_hex(move.after),
                identifiers=[
                    IdentifierMessage(namespace=one.namespace, value=one.value)
                    for one in move.identifiers
                ],
            )
            for move in merges.moves
        ],
        token=token_to_proto(merges.token),
    )


def decode_edge_cursor(page_token: str) -> Edge | None:
    """Return the edge after which a page begins; None on the first page. Raises InvalidField."""
    key = _EDGE_TOKEN.decode(page_token)
    return Edge(*key) if key else None


def decode_pair_cursor(page_token: str) -> Pair | None:
    """Return the pair after which a page begins; None on the first page. Raises InvalidField."""
    key = _PAIR_TOKEN.decode(page_token)
    return Pair(*key) if key else None


def edge_page_token(last: Edge) -> str:
    """Return the token of the page after an edge."""
    return _EDGE_TOKEN.encode(*last)


def pair_page_token(last: Pair) -> str:
    """Return the token of the page after a pair."""
    return _PAIR_TOKEN.encode(*last)
