from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import NO_ID, ProfileId, WorkspaceId
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import CountPredicate, EventFilter, TraitPredicate
from services.kernel.rules.values import Operator
from services.profile.domain.decisions import Person, decide
from services.profile.domain.evaluation import EVERYTHING, TIME, Question, newcomer, settle, vanish
from services.profile.domain.model import Standing, standing_share

WORKSPACE, ME = WorkspaceId("w"), ProfileId(b"p" * 16)
RECENT = CountPredicate(EventFilter("viewed"), 10, Operator.GE, 1)
NEVER = CountPredicate(EventFilter("bought"), 0, Operator.EQ, 0)
LOCAL = TraitPredicate("city", Operator.EQ, "北京市")
HOME = '{"city":"北京市"}'.encode()
CATALOGUE = PredicateIndex([RECENT, NEVER, LOCAL])
RECENT_ID, NEVER_ID, LOCAL_ID = map(predicate_id, (RECENT, NEVER, LOCAL))


def view(*events: EventView) -> ProfileView:
    state = LeafState()
    for event in events:
        fold_event(state, event, CATALOGUE)
    return view_of([state])


def viewed(at_us: int) -> EventView:
    return EventView(TRACK, "viewed", at_us, bytes(16))


def stands(*holds: int, due: int | None = None, at: int = 0, version: int = 1) -> Standing:
    return Standing(ME, WORKSPACE, version, frozenset(holds), due, at)


def test_a_newcomer_is_told_even_where_nothing_holds() -> None:
    empty = PredicateIndex()
    standing = settle(Question(frozenset()), newcomer(ME, WORKSPACE), view(viewed(5)), empty, 7)
    assert standing == Standing(ME, WORKSPACE, 0, frozenset(), None, 7)


def test_what_is_not_asked_stays_as_it_stands() -> None:
    before = stands(LOCAL_ID)
    now = settle(Question(frozenset({RECENT_ID})), before, view(viewed(5)), CATALOGUE, 7)
    assert now == stands(LOCAL_ID, RECENT_ID, due=15, at=7)


def test_nothing_is_written_where_nothing_changed_or_a_due_is_put_off() -> None:
    before = stands(RECENT_ID, NEVER_ID, due=12, at=3)
    asked = Question(frozenset({RECENT_ID}))
    assert settle(asked, before, view(viewed(5)), CATALOGUE, 7) is before


def test_an_earlier_due_is_written() -> None:
    before = stands(RECENT_ID, NEVER_ID, due=40, at=3)
    asked = Question(frozenset({RECENT_ID}))
    now = settle(asked, before, view(viewed(5)), CATALOGUE, 7)
    assert now == stands(RECENT_ID, NEVER_ID, due=15, at=3)


def test_who_is_due_is_asked_everything_whatever_was_asked() -> None:
    before = stands(RECENT_ID, LOCAL_ID, NEVER_ID, due=15, at=3)
    now = settle(TIME, before, view(viewed(5)), CATALOGUE, 15)
    assert now == stands(NEVER_ID, at=15)
    later = settle(TIME, before, view(viewed(5), viewed(9)), CATALOGUE, 15)
    assert later == stands(RECENT_ID, NEVER_ID, due=19, at=15)


def test_time_never_goes_back_for_a_profile() -> None:
    before = stands(NEVER_ID, at=20)
    assert settle(EVERYTHING, before, view(viewed(5)), CATALOGUE, 7) is before


def test_a_profile_without_leaves_tells_its_heir() -> None:
    before = stands(RECENT_ID, due=9, at=3)
    heir = ProfileId(b"q" * 16)
    gone = vanish(before, heir, 8)
    assert gone == Standing(ME, WORKSPACE, 1, frozenset(), None, 8, heir)
    assert vanish(gone, ProfileId(b"r" * 16), 9) is gone
    assert vanish(before, ME, 8).merged_into == NO_ID
    assert standing_share(gone) == 0


def test_who_comes_back_is_told_anew() -> None:
    gone = vanish(stands(RECENT_ID, due=9, at=3), None, 8)
    back = settle(Question(frozenset()), gone, view(viewed(5)), CATALOGUE, 9)
    assert back == stands(RECENT_ID, NEVER_ID, due=15, at=9)


def test_the_digest_grows_by_what_changed() -> None:
    before = stands(RECENT_ID, version=4)
    person = Person(ME, WORKSPACE, before, view(viewed(5)))
    decided = decide({ME: EVERYTHING}, [person], {WORKSPACE: CATALOGUE}, 7)
    now = stands(RECENT_ID, NEVER_ID, due=15, at=7, version=4)
    assert list(decided.news) == [now]
    assert decided.deltas == {WORKSPACE: standing_share(now) - standing_share(before)}


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=15),
    st.lists(st.sampled_from([None, RECENT_ID, NEVER_ID]), max_size=10),
)
def test_any_questions_end_where_one_look_at_everything_ends(
    happened: list[tuple[int, int]], asked: list[int | None]
) -> None:
    """A worker asks what an event touches, when it comes, and who is due, when time has come."""
    state, standing, now_us = LeafState(), newcomer(ME, WORKSPACE), 0
    for at_us, kind in happened:
        event = (
            viewed(at_us),
            EventView(TRACK, "bought", at_us, bytes(16)),
            EventView(TRACK, "noise", at_us, bytes(16)),
            EventView(
                IDENTIFY, "", at_us, at_us.to_bytes(16, "big"), traits='{"city":"北京市"}'.encode()
            ),
        )[kind]
        now_us = max(now_us, at_us)
        if standing.due_us is not None and standing.due_us <= now_us:
            standing = settle(TIME, standing, view_of([state]), CATALOGUE, now_us)
        touched = fold_event(state, event, CATALOGUE)
        standing = settle(Question(touched), standing, view_of([state]), CATALOGUE, now_us)
    while standing.due_us is not None and standing.due_us <= 60:
        standing = settle(TIME, standing, view_of([state]), CATALOGUE, standing.due_us)
    plain = settle(EVERYTHING, newcomer(ME, WORKSPACE), view_of([state]), CATALOGUE, 60)
    assert standing.holds == plain.holds
