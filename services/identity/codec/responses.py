"""Explanations, held evidence, previews and moves as messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.rpc.clients import token_to_proto
from services.identity.domain.evidence import SEEN_DAYS, Edge, Pair
from services.identity.domain.explain import Explanation, HeldTie, Tie
from services.identity.domain.preview import Grouping, Regrouping, Sums
from services.identity.queries.merge_feed import Move, Moves
from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, to_hex
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


def held_message(held: HeldTie) -> pb.HeldEdge:
    """Evidence that is held back."""
    return pb.HeldEdge(
        edge=_edge_message(held.tie),
        profile_id_a=to_hex(held.profile_a),
        profile_id_b=to_hex(held.profile_b),
    )


def _edge_message(tie: Tie) -> pb.Edge:
    why, namespace = tie.held or (0, "")
    first, last_day = tie.span
    return pb.Edge(
        a=_identifier(tie.a),
        b=_identifier(tie.b),
        kind=tie.edge.strength,  # type: ignore[arg-type]  # the numbers are the enum's
        fact_id=to_hex(first.fact_id),
        first_seen_us=first.occurred_at_us,
        last_seen_us=(last_day - SEEN_DAYS + 1) * DAY_US,
        held_reason=why,  # type: ignore[arg-type]  # the numbers are the enum's
        held_namespace=namespace,
        actor=tie.actor,
        reason=tie.reason,
    )


def preview_message(part: Regrouping | Sums, token: Token) -> pb.PreviewPolicyResponse:
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


def _groupings(groups: Iterable[Grouping]) -> Iterator[pb.ProfileGroup]:
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


def edge_after(page_token: str) -> Edge | None:
    """The edge after which a page begins; None at the beginning. Raises InvalidField."""
    raw = _place(page_token, 2 * _ID + 1)
    return _edge_at(raw) if raw else None


def pair_after(page_token: str) -> Pair | None:
    """The pair after which a page begins; None at the beginning. Raises InvalidField."""
    raw = _place(page_token, 2 * _ID)
    return Pair(IdentifierId(raw[:_ID]), IdentifierId(raw[_ID:])) if raw else None


def page_token(last: Edge | Pair) -> str:
    """The token of what follows an edge or pair."""
    strength = bytes([last.strength]) if isinstance(last, Edge) else b""
    return (last.a + last.b + strength).hex()


def _edge_at(raw: bytes) -> Edge:
    return Edge(IdentifierId(raw[:_ID]), IdentifierId(raw[_ID : 2 * _ID]), raw[-1])


def _place(page_token: str, size: int) -> bytes:
    try:
        raw = bytes.fromhex(page_token)
    except ValueError:
        raw = b"?"
    if raw and len(raw) != size:
        raise InvalidField("a page_token is one that a response told", field="page_token")
    return raw


def _identifier(identifier: Identifier | None) -> IdentifierMessage | None:
    if identifier is None:
        return None
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)
