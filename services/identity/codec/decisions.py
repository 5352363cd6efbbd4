"""Validates requested decisions and assessments, and encodes them as facts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from onefold.identity.v1 import identity_facts_pb2 as pb
from onefold.identity.v1.identity_service_pb2 import RecordDecisionRequest
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.identity.codec.bus import identifier_to_proto
from services.identity.codec.requests import Caller, decode_identifier
from services.identity.domain.evidence import DecisionKind, Pair
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.identifiers.model import Identifier, is_account_namespace
from services.kernel.ids import FactId, WorkspaceId, hash_id

PairMessage: TypeAlias = RecordDecisionRequest | pb.LinkDecided | pb.MatchAssessed

MAX_REASON = 500
MAX_MATCHES = 1_000
MAX_WORD, MAX_PURPOSES, MAX_WEIGHTS = 128, 20, 100


class IdentifierPair(NamedTuple):
    """Two normalised identifiers, in the order of their ids."""

    workspace_id: WorkspaceId
    a: Identifier
    b: Identifier
    #: The ids of both; the leaf of a fact about them is the first one.
    ids: Pair


class RequestedAssessment(NamedTuple):
    """The assessment of a pair, in canonical form."""

    pair: IdentifierPair
    message: pb.MatchAssessed


def decode_pair(message: PairMessage, caller: Caller, path: str = "") -> IdentifierPair:
    """Return the two identifiers of a message at `path` in the request. Raises InvalidField."""
    field = f"{path}b"
    a = decode_identifier(message.a, caller, f"{path}a")
    b = decode_identifier(message.b, caller, field)
    if a == b:
        raise InvalidField("a and b are the same identifier; send two", field=field)
    if is_account_namespace(a.namespace) != is_account_namespace(b.namespace):
        raise InvalidField(
            "an account and a person cannot be linked; send two identifiers of one sort",
            field=field,
        )
    by_id = {one.id_in(caller.workspace_id, caller.index_key): one for one in (a, b)}
    ids = Pair(*sorted(by_id))
    return IdentifierPair(caller.workspace_id, by_id[ids.a], by_id[ids.b], ids)


def decode_reason(text: str) -> str:
    """Return a reason without surrounding blanks. Raises InvalidField."""
    reason = text.strip()
    if not reason:
        raise InvalidField("reason is required", field="reason")
    if len(reason) > MAX_REASON:
        raise InvalidField(f"reason has at most {MAX_REASON} characters", field="reason")
    if "\0" in reason:
        raise InvalidField("reason contains NUL; remove it", field="reason")
    return reason


def decode_decision(number: int) -> DecisionKind:
    """Return the kind of a decision. Raises InvalidField."""
    try:
        return DecisionKind(number)
    except ValueError:
        raise InvalidField(
            "use DECISION_LINK, DECISION_SEPARATE or DECISION_WITHDRAW", field="decision"
        ) from None


def decision_to_proto(pair: IdentifierPair, kind: DecisionKind, reason: str) -> pb.LinkDecided:
    """Return the message of a decision."""
    return pb.LinkDecided(
        a=identifier_to_proto(pair.a),
        b=identifier_to_proto(pair.b),
        decision=int(kind),  # type: ignore[arg-type]  # the numbers are the enum's
        reason=reason,
    )


def decode_assessments(
    messages: Sequence[pb.MatchAssessed], caller: Caller
) -> list[RequestedAssessment]:
    """Return the assessments of a request. Raises InvalidField, TooLarge."""
    if not messages:
        raise InvalidField("matches is required: send at least one", field="matches")
    if len(messages) > MAX_MATCHES:
        limit = str(MAX_MATCHES)
        raise TooLarge(f"a call takes at most {limit} matches; split it", limit=limit)
    found: list[RequestedAssessment] = []
    seen: set[Pair] = set()
    for index, message in enumerate(messages):
        one = decode_assessment(message, caller, f"matches[{index}].")
        if one.pair.ids in seen:
            raise InvalidField(
                "this pair is assessed twice; send the assessment that counts",
                field=f"matches[{index}]",
            )
        seen.add(one.pair.ids)
        found.append(one)
    return found


def decode_assessment(message: pb.MatchAssessed, caller: Caller, path: str) -> RequestedAssessment:
    """Return one assessment at `path` in the request. Raises InvalidField."""
    pair = decode_pair(message, caller, path)
    _check_assessment(message, path)
    canonical = pb.MatchAssessed()
    canonical.CopyFrom(message)
    canonical.a.CopyFrom(IdentifierMessage(namespace=pair.a.namespace, value=pair.a.value))
    canonical.b.CopyFrom(IdentifierMessage(namespace=pair.b.namespace, value=pair.b.value))
    del canonical.purposes[:]
    canonical.purposes.extend(sorted(set(message.purposes)))
    return RequestedAssessment(pair, canonical)


def _check_assessment(message: pb.MatchAssessed, path: str) -> None:
    if not message.assessment or message.assessment not in pb.Assessment.values():
        raise InvalidField(
            "use ASSESSMENT_ACCEPTED, ASSESSMENT_TO_REVIEW or ASSESSMENT_REJECTED",
            field=f"{path}assessment",
        )
    if not 0.0 <= message.probability <= 1.0:
        raise InvalidField("a probability is between 0 and 1", field=f"{path}probability")
    _check_word(message.model_version, f"{path}model_version")
    is_accepted = message.assessment == pb.ASSESSMENT_ACCEPTED
    if is_accepted != bool(message.purposes):
        error = (
            "an accepted match needs the purposes that it may be used for"
            if is_accepted
            else "only an accepted match has purposes"
        )
        raise InvalidField(error, field=f"{path}purposes")
    if len(message.purposes) > MAX_PURPOSES:
        raise InvalidField(f"a match has at most {MAX_PURPOSES} purposes", field=f"{path}purposes")
    if len(message.weights) > MAX_WEIGHTS:
        raise InvalidField(f"a match has at most {MAX_WEIGHTS} weights", field=f"{path}weights")
    for purpose in message.purposes:
        _check_word(purpose, f"{path}purposes")
    for weight in message.weights:
        _check_word(weight.comparison, f"{path}weights")
        if not math.isfinite(weight.log2_bayes_factor):
            raise InvalidField("a weight is a finite number", field=f"{path}weights")


def _check_word(text: str, field: str) -> None:
    if not 0 < len(text) <= MAX_WORD or not text.isprintable():
        raise InvalidField(f"send 1 to {MAX_WORD} printable characters", field=field)


def pair_fact(
    pair: IdentifierPair,
    message: pb.LinkDecided | pb.MatchAssessed,
    caller: Caller,
    before: FactId | None,
) -> Fact:
    """Return the fact of a decision or an assessment; the log sets its time.

    Its id is a function of the message and of `before`, the fact that counted until now: to send
    the same while it counts is the same fact, and to return to it after another one is a new fact.
    """
    payload = message.SerializeToString(deterministic=True)
    kind = message.DESCRIPTOR.full_name
    return Fact(
        workspace_id=pair.workspace_id,
        fact_id=hash_id(pair.workspace_id, kind, *pair.ids, before or b"", payload),
        kind=kind,
        leaf_id=pair.ids.a,
        actor=caller.key_id,
        payload=payload,
    )
