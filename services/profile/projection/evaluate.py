"""Settling: the profiles that may stand otherwise are locked, looked at and saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field

from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import LeafState, ProfileView, decode, view_of
from services.kernel.ids import IdentifierId, LeafId, ProfileId
from services.profile import metrics
from services.profile.domain.assignments import Move, at_stake, moves
from services.profile.domain.decisions import Decided, Person, decide, questions
from services.profile.domain.evaluation import Question
from services.profile.domain.facts import Assignment
from services.profile.domain.model import Standing, assignment_share
from services.profile.projection.ports import Rules
from services.profile.store import postgres as store
from services.profile.store.postgres import Connection, HeldLeaf


class PeopleHeld(ServiceUnavailable):
    """Somebody else holds people at stake: the whole transaction is to be tried again."""


@dataclass(slots=True)
class Asking:
    """Who is to be looked at, and why."""

    #: Whose profiles; each of them is in `told`.
    leaves: Mapping[LeafId, Question] = field(default_factory=dict)
    #: The newest word on identifiers: of identity, or (version 0) read off a fact.
    told: Mapping[IdentifierId, Assignment] = field(default_factory=dict)
    profiles: Mapping[ProfileId, Question] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.told or self.profiles)


class Settler:
    """Settles profiles in the open transaction of a fold."""

    def __init__(self, rulebook: Rules, shards: int, *, space: str = "profile") -> None:
        """`space` keeps locks apart from those that others take on the same ids."""
        self._rulebook = rulebook
        self._shards = shards
        self._salt = store.lock_salt(space)

    async def settle(
        self,
        conn: Connection,
        shard: int,
        asking: Asking,
        at_us: int,
        at_hand: Mapping[LeafId, LeafState] | None = None,
    ) -> Decided:
        """Look at the profiles asked for as of an instant (Unix microseconds), and save them.

        `shard` is the one that asks: its worker will look again at whom it saved, when time alone
        may have changed them.

        `at_hand`: states of leaves that were saved in this transaction. Everything that this worker
        does to leaves must be saved before: from here on, who waits for one of these profiles
        goes by what it then reads.
        """
        if not asking:
            return Decided()
        known = await self._hold(conn, asking)
        moved = moves(asking.told, known)
        if moved:
            await store.save_assignments(conn, moved, self._shards)
        asked = questions(asking.leaves, asking.profiles, asking.told, known, moved)
        people = await self._people(conn, asked.keys(), at_hand or {})
        decided = decide(asked, people, await self._rulebook.of_all(conn), at_us)
        metrics.LOOKS.inc(len(people))
        metrics.CHANGES.inc(len(decided.news))
        return await self._save(conn, shard, decided, moved)

    async def _hold(self, conn: Connection, asking: Asking) -> Mapping[IdentifierId, Assignment]:
        """Lock all that is at stake; whose the identifiers are, which nobody changes from here on.

        Locks are taken in one order. Where more turns out to be at stake, it is not waited for:
        that could close a circle of workers that wait for each other. Raises PeopleHeld where
        somebody else holds it.
        """
        known = await self._guess(conn, asking.told)
        held = at_stake(asking.told, known) | asking.profiles.keys()
        await store.lock(conn, held, self._salt)
        while True:
            known = await store.load_assignments(conn, asking.told.keys()) if asking.told else {}
            more = at_stake(asking.told, known) - held
            if not more:
                return known
            if not await store.try_lock(conn, more, self._salt):
                metrics.LOCK_RETRIES.inc()
                raise PeopleHeld("people at stake changed hands meanwhile; try again")
            held |= more

    async def _guess(
        self, conn: Connection, told: Mapping[IdentifierId, Assignment]
    ) -> Mapping[IdentifierId, Assignment]:
        """Whose the identifiers are likely to be. What is only read off facts is mostly known."""
        if any(assignment.version for assignment in told.values()):
            return await store.load_assignments(conn, told.keys())
        return told

    async def _people(
        self, conn: Connection, profiles: Set[ProfileId], at_hand: Mapping[LeafId, LeafState]
    ) -> list[Person]:
        """These profiles as they are; those of which nothing is known are left out."""
        leaves: dict[ProfileId, list[HeldLeaf]] = defaultdict(list)
        standings: dict[ProfileId, Standing | None] = {}
        for leaf, standing in await store.load_profiles(conn, profiles):
            leaves[leaf.profile_id].append(leaf)
            standings[leaf.profile_id] = standing
        people = [
            Person(profile_id, held[0].workspace_id, standings[profile_id], _view(held, at_hand))
            for profile_id, held in leaves.items()
        ]
        gone = profiles - leaves.keys()
        return people + (await self._gone(conn, gone) if gone else [])

    async def _gone(self, conn: Connection, profiles: Collection[ProfileId]) -> list[Person]:
        """Profiles that have no leaves any more, and their heirs."""
        standings = await store.load_standings(conn, profiles)
        now = await store.load_assignments(conn, standings.keys())
        heirs = {told.identifier_id: told.profile_id for told in now.values()}
        return [
            Person(p, standing.workspace_id, standing, None, heirs.get(IdentifierId(p)))
            for p, standing in standings.items()
        ]

    async def _save(
        self, conn: Connection, shard: int, decided: Decided, moved: list[Move]
    ) -> Decided:
        news, dues = decided.news, decided.dues
        if news:
            news = await store.save_standings(conn, shard, news, self._shards)
        if dues:
            await store.save_dues(conn, shard, dues, self._shards)
        deltas = dict(decided.deltas)
        for before, now in moved:
            add = assignment_share(now.identifier_id, now.profile_id)
            take = assignment_share(now.identifier_id, before) if before else 0
            deltas[now.workspace_id] = deltas.get(now.workspace_id, 0) + add - take
        return Decided(news, dues, deltas)


def _view(held: Iterable[HeldLeaf], at_hand: Mapping[LeafId, LeafState]) -> ProfileView:
    return view_of([at_hand.get(leaf.leaf_id) or decode(leaf.state) for leaf in held])
