"""Reads the objects that persons are related to: accounts, courses, vehicles and others.

An object is an account as services.profile.domain.accounts describes it, and its type is a part of
its group id. A person is related to the objects that its group events name. Each counts once under
the type of the group id, whatever leaves the object has by now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from services.kernel.fold.events import read_value
from services.kernel.fold.leaf import LeafState, decode, encode, view_of
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.rules.features import Related
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Json
from services.profile.domain.evaluation import (
    EMPTY_INDEX,
    EvaluationScope,
    PredicateIndexes,
    ProfileState,
    related_only,
)

_JOB = "members of "


class ObjectLeaf(NamedTuple):
    """One leaf of an object."""

    profile_id: ProfileId
    leaf_id: LeafId
    object_type: str
    #: As `encode_traits` returns them.
    traits: bytes


def encode_traits(state: LeafState) -> bytes:
    """Return the traits of an object's leaf, without its members, who may be very many."""
    return encode(LeafState(traits=state.traits, party_traits=state.party_traits))


class RelatedObjects:
    """Some objects by their leaves; the traits of each are decoded once, when they are read."""

    def __init__(self, leaves: Iterable[ObjectLeaf] = ()) -> None:
        """`leaves`: all leaves of each object."""
        self._type_of: dict[bytes, tuple[str, ProfileId]] = {}
        self._leaves: dict[ProfileId, list[bytes]] = defaultdict(list)
        self._traits: dict[ProfileId, Mapping[str, Json]] = {}
        for leaf in leaves:
            self._type_of[leaf.leaf_id] = (leaf.object_type, leaf.profile_id)
            self._leaves[leaf.profile_id].append(leaf.traits)

    def of(self, leaves: Iterable[bytes]) -> dict[str, list[Mapping[str, Json]]]:
        """Return the traits of the objects of some leaves by type, each object once.

        A leaf that no object has is left out: its own group event has not been folded yet.
        """
        named = sorted({self._type_of[leaf] for leaf in leaves if leaf in self._type_of})
        related: dict[str, list[Mapping[str, Json]]] = defaultdict(list)
        for object_type, profile_id in named:
            related[object_type].append(self._traits_of(profile_id))
        return related

    def _traits_of(self, profile_id: ProfileId) -> Mapping[str, Json]:
        traits = self._traits.get(profile_id)
        if traits is None:
            stated = view_of(map(decode, self._leaves[profile_id])).traits()
            traits = {name: read_value(value[3]) for name, value in stated.items()}
            self._traits[profile_id] = traits
        return traits

    def add_to(self, profile: ProfileState) -> ProfileState:
        """Return a profile with its related objects."""
        if profile.view is None or not (accounts := profile.view.accounts):
            return profile
        return profile._replace(view=profile.view.with_related(self.of(accounts)))


class ObjectChange(NamedTuple):
    """An object that has changed for its members."""

    workspace_id: WorkspaceId
    profile_id: ProfileId
    #: The leaves of its members, ascending.
    members: Sequence[LeafId]
    #: The scope of the members.
    scope: EvaluationScope = related_only()


def object_changes(
    scopes: Mapping[ProfileId, EvaluationScope],
    profiles: Iterable[ProfileState],
    indexes: PredicateIndexes,
) -> list[ObjectChange]:
    """Return the objects among evaluated profiles that have changed for members with rules."""
    changes: list[ObjectChange] = []
    for profile in profiles:
        index, scope = indexes.get(profile.workspace_id, EMPTY_INDEX), scopes[profile.profile_id]
        is_read = index.related_predicates and scope.concerns_members
        if profile.view is not None and is_read and profile.is_account:
            members = [LeafId(leaf) for leaf in profile.view.members]
            own = related_only(scope.recorded_at_us, scope.occurred_at_us)
            changes.append(ObjectChange(profile.workspace_id, profile.profile_id, members, own))
    return changes


def object_leaves(profiles: Iterable[ProfileState], indexes: PredicateIndexes) -> set[bytes]:
    """Return the leaves of the objects that rules read when these profiles are evaluated."""
    return {
        leaf
        for profile in profiles
        if profile.view is not None
        and indexes.get(profile.workspace_id, EMPTY_INDEX).related_predicates
        for leaf in profile.view.accounts
    }


def reads_objects(predicates: Iterable[Predicate]) -> bool:
    """Return whether any predicate reads related objects."""
    return any(isinstance(predicate.feature, Related) for predicate in predicates)


def split_by_members(
    changes: Iterable[ObjectChange], most: int
) -> tuple[list[ObjectChange], list[ObjectChange]]:
    """Return the objects with at most `most` members together, the smallest first, and the rest."""
    now: list[ObjectChange] = []
    later: list[ObjectChange] = []
    for change in sorted(changes, key=lambda change: (len(change.members), change.profile_id)):
        most -= len(change.members)
        (now if most >= 0 else later).append(change)
    return now, later


def job_of(profile_id: ProfileId) -> str:
    """Return the name of the job that evaluates the members of an object."""
    return _JOB + profile_id.hex()


def object_of(job: str) -> ProfileId | None:
    """Return the object of a job by its name; None where it is a job of another kind."""
    return ProfileId(bytes.fromhex(job.removeprefix(_JOB))) if job.startswith(_JOB) else None


class MemberCursor(NamedTuple):
    """Where the next step of a job over the members of an object begins."""

    #: The number of steps so far; every step changes the cursor.
    step: int = 0
    #: The request that the round under way began with. A later one needs another round.
    run: int = 0
    #: The last member that the round has reached; empty = none.
    reached: bytes = b""

    def encode(self) -> bytes:
        return self.step.to_bytes(8, "big") + self.run.to_bytes(8, "big") + self.reached

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode what `encode` encoded; b"" is the beginning."""
        return cls(int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:16], "big"), raw[16:])

    def after(self, page: Sequence[bytes], run: int, *, is_last: bool) -> MemberCursor | None:
        """Return the cursor after a page of members; None where every request has had its round.

        `run`: that of the newest request.
        """
        # The first page of a round covers all requests so far.
        began = run if not self.reached else self.run
        if not is_last:
            return MemberCursor(self.step + 1, began, page[-1])
        return None if began == run else MemberCursor(self.step + 1)
