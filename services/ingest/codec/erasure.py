"""Overwrites the payloads of facts that name an erased person, and decodes requested erasures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.message import DecodeError
from onefold.identity.v1.identity_facts_pb2 import LinkDecided, MatchAssessed
from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.log.v1.erasure_pb2 import ErasureFolded, ErasureRequested, FactErased, PersonErased
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from onefold.type.v1.token_pb2 import Token as TokenMessage

from services.chassis.codec.erasures import PERSON_ERASED
from services.chassis.codec.fields import token_to_proto
from services.ingest.codec.certificate import certify
from services.ingest.codec.repairs import from_quarantine
from services.ingest.domain.erasure import (
    ErasedPerson,
    ErasureRequest,
    ErasureStatus,
    ErasureTotals,
    ServiceRows,
)
from services.ingest.domain.events import QuarantinedEvent, Refusal
from services.ingest.domain.facts import NewFact
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.identifiers.priority import account_leaf, primary_identifier
from services.kernel.ids import NO_ID, FactId, hash_id, to_hex
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token
from services.kernel.trust import SourceTrust

EVENT = Event.DESCRIPTOR.full_name
ERASURE_REQUESTED: str = ErasureRequested.DESCRIPTOR.full_name
ERASURE_FOLDED: str = ErasureFolded.DESCRIPTOR.full_name
FACT_ERASED: str = FactErased.DESCRIPTOR.full_name
_LINK_DECIDED, _MATCH_ASSESSED = (
    LinkDecided.DESCRIPTOR.full_name,
    MatchAssessed.DESCRIPTOR.full_name,
)
#: Values that are shorter may occur in the events of anybody.
_SHORTEST_SEARCHED = 5


@dataclass(slots=True)
class Overwritten:
    """What takes the place of a fact."""

    kind: str
    payload: bytes
    #: Whether random bytes take the place of its leaf.
    loses_leaf: bool
    #: The values of the person's identifiers that it had.
    values: set[str] = field(default_factory=set)
    #: The leaf of the account that a group event names.
    account: bytes | None = None
    #: The ids of the identifiers that are left in an erased fact.
    left: frozenset[bytes] = frozenset()


class _NamedIdentifier(NamedTuple):
    message: IdentifierMessage
    id: bytes
    identifier: Identifier


def overwrite(
    kind: str, leaf_id: bytes, payload: bytes, person: ErasedPerson
) -> Overwritten | None:
    """Return what takes the place of a fact; None where nothing of the person is in it.

    A fact of the person keeps the identifiers of others, as evidence about these, and nothing else;
    every fact of a leaf of the person is overwritten.
    A fact of another person loses the identifiers of the person alone, and so does what an earlier
    erasure has left of a fact.
    """
    if kind in (ERASURE_REQUESTED, PERSON_ERASED):
        return None
    if kind == FACT_ERASED:
        return _erased_before(payload, person)
    if kind == EVENT:
        event = Event.FromString(payload)
        if leaf_id in person.ids:
            return _own_event(event, leaf_id, person)
        return _event_of_other(event, person)
    if kind in (_LINK_DECIDED, _MATCH_ASSESSED):
        return _pair(kind, leaf_id, payload, person)
    return Overwritten(FACT_ERASED, b"", loses_leaf=True) if leaf_id in person.ids else None


def names_person_of(fact: NewFact, ids: frozenset[bytes], index_key: IndexKey) -> bool:
    """Return whether a fact of a service is about a person with some identifiers."""
    if fact.leaf_id is None:
        return False
    # Pairs of identifiers are in canonical form, for which the region does not matter.
    person = ErasedPerson(fact.workspace_id, DEFAULT_REGION, ids, index_key)
    return overwrite(fact.kind, fact.leaf_id, fact.payload, person) is not None


def _own_event(event: Event, leaf_id: bytes, person: ErasedPerson) -> Overwritten:
    named = list(_named(event.identifiers, person))
    others = [one for one in named if one.id not in person.ids]
    is_claim = event.trust <= SourceTrust.PUBLIC or event.type == EVENT_TYPE_ALIAS
    rest = [one for one in named if one.id != leaf_id]
    erased = FactErased(
        identifiers=[_plain(one.message) for one in others],
        co_observed=not is_claim and _are_co_observed(rest, person.ids),
    )
    account = None
    if event.type == EVENT_TYPE_GROUP:
        account = account_leaf(person.workspace_id, event.group_id, person.index_key)
    values = _values(named, person.ids)
    return Overwritten(FACT_ERASED, erased.SerializeToString(), True, values, account, _ids(others))


def _erased_before(payload: bytes, person: ErasedPerson) -> Overwritten | None:
    """Return what takes the place of what an earlier erasure has left of a fact."""
    before = FactErased.FromString(payload)
    named = list(_named(before.identifiers, person))
    values = _values(named, person.ids)
    if not values:
        return None
    others = [one for one in named if one.id not in person.ids]
    erased = FactErased(
        identifiers=[_plain(one.message) for one in others],
        co_observed=before.co_observed and _are_co_observed(named, person.ids),
    )
    return Overwritten(FACT_ERASED, erased.SerializeToString(), False, values, left=_ids(others))


def _are_co_observed(named: Iterable[_NamedIdentifier], erased: frozenset[bytes]) -> bool:
    """Return whether the identifiers of others among these, those beside the leaf, are evidence for
    each other: around the strongest one, unless that is the person's; see
    `services.identity.domain.evidence`."""
    rest = {one.identifier: one.id for one in named}
    others = [id_ for id_ in rest.values() if id_ not in erased]
    return len(others) > 1 and rest[primary_identifier(rest)] not in erased


def _event_of_other(event: Event, person: ErasedPerson) -> Overwritten | None:
    if event.member_leaf_id:
        if event.member_leaf_id not in person.ids:
            return None
        event.member_leaf_id = NO_ID
        return Overwritten(EVENT, event.SerializeToString(), loses_leaf=False)
    named = list(_named(event.identifiers, person))
    values = _values(named, person.ids)
    if not values:
        return None
    left = [one.message for one in named if one.id not in person.ids]
    copies = [_copy(message) for message in left]
    del event.identifiers[:]
    event.identifiers.extend(copies)
    return Overwritten(EVENT, event.SerializeToString(), False, values)


def _pair(kind: str, leaf_id: bytes, payload: bytes, person: ErasedPerson) -> Overwritten | None:
    message = (LinkDecided if kind == _LINK_DECIDED else MatchAssessed).FromString(payload)
    named = list(_named((message.a, message.b), person))
    values = _values(named, person.ids)
    if not values and leaf_id not in person.ids:
        return None
    erased, others = FactErased(), list[_NamedIdentifier]()
    if kind == _LINK_DECIDED:  # a match is no sighting of its identifiers
        others = [one for one in named if one.id not in person.ids]
        erased.identifiers.extend(_plain(one.message) for one in others)
    return Overwritten(FACT_ERASED, erased.SerializeToString(), True, values, left=_ids(others))


def _named(
    messages: Iterable[IdentifierMessage], person: ErasedPerson
) -> Iterator[_NamedIdentifier]:
    for message in messages:
        found = person.id_of(message.namespace, message.value)
        if found is not None:
            yield _NamedIdentifier(message, *found)


def _ids(named: Iterable[_NamedIdentifier]) -> frozenset[bytes]:
    return frozenset(one.id for one in named)


def _values(named: Iterable[_NamedIdentifier], erased: frozenset[bytes]) -> set[str]:
    own = (one for one in named if one.id in erased)
    return {value for one in own for value in (one.message.value, one.identifier.value)}


def _plain(message: IdentifierMessage) -> IdentifierMessage:
    return IdentifierMessage(namespace=message.namespace, value=message.value)


def _copy(message: IdentifierMessage) -> IdentifierMessage:
    copied = IdentifierMessage()
    copied.CopyFrom(message)
    return copied


def searched_values(values: Iterable[str]) -> list[bytes]:
    """Return the bytes by which refused events of the person are found, ascending."""
    return sorted({value.encode() for value in values if len(value) >= _SHORTEST_SEARCHED})


def names_person(entry: QuarantinedEvent, person: ErasedPerson) -> bool:
    """Return whether a refused event names a person, in whatever spelling."""
    try:
        incoming = from_quarantine(entry)
    except DecodeError:
        return False
    if incoming is None or isinstance(incoming.event, Refusal):
        return False
    return person.is_named_by(incoming.event)


def decode_request(fact: Fact) -> ErasureRequest:
    """Return the request that a fact holds."""
    message = ErasureRequested.FromString(fact.payload)
    return ErasureRequest(
        fact.workspace_id,
        message.request_id,
        fact.recorded_at_us,
        fact.actor,
        message.legal_ground,
        message.block,
        tuple(message.identifier_ids),
        tuple(message.related_ids),
        tuple(message.token.offsets),
    )


def decode_folded(fact: Fact) -> tuple[bytes, ServiceRows]:
    """Return the request that a fact is about, and what a service has deleted."""
    message = ErasureFolded.FromString(fact.payload)
    return message.request_id, ServiceRows(message.service, dict(message.rows))


def requested_fact(request: ErasureRequest, index_key: IndexKey) -> NewFact:
    """Return the fact of a request, as identity has appended it."""
    payload = ErasureRequested(
        request_id=request.request_id,
        identifier_ids=request.identifier_ids,
        related_ids=request.related_ids,
        legal_ground=request.legal_ground,
        block=request.block,
        token=TokenMessage(offsets=request.known_to),
    ).SerializeToString(deterministic=True)
    return _fact(request, ERASURE_REQUESTED, payload, index_key, request.actor)


def erased_fact(request: ErasureRequest, totals: ErasureTotals, index_key: IndexKey) -> NewFact:
    """Return the fact by which services delete what they have of the person."""
    payload = PersonErased(
        request_id=request.request_id,
        identifier_ids=request.identifier_ids,
        changed_ids=sorted(totals.changed_ids),
        account_ids=sorted(totals.account_ids),
        facts=totals.facts,
        facts_of_others=totals.facts_of_others,
        refused_events=totals.refused_events,
        block=request.block,
    ).SerializeToString(deterministic=True)
    return _fact(request, PERSON_ERASED, payload, index_key, "ingest")


def _fact(
    request: ErasureRequest, kind: str, payload: bytes, index_key: IndexKey, actor: str
) -> NewFact:
    return NewFact(
        workspace_id=request.workspace_id,
        fact_id=FactId(hash_id(request.workspace_id, kind, request.request_id)),
        kind=kind,
        leaf_id=None,
        occurred_at_us=2**62,  # when it is recorded
        source_id="",
        actor=actor,
        payload=payload,
        content_tag=index_key.content_tag(request.workspace_id, payload),
    )


def erasures_to_proto(
    workspace_id: str, erasures: Iterable[ErasureStatus], index_key: IndexKey
) -> pb.ListErasuresResponse:
    """Return the response with erasures, each that was carried out with its certificate."""
    response = pb.ListErasuresResponse()
    for one in erasures:
        is_erased = one.erased_at_us is not None
        signed = certify(workspace_id, one, index_key) if is_erased else None
        response.erasures.add(
            request_id=to_hex(one.request_id),
            state=pb.ERASURE_STATE_ERASED if is_erased else pb.ERASURE_STATE_REQUESTED,
            requested_at_us=one.requested_at_us,
            actor=one.actor,
            legal_ground=one.legal_ground,
            block=one.block,
            identifiers=one.identifiers,
            erased_at_us=one.erased_at_us or 0,
            facts=one.facts,
            facts_of_others=one.facts_of_others,
            refused_events=one.refused_events,
            token=token_to_proto(Token(tuple(one.token))) if one.token else None,
            certificate=pb.ErasureCertificate(**signed._asdict()) if signed else None,
            services=[
                pb.ServiceErasure(service=service, rows=rows)
                for service, rows in sorted(one.folded.items())
            ],
        )
    return response
