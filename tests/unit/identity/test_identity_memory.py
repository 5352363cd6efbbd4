from __future__ import annotations

from services.identity.domain.evidence import Edge, FirstSeen, SeenSpan, EvidenceKind
from services.identity.domain.normalize import IdentifierSet, observation_of
from services.identity.domain.rows import IdentifierRow, EdgeRow
from services.identity.projection.evidence_cache import EvidenceCache
from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId, WorkspaceId

WORKSPACE = WorkspaceId("school")
FACT = FactId(bytes(16))
LEAF = LeafId(Identifier("user_id", "u").id_in(WORKSPACE))


def names(value: str = "v") -> IdentifierSet:
    raw = (("user_id", "u", False), ("anonymous_id", value, False), ("cookie", "c", False))
    return (WORKSPACE, LEAF, EvidenceKind.OBSERVED, raw)


SAID = EvidenceCache(1).observation(names())
FIRST, LATER, *_ = SAID.edges


def kept(at: int) -> tuple[dict[IdentifierId, IdentifierRow], dict[Edge, EdgeRow]]:
    first = FirstSeen(at, FACT)
    known = {id_: IdentifierRow(ProfileId(LEAF), first) for id_ in SAID.identifiers}
    return known, dict.fromkeys(SAID.edges, EdgeRow(SeenSpan(first, 3)))


def test_nothing_is_settled_until_all_of_it_was_read() -> None:
    memory = EvidenceCache(10)
    known, edges = kept(5)
    memory.remember(names(), SAID, {}, edges)
    memory.remember(names(), SAID, known, {FIRST: edges[FIRST]})
    assert memory.may_add(names(), SeenSpan(FirstSeen(6, FACT), 3))
    memory.remember(names(), SAID, known, edges)
    assert not memory.may_add(names(), SeenSpan(FirstSeen(6, FACT), 3))


def test_what_was_seen_last_decides_since_when_nothing_is_new() -> None:
    memory = EvidenceCache(10)
    known, edges = kept(5)
    edges[LATER] = EdgeRow(SeenSpan(FirstSeen(9, FACT), 3))
    memory.remember(names(), SAID, known, edges)
    assert memory.may_add(names(), SeenSpan(FirstSeen(9, FACT), 3))
    assert not memory.may_add(names(), SeenSpan(FirstSeen(10, FACT), 3))


def test_an_event_is_news_where_it_is_early_or_of_a_later_day() -> None:
    memory = EvidenceCache(10)
    known, edges = kept(5)
    edges[FIRST] = EdgeRow(SeenSpan(FirstSeen(5, FACT), 7))
    memory.remember(names(), SAID, known, edges)
    assert memory.may_add(names(), SeenSpan(FirstSeen(5, FACT), 0))
    assert not memory.may_add(names(), SeenSpan(FirstSeen(6, FACT), 3))
    assert memory.may_add(names(), SeenSpan(FirstSeen(6, FACT), 4))


def test_the_same_names_are_remembered_while_they_are_used() -> None:
    memory, late = EvidenceCache(4), SeenSpan(FirstSeen(6, FACT), 3)
    memory.remember(names("often"), SAID, *kept(5))
    for n in range(20):
        memory.remember(names(str(n)), SAID, *kept(5))
        assert not memory.may_add(names("often"), late)
    assert memory.may_add(names("0"), late)


def test_junk_and_faulty_identifiers_say_nothing() -> None:
    told = (("user_id", "u"), ("phone", "000000"), ("e mail", "a@b.cn"), ("email", "x" * 600))
    raw = tuple((namespace, value, False) for namespace, value in told)
    said = observation_of((WORKSPACE, LEAF, EvidenceKind.OBSERVED, raw), "CN")
    assert set(said.identifiers) == {LEAF}
    assert said.edges == ()


def test_forms_of_one_value_are_one_identifier() -> None:
    told = (("user_id", "u"), ("email", "A@B.cn"), ("email", " a@b.cn"))
    raw = tuple((namespace, value, False) for namespace, value in told)
    said = observation_of((WORKSPACE, LEAF, EvidenceKind.STATED, raw), "CN")
    (edge,) = said.edges
    assert edge.kind == EvidenceKind.STATED
    assert edge.a < edge.b


def test_a_leaf_that_no_identifier_gives_is_named_by_its_id() -> None:
    old = LeafId(bytes(range(16)))
    said = observation_of((WORKSPACE, old, EvidenceKind.OBSERVED, (("user_id", "u", False),)), "CN")
    assert said.identifiers[IdentifierId(old)].identifier is None
    assert len(said.edges) == 1
