from __future__ import annotations

from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import All, CountPredicate, EventFilter, Not, TraitPredicate
from services.kernel.rules.values import Operator
from services.profile.domain.profile import Mark, Told, mark_after, recall
from services.profile.domain.tags import Tag, answer, given, held, newest

VIEWED = CountPredicate(EventFilter("viewed"), 0, Operator.GE, 1)
LOCAL = TraitPredicate("city", Operator.EQ, "北京市")
KEEN = All((VIEWED, Not(LOCAL)))


def tag(tag_id: str, version: int = 1, *, retired: bool = False) -> Tag:
    return Tag(WorkspaceId("w"), tag_id, version, "t", KEEN, retired)


def fact(number: int) -> FactId:
    return FactId(number.to_bytes(16, "big"))


def test_the_newest_version_of_a_tag_counts() -> None:
    tags = newest([tag("b"), tag("a", 2), tag("a", 1)])
    assert [(t.tag_id, t.version) for t in tags.values()] == [("a", 2), ("b", 1)]


def test_a_tag_is_given_unless_it_is_retired_or_asks_what_is_not_live() -> None:
    tags = newest([tag("a"), tag("b", retired=True)])
    assert given(tags).keys() == {"a"}
    assert given(tags, {predicate_id(VIEWED), predicate_id(LOCAL)}).keys() == {"a"}
    assert given(tags, {predicate_id(VIEWED)}).keys() == set()


def test_an_answer_tells_each_predicate_of_the_rule() -> None:
    state = LeafState()
    fold_event(state, EventView(TRACK, "viewed", 5, fact(1)), PredicateIndex([VIEWED]))
    view = view_of([state])
    holds, answers = answer(KEEN, view, 9)
    assert holds
    assert answers == [(VIEWED, 1, True), (LOCAL, None, False)]
    assert held({"keen": KEEN, "local": LOCAL}, view, 9) == ["keen"]


def test_a_person_is_recalled_from_facts_of_several_leaves() -> None:
    ann, user = Identifier("anonymous_id", "a"), Identifier("user_id", "u")
    told = [
        Told(LeafId(b"a" * 16), EventView(TRACK, "viewed", 5, fact(1)), (ann,)),
        Told(LeafId(b"u" * 16), EventView(IDENTIFY, "", 7, fact(2), b"", b'{"n":1}'), (ann, user)),
    ]
    person = recall(told, PredicateIndex([VIEWED]))
    assert person.identifiers == {ann, user}
    assert person.leaf_ids == [b"a" * 16, b"u" * 16]
    assert (person.view.event_count, person.view.trait("n")) == (2, 1)


def test_a_mark_counts_the_entries_of_its_instant_over_pages() -> None:
    first = mark_after(None, [(9, fact(3)), (7, fact(2)), (7, fact(1))])
    assert first == Mark(7, fact(1), 2)
    assert mark_after(first, [(7, fact(0))]) == Mark(7, fact(0), 3)
    assert mark_after(first, [(7, fact(0)), (5, fact(9))]) == Mark(5, fact(9), 1)
