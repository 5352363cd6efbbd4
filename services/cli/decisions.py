"""What a person decides about two identifiers, and what waits for a decision."""

from __future__ import annotations

from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_facts_pb2 import (
    DECISION_LINK,
    DECISION_SEPARATE,
    DECISION_WITHDRAW,
)
from rich.markup import escape

from services.cli import output as show
from services.cli.apply import known_everywhere
from services.cli.client import Client
from services.cli.context import identifier_from, spelled
from services.cli.enums import value_of
from services.cli.explain import HELD_REASON, reason_word, told_reason
from services.cli.policy_form import evidence_word
from services.kernel.errors import InvalidField

_DECISIONS = {
    "link": DECISION_LINK,
    "separate": DECISION_SEPARATE,
    "withdraw": DECISION_WITHDRAW,
}


async def decide_on(client: Client, a: str, b: str, decision: str, reason: str) -> None:
    """Decide about two identifiers, wait until it is done, and tell what came of it."""
    if decision not in _DECISIONS:
        raise InvalidField(f"{decision}: write link, separate or withdraw")
    pair = {"a": identifier_from(a), "b": identifier_from(b)}
    answer = await client.call(*_request(client, decision, pair, reason))
    await known_everywhere(client, answer.token)
    named = pb.LookupProfilesRequest(identifiers=pair.values(), at_least=answer.token)
    one, other = (await client.call(client.identity.LookupProfiles, named)).profile_ids
    for who, found in ((a, one), (b, other)):
        if not found:
            show.out.print(f"Nobody is known by {escape(who)} yet; it holds once somebody is.")
    if one and other:
        told = f"one person: {one}" if one == other else f"two people: {one} and {other}"
        show.out.print(escape(f"{a} and {b} are {told}"))


def _request(client: Client, decision: str, pair: dict[str, Any], reason: str) -> tuple[Any, Any]:
    if decision == "link":
        return client.identity.Link, pb.LinkRequest(**pair, reason=reason)
    if decision == "separate":
        return client.identity.Separate, pb.SeparateRequest(**pair, reason=reason)
    request = pb.DecideRequest(**pair, decision=_DECISIONS[decision], reason=reason)
    return client.identity.Decide, request


async def show_held(client: Client, because: str, limit: int) -> None:
    """Print evidence that is held back."""
    request = pb.ListHeldRequest(reason=_reason_from(because), page_size=limit)
    answer = await client.call(client.identity.ListHeld, request)
    rows = [
        (
            escape(spelled(held.edge.a)),
            escape(spelled(held.edge.b)),
            evidence_word(held.edge.kind),
            reason_word(held.edge.held_reason),
            told_reason(held.edge),
        )
        for held in answer.held
    ]
    show.table("", ("a", "b", "seen", "held", "because"), rows)
    if answer.next_page_token:
        show.out.print("There are more.")


def _reason_from(word: str) -> Any:
    return value_of(pb.HeldReason, HELD_REASON, word, "--because") if word else None
