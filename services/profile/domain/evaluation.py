"""How a profile stands, given its leaves and an instant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.kernel.fold.leaf import ProfileView
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import NO_ID, ProfileId, WorkspaceId
from services.profile.domain.model import Standing


class Question(NamedTuple):
    """Why a profile is looked at."""

    #: The predicates that may have changed; None = all.
    asked: frozenset[int] | None

    def also(self, other: Question) -> Question:
        """Both reasons."""
        if self.asked is None or other.asked is None:
            return EVERYTHING
        return Question(self.asked | other.asked)


_NONE: frozenset[int] = frozenset()
EVERYTHING = Question(None)
#: Time has passed: what is due by then is asked.
TIME = Question(frozenset())


def settle(
    question: Question, standing: Standing, view: ProfileView, catalogue: PredicateIndex, at_us: int
) -> Standing:
    """How a profile that has leaves stands now; the same object where nothing is to be written.

    What is not asked stays as it stands, unless its due has come. A later due is not worth a write:
    the profile is then looked at once more than needed. What is written has a due after `at_us`.
    """
    at_us = max(at_us, standing.at_us)
    is_back = standing.merged_into is not None
    is_due = standing.due_us is not None and standing.due_us <= at_us
    if question.asked is None or is_back or is_due:
        holds, due_us = evaluate(catalogue.predicates, view, catalogue, at_us)
    else:
        found, due_us = evaluate(question.asked, view, catalogue, at_us)
        holds = (standing.holds - question.asked) | found
        due_us = earlier(due_us, standing.due_us)
    if is_back or holds != standing.holds:
        return Standing(*standing[:3], holds, due_us, at_us)
    if is_due or earlier(due_us, standing.due_us) != standing.due_us:
        return standing._replace(due_us=due_us)
    return standing


def evaluate(
    asked: Iterable[int], view: ProfileView, catalogue: PredicateIndex, at_us: int
) -> tuple[frozenset[int], int | None]:
    """Which of the predicates asked hold, and the earliest due of any (None = never)."""
    found: list[int] = []
    due_us: int | None = None
    for id_ in asked:
        verdict = catalogue.predicates[id_].evaluate(view, at_us)
        if verdict.holds:
            found.append(id_)
        if verdict.next_due_us is not None and (due_us is None or verdict.next_due_us < due_us):
            due_us = verdict.next_due_us
    return frozenset(found), due_us


def vanish(standing: Standing, heir: ProfileId | None, at_us: int) -> Standing:
    """How a profile stands that has no leaves any more; its heir is who its own id belongs to.

    The same object where nothing is to be written.
    """
    if standing.merged_into is not None:
        return standing
    known_heir = heir if heir is not None and heir != standing.profile_id else ProfileId(NO_ID)
    return standing._replace(
        holds=_NONE, due_us=None, at_us=max(at_us, standing.at_us), merged_into=known_heir
    )


def newcomer(profile_id: ProfileId, workspace_id: WorkspaceId) -> Standing:
    """How a profile stands of which nothing was said yet: as one that has no leaves."""
    return Standing(profile_id, workspace_id, 0, _NONE, None, 0, ProfileId(NO_ID))


def is_news(before: Standing, now: Standing) -> bool:
    """Whether downstream must be told, and not only the due changed."""
    return before.holds != now.holds or before.merged_into != now.merged_into


def earlier(a: int | None, b: int | None) -> int | None:
    """The earlier of two instants; None is never."""
    if a is None:
        return b
    return a if b is None or a < b else b
