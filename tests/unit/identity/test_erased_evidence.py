"""What an erasure leaves of facts is evidence about others alone."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from index_key import INDEX_KEY
from onefold.identity.v1.identity_facts_pb2 import DECISION_LINK, DECISION_SEPARATE, LinkDecided
from onefold.log.v1.erasure_pb2 import FactErased
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_PUBLIC, SOURCE_TRUST_SERVER

from services.identity.codec.bus import EVENT, LINK_DECIDED, decode_facts
from services.identity.codec.compact_sets import SetCollector, identifier_set_of, span_of_compact
from services.identity.domain.evidence import Evidence
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import add_decisions
from services.ingest.codec.erasure import FACT_ERASED, overwrite
from services.ingest.domain.erasure import ErasedPerson
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from services.kernel.ids import WorkspaceId

WORKSPACE = WorkspaceId("w")
POOL = [
    Identifier(namespace, f"{namespace}-{number}@x.example")
    for namespace in ("user_id", "email", "member_id", "anonymous_id")
    for number in range(3)
]
some = st.lists(st.sampled_from(POOL), min_size=1, max_size=5, unique=True)


def id_of(identifier: Identifier) -> bytes:
    return identifier.id_in(WORKSPACE, INDEX_KEY)


def message(identifier: Identifier) -> IdentifierMessage:
    return IdentifierMessage(
        namespace=identifier.namespace, value=identifier.value, verified=len(identifier.value) % 2
    )


@st.composite
def facts_of(draw: st.DrawFn) -> Fact:
    identifiers = draw(some)
    at = draw(st.integers(1, 10**15))
    fact_id = draw(st.binary(min_size=16, max_size=16))
    ids = sorted(map(id_of, identifiers))
    if len(identifiers) == 2 and draw(st.booleans()):
        a, b = sorted(identifiers, key=id_of)
        decision = draw(st.sampled_from([DECISION_LINK, DECISION_SEPARATE]))
        decided = LinkDecided(a=message(a), b=message(b), decision=decision, reason="secret")
        kind, leaf, payload = LINK_DECIDED, ids[0], decided.SerializeToString()
    else:
        is_alias = len(identifiers) == 2 and draw(st.booleans())
        event = Event(
            type=EVENT_TYPE_ALIAS if is_alias else EVENT_TYPE_TRACK,
            name="secret",
            identifiers=map(message, identifiers),
            properties=b'{"secret": 1}',
            trust=draw(st.sampled_from([SOURCE_TRUST_PUBLIC, SOURCE_TRUST_SERVER])),
        )
        leaf = leaf_of(WORKSPACE, identifiers, INDEX_KEY)
        kind, payload = EVENT, event.SerializeToString()
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=fact_id,
        kind=kind,
        leaf_id=leaf,
        occurred_at_us=at,
        payload=payload,
    )


def evidence_in(facts: Iterable[Fact]) -> Evidence:
    cache, decoded, evidence = EvidenceCache(0, INDEX_KEY), decode_facts(facts), Evidence()
    for identifier_set, span in decoded.observations.items():
        evidence.add(cache.observation(identifier_set), span)
    add_decisions(evidence, cache, decoded.decisions)
    return evidence


def bulk_evidence_in(facts: Iterable[Fact]) -> Evidence:
    cache, collector, evidence = EvidenceCache(0, INDEX_KEY), SetCollector(), Evidence()
    decoded = collector.add(facts)
    for key, span in collector.by_workspace.get(WORKSPACE, {}).items():
        observation = cache.observation(identifier_set_of(WORKSPACE, key))
        evidence.add(observation, span_of_compact(span))
    add_decisions(evidence, cache, decoded.decisions)
    return evidence


def rows(evidence: Evidence) -> tuple[object, ...]:
    return evidence.first_seen, evidence.edges, evidence.decisions, evidence.identifiers


def overwritten(fact: Fact, person: ErasedPerson) -> Fact:
    new = overwrite(fact.kind, fact.leaf_id, fact.payload, person)
    if new is None:
        return fact
    assert len(new.payload) <= len(fact.payload)
    changed = Fact()
    changed.CopyFrom(fact)
    changed.kind, changed.payload = new.kind, new.payload
    if new.loses_leaf:
        changed.leaf_id = b"\xff" * 16
    return changed


erased_persons = st.sets(st.sampled_from(POOL), max_size=4)


@given(st.lists(facts_of(), max_size=6), erased_persons, erased_persons)
def test_overwritten_facts_have_the_evidence_about_others_and_no_other(
    facts: list[Fact], erased_before: set[Identifier], erased: set[Identifier]
) -> None:
    before = ErasedPerson(WORKSPACE, "CN", frozenset(map(id_of, erased_before)), INDEX_KEY)
    facts = [overwritten(fact, before) for fact in facts]
    ids = frozenset(map(id_of, erased))
    person = ErasedPerson(WORKSPACE, "CN", ids, INDEX_KEY)
    after = [overwritten(fact, person) for fact in facts]
    expected = evidence_in(facts)
    for table in (expected.first_seen, expected.identifiers):
        for id_ in ids & table.keys():
            del table[id_]
    for pairs in (expected.edges, expected.decisions):
        for pair in [pair for pair in pairs if not ids.isdisjoint(pair[:2])]:
            del pairs[pair]
    # The events of others are folded again, without the person.
    changed = [
        new for new, old in zip(after, facts, strict=True) if new.kind == EVENT and new != old
    ]
    for one in changed:
        found = evidence_in([one])
        for edge, span in found.edges.items():
            expected.edges[edge] = expected.edges.get(edge, span).union(span)
    assert rows(evidence_in(after)) == rows(expected)
    assert rows(bulk_evidence_in(after)) == rows(expected)
    for new in after:
        if new.kind == FACT_ERASED:
            assert b"secret" not in new.payload
            FactErased.FromString(new.payload)
        for identifier in erased:
            assert identifier.value.encode() not in new.payload


@given(facts_of(), st.sets(st.sampled_from(POOL), max_size=4))
def test_overwritten_fact_is_not_overwritten_again(fact: Fact, erased: set[Identifier]) -> None:
    person = ErasedPerson(WORKSPACE, "CN", frozenset(map(id_of, erased)), INDEX_KEY)
    after = overwritten(fact, person)
    assert overwrite(after.kind, after.leaf_id, after.payload, person) is None
