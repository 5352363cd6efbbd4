from __future__ import annotations

from services.identity.domain.evidence import Edge, First, Span, Strength
from services.identity.domain.normalize import Names, mention_of
from services.identity.domain.rows import Known, KnownEdge
from services.identity.projection.evidence_cache import Memory
from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId, WorkspaceId

WORKSPACE = WorkspaceId("school")
FACT = FactId(bytes(16))
LEAF = LeafId(Identifier("user_id", "u").id_in(WORKSPACE))


def names(value: str = "v") -> Names:
    raw = (("user_id", "u", False), ("anonymous_id", value, False), ("cookie", "c", False))
    return (WORKSPACE, LEAF, Strength.OBSERVED, raw)


SAID = Memory(1).mention(names())
FIRST, LATER, *_ = SAID.edges


def kept(at: int) -> tuple[dict[IdentifierId, Known], dict[Edge, KnownEdge]]:
    first = First(at, FACT)
    known = {id_: Known(ProfileId(LEAF), first) for id_ in SAID.names}
    return known, dict.fromkeys(SAID.edges, KnownEdge(Span(first, 3)))


def test_nothing_is_settled_until_all_of_it_was_read() -> None:
    memory = Memory(10)
    known, edges = kept(5)
    memory.settle(names(), SAID, {}, edges)
    memory.settle(names(), SAID, known, {FIRST: edges[FIRST]})
    assert memory.is_news(names(), Span(First(6, FACT), 3))
    memory.settle(names(), SAID, known, edges)
    assert not memory.is_news(names(), Span(First(6, FACT), 3))


def test_what_was_seen_last_decides_since_when_nothing_is_new() -> None:
    memory = Memory(10)
    known, edges = kept(5)
    edges[LATER] = KnownEdge(Span(First(9, FACT), 3))
    memory.settle(names(), SAID, known, edges)
    assert memory.is_news(names(), Span(First(9, FACT), 3))
    assert not memory.is_news(names(), Span(First(10, FACT), 3))


def test_an_event_is_news_where_it_is_early_or_of_a_later_day() -> None:
    memory = Memory(10)
    known, edges = kept(5)
    edges[FIRST] = KnownEdge(Span(First(5, FACT), 7))
    memory.settle(names(), SAID, known, edges)
    assert memory.is_news(names(), Span(First(5, FACT), 0))
    assert not memory.is_news(names(), Span(First(6, FACT), 3))
    assert memory.is_news(names(), Span(First(6, FACT), 4))


def test_the_same_names_are_remembered_while_they_are_used() -> None:
    memory, late = Memory(4), Span(First(6, FACT), 3)
    memory.settle(names("often"), SAID, *kept(5))
    for n in range(20):
        memory.settle(names(str(n)), SAID, *kept(5))
        assert not memory.is_news(names("often"), late)
    assert memory.is_news(names("0"), late)


def test_junk_and_faulty_identifiers_say_nothing() -> None:
    told = (("user_id", "u"), ("phone", "000000"), ("e mail", "a@b.cn"), ("email", "x" * 600))
    raw = tuple((namespace, value, False) for namespace, value in told)
    said = mention_of((WORKSPACE, LEAF, Strength.OBSERVED, raw), "CN")
    assert set(said.names) == {LEAF}
    assert said.edges == ()


def test_forms_of_one_value_are_one_identifier() -> None:
    told = (("user_id", "u"), ("email", "A@B.cn"), ("email", " a@b.cn"))
    raw = tuple((namespace, value, False) for namespace, value in told)
    said = mention_of((WORKSPACE, LEAF, Strength.STATED, raw), "CN")
    (edge,) = said.edges
    assert edge.strength == Strength.STATED
    assert edge.a < edge.b


def test_a_leaf_that_no_identifier_gives_is_named_by_its_id() -> None:
    old = LeafId(bytes(range(16)))
    said = mention_of((WORKSPACE, old, Strength.OBSERVED, (("user_id", "u", False),)), "CN")
    assert said.names[IdentifierId(old)].identifier is None
    assert len(said.edges) == 1
