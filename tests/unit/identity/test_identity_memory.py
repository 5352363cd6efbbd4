from __future__ import annotations

from services.identity.domain.facts import Edge, First, Span, Strength, span_of
from services.identity.domain.model import Known, KnownEdge
from services.identity.domain.naming import Names, mention_of
from services.identity.memory import NEVER, Memory, Remembered
from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId, WorkspaceId

WORKSPACE = WorkspaceId("school")
FACT = FactId(bytes(16))
LEAF = LeafId(Identifier("user_id", "u").id_in(WORKSPACE))


def names(value: str = "v") -> Names:
    raw = (("user_id", "u", False), ("anonymous_id", value, False))
    return (WORKSPACE, LEAF, Strength.OBSERVED, raw)


def kept(
    remembered: Remembered, at: int
) -> tuple[dict[IdentifierId, Known], dict[Edge, KnownEdge]]:
    first = First(at, FACT)
    mention = remembered.mention
    known = {id_: Known(ProfileId(LEAF), first) for id_ in mention.names}
    return known, dict.fromkeys(mention.edges, KnownEdge(span_of(first)))


def test_nothing_is_settled_until_all_of_it_was_read() -> None:
    remembered = Memory(10).recall(names())
    known, edges = kept(remembered, 5)
    remembered.settle({}, edges)
    remembered.settle(known, {})
    assert remembered.settled_us == NEVER
    remembered.settle(known, edges)
    assert remembered.settled_us == 5


def test_what_was_seen_last_decides_since_when_nothing_is_new() -> None:
    remembered = Memory(10).recall(names())
    known, edges = kept(remembered, 5)
    edges[remembered.mention.edges[0]] = KnownEdge(span_of(First(9, FACT)))
    remembered.settle(known, edges)
    assert remembered.settled_us == 9


def test_an_event_is_news_where_it_is_early_or_of_a_later_day() -> None:
    remembered = Memory(10).recall(names())
    known, edges = kept(remembered, 5)
    edges[remembered.mention.edges[0]] = KnownEdge(Span(First(5, FACT), 3))
    remembered.settle(known, edges)
    assert remembered.is_news(Span(First(5, FACT), 0))
    assert not remembered.is_news(Span(First(6, FACT), 3))
    assert remembered.is_news(Span(First(6, FACT), 4))


def test_the_same_names_are_remembered_while_they_are_used() -> None:
    memory = Memory(4)
    often = memory.recall(names("often"))
    for n in range(20):
        memory.recall(names(str(n)))
        assert memory.recall(names("often")) is often


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
