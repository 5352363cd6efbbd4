"""Tests which events the evidence cache takes for known, and the observations it makes."""

from __future__ import annotations

from services.identity.domain.evidence import Edge, EvidenceKind, FirstSeen, SeenSpan
from services.identity.domain.normalize import IdentifierSet, observation_of
from services.identity.domain.rows import EdgeRow, IdentifierRow
from services.identity.projection.evidence_cache import EvidenceCache
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId, WorkspaceId
from tests.index_key import INDEX_KEY

WORKSPACE = WorkspaceId("school")
FACT = FactId(bytes(16))
LEAF = LeafId(Identifier("user_id", "u").id_in(WORKSPACE, INDEX_KEY))


def identifier_set(value: str = "v") -> IdentifierSet:
    raw = (("user_id", "u", False), ("anonymous_id", value, False), ("cookie", "c", False))
    return (WORKSPACE, LEAF, EvidenceKind.OBSERVED, raw)


OBSERVATION = EvidenceCache(1, INDEX_KEY).observation(identifier_set())
FIRST_EDGE, OTHER_EDGE, *_ = OBSERVATION.edges


def rows(at_us: int) -> tuple[dict[IdentifierId, IdentifierRow], dict[Edge, EdgeRow]]:
    """Return the rows of the observation, all first seen at an instant and last on day 3."""
    first = FirstSeen(at_us, FACT)
    identifiers = {id_: IdentifierRow(ProfileId(LEAF), first) for id_ in OBSERVATION.identifiers}
    return identifiers, dict.fromkeys(OBSERVATION.edges, EdgeRow(SeenSpan(first, 3)))


def span(at_us: int, day: int = 3) -> SeenSpan:
    return SeenSpan(FirstSeen(at_us, FACT), day)


def test_evidence_may_be_added_until_all_rows_were_read() -> None:
    cache = EvidenceCache(10, INDEX_KEY)
    identifiers, edges = rows(5)
    cache.remember(identifier_set(), OBSERVATION, {}, edges)
    cache.remember(identifier_set(), OBSERVATION, identifiers, {FIRST_EDGE: edges[FIRST_EDGE]})
    assert cache.may_add(identifier_set(), span(6))
    cache.remember(identifier_set(), OBSERVATION, identifiers, edges)
    assert not cache.may_add(identifier_set(), span(6))


def test_evidence_at_the_latest_first_sighting_may_be_added() -> None:
    cache = EvidenceCache(10, INDEX_KEY)
    identifiers, edges = rows(5)
    edges[OTHER_EDGE] = EdgeRow(span(9))
    cache.remember(identifier_set(), OBSERVATION, identifiers, edges)
    assert cache.may_add(identifier_set(), span(9))
    assert not cache.may_add(identifier_set(), span(10))


def test_may_add_event_that_is_early_or_of_a_later_day() -> None:
    cache = EvidenceCache(10, INDEX_KEY)
    identifiers, edges = rows(5)
    edges[FIRST_EDGE] = EdgeRow(span(5, day=7))
    cache.remember(identifier_set(), OBSERVATION, identifiers, edges)
    assert cache.may_add(identifier_set(), span(5, day=0))
    assert not cache.may_add(identifier_set(), span(6))
    assert cache.may_add(identifier_set(), span(6, day=4))


def test_remember_keeps_identifier_sets_that_are_used() -> None:
    cache, late = EvidenceCache(4, INDEX_KEY), span(6)
    cache.remember(identifier_set("often"), OBSERVATION, *rows(5))
    for n in range(20):
        cache.remember(identifier_set(str(n)), OBSERVATION, *rows(5))
        assert not cache.may_add(identifier_set("often"), late)
    assert cache.may_add(identifier_set("0"), late)


def test_observation_of_placeholders_and_invalid_values_is_the_leaf_alone() -> None:
    values = (("user_id", "u"), ("phone", "000000"), ("e mail", "a@b.cn"), ("email", "x" * 600))
    raw = tuple((namespace, value, False) for namespace, value in values)
    found = observation_of((WORKSPACE, LEAF, EvidenceKind.OBSERVED, raw), "CN", INDEX_KEY)
    assert set(found.identifiers) == {LEAF}
    assert found.edges == ()


def test_observation_of_two_spellings_of_one_value_has_one_edge() -> None:
    values = (("user_id", "u"), ("email", "A@B.cn"), ("email", " a@b.cn"))
    raw = tuple((namespace, value, False) for namespace, value in values)
    found = observation_of((WORKSPACE, LEAF, EvidenceKind.STATED, raw), "CN", INDEX_KEY)
    (edge,) = found.edges
    assert edge.kind == EvidenceKind.STATED
    assert edge.a < edge.b


def test_observation_of_a_leaf_that_no_identifier_gives_has_its_id_alone() -> None:
    old = LeafId(bytes(range(16)))
    raw = (("user_id", "u", False),)
    found = observation_of((WORKSPACE, old, EvidenceKind.OBSERVED, raw), "CN", INDEX_KEY)
    assert found.identifiers[IdentifierId(old)].identifier is None
    assert len(found.edges) == 1
