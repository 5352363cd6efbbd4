"""What people and models say about two identifiers: read, checked, and made a fact."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from onefold.identity.v1 import identity_facts_pb2 as pb
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.identity.domain.evidence import Pair
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.identifiers import (
    Identifier,
    expected_format,
    is_account_namespace,
    normalize,
    validation_error,
)
from services.kernel.ids import FactId, WorkspaceId, hash_id

MOST_REASON = 500
MOST_MATCHES = 1_000
MOST_WORD, MOST_PURPOSES, MOST_WEIGHTS = 128, 20, 100


class Caller(NamedTuple):
    """Who asks, and in which workspace."""

    workspace_id: WorkspaceId
    #: Its default region.
    region: str
    #: The id of the key.
    key_id: str


class IdentifierPair(NamedTuple):
    """Two identifiers in standard form, in the order of their ids."""

    workspace_id: WorkspaceId
    a: Identifier
    b: Identifier

    @property
    def ids(self) -> Pair:
        """The ids of both; a fact about them lies under the first one."""
        return Pair(self.a.id_in(self.workspace_id), self.b.id_in(self.workspace_id))


def named(message: Any, asker: Caller, field: str) -> Identifier:
    """The standard form of an identifier that has to name somebody. Raises InvalidField."""
    if not message.namespace and not message.value:
        raise InvalidField(f"{field} is required: a namespace and a value", field=field)
    if wrong := validation_error(message.namespace, message.value):
        raise InvalidField(wrong, field=field)
    shaped = normalize(message.namespace, message.value, asker.region)
    if shaped is None:
        wanted = expected_format(message.namespace, asker.region)
        raise InvalidField(f"this {message.namespace} names nobody; send {wanted}", field=field)
    return shaped


def pair(request: Any, asker: Caller, place: str = "") -> IdentifierPair:
    """The two identifiers of a request. Raises InvalidField."""
    field = f"{place}b"
    a, b = named(request.a, asker, f"{place}a"), named(request.b, asker, field)
    if a == b:
        raise InvalidField("a and b are the same identifier; name two", field=field)
    if is_account_namespace(a.namespace) != is_account_namespace(b.namespace):
        raise InvalidField("an account and a person are never one; name two of a kind", field=field)
    if a.id_in(asker.workspace_id) > b.id_in(asker.workspace_id):
        a, b = b, a
    return IdentifierPair(asker.workspace_id, a, b)


def reason(told: str) -> str:
    """Why, for people. Raises InvalidField."""
    shaped = told.strip()
    if not shaped:
        raise InvalidField(
            "reason is required: say why, for those who look at it later", field=_WHY
        )
    if len(shaped) > MOST_REASON:
        raise InvalidField(f"reason has at most {MOST_REASON} characters", field=_WHY)
    if "\0" in shaped:
        raise InvalidField("reason holds NUL; leave it out", field=_WHY)
    return shaped


_WHY = "reason"


def decision(told: int) -> Any:
    """A decision that can be taken. Raises InvalidField."""
    if told == pb.DECISION_UNSPECIFIED or told not in pb.Decision.values():
        raise InvalidField(
            "use DECISION_LINK, DECISION_SEPARATE or DECISION_WITHDRAW", field="decision"
        )
    return told


def decision_message(pair: IdentifierPair, decision: Any, reason: str) -> pb.LinkDecided:
    """The message of a decision."""
    return pb.LinkDecided(a=_message(pair.a), b=_message(pair.b), decision=decision, reason=reason)


def assessment(
    message: pb.MatchAssessed, asker: Caller, place: str
) -> tuple[IdentifierPair, pb.MatchAssessed]:
    """Whom a judgement is about, and the judgement in the form in which it is kept.

    Raises InvalidField.
    """
    about = pair(message, asker, place)
    _check_judgement(message, place)
    kept = pb.MatchAssessed()
    kept.CopyFrom(message)
    kept.a.CopyFrom(_message(about.a))
    kept.b.CopyFrom(_message(about.b))
    del kept.purposes[:]
    kept.purposes.extend(sorted(set(message.purposes)))
    return about, kept


def check_matches(told: Any) -> None:
    """Raises InvalidField, TooLarge."""
    if not told:
        raise InvalidField("matches is required: at least one", field="matches")
    if len(told) > MOST_MATCHES:
        limit = str(MOST_MATCHES)
        raise TooLarge(f"at most {limit} matches a call; split it", limit=limit)


def _check_judgement(message: pb.MatchAssessed, place: str) -> None:
    if not message.assessment or message.assessment not in pb.Assessment.values():
        raise InvalidField(
            "use ASSESSMENT_ACCEPTED, ASSESSMENT_TO_REVIEW or ASSESSMENT_REJECTED",
            field=f"{place}assessment",
        )
    if not 0.0 <= message.probability <= 1.0:
        raise InvalidField("a probability lies between 0 and 1", field=f"{place}probability")
    _check_word(message.model_version, f"{place}model_version")
    accepted = message.assessment == pb.ASSESSMENT_ACCEPTED
    if accepted != bool(message.purposes):
        wanted = "name what it may be used for" if accepted else "only accepted ones have purposes"
        raise InvalidField(wanted, field=f"{place}purposes")
    if len(message.purposes) > MOST_PURPOSES or len(message.weights) > MOST_WEIGHTS:
        raise InvalidField(
            f"at most {MOST_PURPOSES} purposes and {MOST_WEIGHTS} weights", field=f"{place}purposes"
        )
    for purpose in message.purposes:
        _check_word(purpose, f"{place}purposes")
    for weight in message.weights:
        _check_word(weight.comparison, f"{place}weights")
        if not math.isfinite(weight.log2_bayes_factor):
            raise InvalidField("a weight is a number", field=f"{place}weights")


def _check_word(told: str, field: str) -> None:
    if not 0 < len(told) <= MOST_WORD or not told.isprintable():
        raise InvalidField(f"1 to {MOST_WORD} printable characters", field=field)


def fact_about(pair: IdentifierPair, message: Any, asker: Caller, before: FactId | None) -> Fact:
    """The fact that says `message` about two identifiers, as of when the log learns it.

    Its id is made of what it says and of `before`, the fact that held until then: to say the same
    again while it holds is the same fact, and to come back to it after something else is another.
    """
    payload = message.SerializeToString(deterministic=True)
    kind, leaf = message.DESCRIPTOR.full_name, pair.ids[0]
    return Fact(
        workspace_id=pair.workspace_id,
        fact_id=hash_id(pair.workspace_id, kind, *pair.ids, before or b"", payload),
        kind=kind,
        leaf_id=leaf,
        actor=asker.key_id,
        payload=payload,
    )


def _message(identifier: Identifier) -> IdentifierMessage:
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)
