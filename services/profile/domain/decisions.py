"""Which profiles are looked at, and what follows for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.kernel.fold.leaf import ProfileView
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.profile.domain.assignments import Move
from services.profile.domain.evaluation import (
    EVERYTHING,
    Question,
    is_news,
    newcomer,
    settle,
    vanish,
)
from services.profile.domain.facts import Assignment
from services.profile.domain.model import NOTHING_ASKED, Catalogues, Standing, standing_share


@dataclass(frozen=True, slots=True)
class Person:
    """A profile as it is found."""

    profile_id: ProfileId
    workspace_id: WorkspaceId
    #: None where nothing was ever said of it.
    standing: Standing | None
    #: None where it has no leaves.
    view: ProfileView | None
    #: Who its own id belongs to, where it has no leaves.
    heir: ProfileId | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What follows for some profiles."""

    #: Standings that downstream must be told.
    news: Sequence[Standing] = ()
    #: Standings of which only the due changed.
    dues: Sequence[Standing] = ()
    #: What is added to the digest of each workspace.
    deltas: Mapping[str, int] = field(default_factory=dict)


def questions(
    leaves: Mapping[LeafId, Question],
    profiles: Mapping[ProfileId, Question],
    told: Mapping[IdentifierId, Assignment],
    known: Mapping[IdentifierId, Assignment],
    moved: Iterable[Move],
) -> dict[ProfileId, Question]:
    """What is asked of which profiles, once assignments have moved.

    An identifier that was not known has no leaf but one that is asked for anyway: it comes to be
    known with its leaf, or before it.
    """
    asked = dict(profiles)
    now = {**known, **{move.now.identifier_id: move.now for move in moved}}
    for leaf_id, question in leaves.items():
        _ask(asked, now[IdentifierId(leaf_id)].profile_id, question)
    for before, assignment in moved:
        if before is not None and before != assignment.profile_id:
            _ask(asked, before, EVERYTHING)
            _ask(asked, assignment.profile_id, EVERYTHING)
    return asked


def _ask(asked: dict[ProfileId, Question], profile_id: ProfileId, question: Question) -> None:
    known = asked.get(profile_id)
    asked[profile_id] = question if known is None else known.also(question)


def decide(
    asked: Mapping[ProfileId, Question],
    people: Iterable[Person],
    catalogues: Catalogues,
    at_us: int,
) -> Decided:
    """How these people stand as of an instant (Unix microseconds)."""
    news: list[Standing] = []
    dues: list[Standing] = []
    deltas: dict[str, int] = {}
    for person in people:
        if person.view is not None and person.view.is_account:
            continue  # rules are for persons: an account stands nowhere
        before = person.standing or newcomer(person.profile_id, person.workspace_id)
        if person.view is None:
            now = vanish(before, person.heir, at_us)
        else:
            catalogue = catalogues.get(person.workspace_id, NOTHING_ASKED)
            now = settle(asked[person.profile_id], before, person.view, catalogue, at_us)
        if is_news(before, now):
            news.append(now)
            delta = standing_share(now) - standing_share(before)
            deltas[now.workspace_id] = deltas.get(now.workspace_id, 0) + delta
        elif now is not before:
            dues.append(now)
    return Decided(news, dues, deltas)
