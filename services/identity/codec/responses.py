"""Explanations, held evidence, previews and moves as messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.codec.tokens import token_to_proto
from services.chassis.rpc.paging import PageToken
from services.identity.domain.evidence import SEEN_PERIOD_DAYS, Edge, Pair
from services.identity.domain.explain import ExplainedEdge, Explanation, HeldEdgeView
from services.identity.domain.preview import PreviewTotals, ProfileGroup, Regrouping
from services.identity.queries.merge_feed import Move, Moves
from services.kernel.identifiers import Identifier
from services.kernel.ids import to_hex
from services.kernel.time import DAY_US
from services.kernel.tokens import Token

#: Bytes of an id.
_ID = 16


def explanation_message(told: Explanation, token: Token) -> pb.ExplainMatchResponse:
    """An explanation, and the state that was read."""
    return pb.ExplainMatchResponse(
        same=told.same,
        profile_id_a=to_hex(told.profile_a or b""),
        profile_id_b=to_hex(told.profile_b or b""),
        path=map(_edge_message, told.path),
        policy_version=told.policy_version,
        token=token_to_proto(token),
    )


def held_message(held: HeldEdgeView) -> pb.HeldEdge:
    """Evidence that is held back."""
    return pb.HeldEdge(
        edge=_edge_message(held.edge),
        profile_id_a=to_hex(held.profile_a),
        profile_id_b=to_hex(held.profile_b),
    )


def _edge_message(tie: ExplainedEdge) -> pb.Edge:
    why, namespace = tie.held or (0, "")
    first, last_day = tie.span
    return pb.Edge(
        a=_identifier(tie.a),
        b=_identifier(tie.b),
        kind=tie.edge.kind,  # type: ignore[arg-type]  # the numbers are the enum's
        fact_id=to_hex(first.fact_id),
        first_seen_us=first.occurred_at_us,
        last_seen_us=(last_day - SEEN_PERIOD_DAYS + 1) * DAY_US,
        held_reason=why,  # type: ignore[arg-type]  # the numbers are the enum's
        held_namespace=namespace,
        actor=tie.actor,
        reason=tie.reason,
    )


def preview_message(part: Regrouping | PreviewTotals, token: Token) -> pb.PreviewPolicyResponse:
    """A part of what a policy would come to."""
    state = token_to_proto(token)
    if isinstance(part, Regrouping):
        regrouping = pb.Regrouping(before=_groupings(part.before), after=_groupings(part.after))
        return pb.PreviewPolicyResponse(regrouping=regrouping, token=state)
    sums = pb.PolicyPreviewTotals(
        profiles_before=part.profiles_before,
        profiles_after=part.profiles_after,
        biggest_before=part.biggest_before,
        biggest_after=part.biggest_after,
        held_before=part.held_before,
        held_after=part.held_after,
    )
    return pb.PreviewPolicyResponse(totals=sums, token=state)


def _groupings(groups: Iterable[ProfileGroup]) -> Iterator[pb.ProfileGroup]:
    for profile_id, ids in groups:
        yield pb.ProfileGroup(profile_id=to_hex(profile_id), identifier_ids=ids)


def moves_message(told: Moves) -> pb.WatchMergesResponse:
    """Some merges and splits."""
    return pb.WatchMergesResponse(
        moves=map(_move_message, told.moves), shard=told.shard, next_offset=told.next_offset
    )


def _move_message(move: Move) -> pb.ProfileMove:
    return pb.ProfileMove(
        before_profile_id=to_hex(move.before),
        after_profile_id=to_hex(move.after),
        identifiers=[IdentifierMessage(namespace=n, value=v) for n, v in move.identifiers],
    )


_EDGE_PAGE = PageToken("16s16sB")
_PAIR_PAGE = PageToken("16s16s")


def edge_after(page_token: str) -> Edge | None:
    """Return the edge after which a page begins; None at the beginning. Raises InvalidField."""
    key = _EDGE_PAGE.decode(page_token)
    return Edge(*key) if key else None


def pair_after(page_token: str) -> Pair | None:
    """Return the pair after which a page begins; None at the beginning. Raises InvalidField."""
    key = _PAIR_PAGE.decode(page_token)
    return Pair(*key) if key else None


def page_token(last: Edge | Pair) -> str:
    """Return the token of the page after an edge or a pair."""
    return (_EDGE_PAGE if isinstance(last, Edge) else _PAIR_PAGE).encode(*last)


def _identifier(identifier: Identifier | None) -> IdentifierMessage | None:
    if identifier is None:
        return None
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)
