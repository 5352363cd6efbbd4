"""Replays journeys over what is stored of persons, page by page; nothing is locked or written."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import asyncpg

from services.activation.domain.journeys.catalogue import JourneyHistory, JourneyVersion
from services.activation.domain.journeys.looks import LeafMoved
from services.activation.domain.journeys.program import compile_journey
from services.activation.domain.journeys.replays import (
    HoursOf,
    LeafGroup,
    PersonalQuestion,
    Replay,
    messages_of_edit,
    replay_as_happened,
    replay_as_learnt,
    replay_recorded,
)
from services.activation.domain.journeys.run import ContactHours
from services.activation.domain.journeys.transitions import RunBegan
from services.activation.projection.journeys.knowledge import (
    GroupQuestion,
    JourneyReads,
    PastPerson,
    PastReads,
)
from services.activation.projection.journeys.player import contact_hours, needs_zone
from services.activation.store import run_reads
from services.activation.store.journeys import load_journeys_of_workspace, load_policy_versions
from services.activation.store.replays import FIRST_LEAF, load_group_page, load_moves
from services.chassis.definitions import WorkspaceLocks
from services.chassis.postgres.database import Database, acquire
from services.chassis.runtime.prefetch import prefetch
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.model import (
    DateTrigger,
    EventTrigger,
    Journey,
    SegmentTrigger,
    StageTrigger,
)
from services.kernel.time import HOUR_US

T = TypeVar("T")
#: Leaves that are read together, and groups that are replayed while other calls wait.
PAGE: Final = 500
TURN: Final = 10


@dataclass
class ReplayPage:
    """What was found of some persons."""

    persons: int = 0
    #: Those that could not be replayed.
    left_out: int = 0
    replays: list[Replay] = field(default_factory=list)
    #: The same up to an earlier instant.
    before: list[Replay] = field(default_factory=list)

    def add(self, replay: Replay | None, group: LeafGroup, known_us: int) -> None:
        """Add the replay of a group; None = it could not be replayed."""
        persons = count_persons(group, known_us)
        self.persons += persons
        if replay is None:
            self.left_out += persons
            return
        self.left_out += len({needed.profile_id for needed in replay.questions} | replay.left_out)
        self.replays.append(replay)


@dataclass(frozen=True)
class ReplayedJourney:
    """What a replay rests on besides persons."""

    history: JourneyHistory
    #: Ascending, each with the instant from which on it counts.
    policies: Sequence[tuple[int, ContactPolicy]]
    #: Up to when every shard has taken in the log, Unix microseconds.
    known_us: int

    @property
    def needs_zone(self) -> bool:
        """Whether the zones of persons count."""
        return any(needs_zone(self.history, policy) for _, policy in self.policies)


@dataclass(frozen=True)
class JourneyReplays:
    """Replays journeys; one replay of a workspace at a time."""

    database: Database
    upstream: JourneyReads
    past: PastReads
    turns: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def defined(
        self, workspace_id: WorkspaceId, journey_id: str, *, happened: bool
    ) -> AsyncGenerator[ReplayPage]:
        """Replay a journey in its versions of then: as it was looked at, or as it happened.

        Raises NotFound, RetryableError.
        """
        async with self.turns.of(workspace_id):
            journey = await self._journey(workspace_id, journey_id)
            history, known_us = journey.history, journey.known_us
            async for groups in self._stored(workspace_id, journey_id):
                hours = await self._hours(journey, groups)
                found = ReplayPage()
                async for group, own in _in_turns(zip(groups, hours, strict=True)):
                    if lacks_facts(group, history):
                        found.add(None, group, known_us)
                    elif happened:
                        replay = replay_as_happened(group, history, own, known_us, {})
                        found.add(replay, group, known_us)
                    else:
                        found.add(replay_recorded(group, history, own, known_us), group, known_us)
                yield found

    async def tried(
        self,
        workspace_id: WorkspaceId,
        journey: Journey,
        from_us: int,
        until_us: int,
        before_us: int = 0,
        *,
        happened: bool = False,
    ) -> AsyncGenerator[ReplayPage]:
        """Replay a definition as if it had been in force from an instant until another one.

        `before_us`: also until this instant, for `ReplayPage.before`; 0 = not.

        Persons are those of now, and as they were one after the other where activation knows it.
        With `happened` only what happened counts, not when it was learnt. Coupons are never used,
        and nothing is reported of messages. Raises InvalidField, RetryableError.
        """
        check_tried(journey)
        async with self.turns.of(workspace_id):
            tried = await self._tried(workspace_id, journey, from_us)
            replaying = _Trying(tried, self.past, until_us, before_us, happened)
            pages = prefetch(self.past.persons(workspace_id, journey, from_us))
            async with aclosing(pages) as read:
                async for persons in read:
                    groups = await self._groups(workspace_id, persons, happened=happened)
                    yield await replaying.replay(groups, await self._hours(tried, groups))

    async def count_edit(self, workspace_id: WorkspaceId, journey: Journey) -> int:
        """Return how many messages a new version would send to people inside within an hour.

        Those that are sent without it are left out. Raises RetryableError.
        """
        current = await self._journey(workspace_id, journey.journey_id)
        history, known_us = current.history, current.known_us
        version = JourneyVersion(known_us, compile_journey(journey))
        edited = replace(history, versions=(*history.versions, version))
        count, until_us = 0, known_us + HOUR_US
        async for groups in self._stored(workspace_id, journey.journey_id):
            hours = await self._hours(current, groups)
            async for group, own in _in_turns(zip(groups, hours, strict=True)):
                count += messages_of_edit(group, history, edited, own, known_us, until_us)
        return count

    async def _stored(
        self, workspace_id: WorkspaceId, journey_id: str
    ) -> AsyncGenerator[list[LeafGroup]]:
        """Yield the groups of leaves with facts or runs of a journey, page by page."""
        after: LeafId | None = FIRST_LEAF
        while after is not None:
            async with self._snapshot() as conn:
                page = await load_group_page(conn, workspace_id, journey_id, after, PAGE)
            after = page.after
            yield page.groups

    async def _tried(
        self, workspace_id: WorkspaceId, journey: Journey, from_us: int
    ) -> ReplayedJourney:
        async with self._snapshot() as conn:
            policies = await load_policy_versions(conn, workspace_id)
            known_us = await run_reads.load_known_us(conn)
        version = JourneyVersion(from_us, compile_journey(journey))
        return ReplayedJourney(JourneyHistory((version,)), [(0, policies[-1][1])], known_us)

    async def _groups(
        self, workspace_id: WorkspaceId, persons: Sequence[PastPerson], *, happened: bool
    ) -> list[LeafGroup]:
        """Return persons as groups of leaves; `happened`: which are one person all the time."""
        own = [person for person in persons if person.facts]
        moves: defaultdict[LeafId, list[LeafMoved]] = defaultdict(list)
        if not happened and own:
            async with self._snapshot() as conn:
                leaves = [leaf_id for person in own for leaf_id in person.leaf_ids]
                for move in await load_moves(conn, workspace_id, leaves):
                    moves[move.leaf_id].append(move)
        return [
            LeafGroup(
                workspace_id,
                frozenset(person.leaf_ids),
                person.facts,
                [
                    move
                    for leaf_id in person.leaf_ids
                    for move in moves.get(leaf_id)
                    or [LeafMoved(workspace_id, leaf_id, person.profile_id, 0, 0)]
                ],
            )
            for person in own
        ]

    async def known_us(self) -> int:
        """Return the instant up to which every shard has taken in the log."""
        async with self._snapshot() as conn:
            return await run_reads.load_known_us(conn)

    async def _journey(self, workspace_id: WorkspaceId, journey_id: str) -> ReplayedJourney:
        async with self._snapshot() as conn:
            history = (await load_journeys_of_workspace(conn, workspace_id)).get(journey_id)
            policies = await load_policy_versions(conn, workspace_id)
            known_us = await run_reads.load_known_us(conn)
        if history is None:
            raise NotFound("no journey has this id; list them")
        return ReplayedJourney(history, policies, known_us)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        """Open one consistent state that is only read."""
        async with (
            acquire(self.database.api_pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield conn

    async def _hours(self, journey: ReplayedJourney, groups: Sequence[LeafGroup]) -> list[HoursOf]:
        """Return the contact hours of the persons of each group; each person has today's zone."""
        if not journey.needs_zone:
            return [_Hours(journey.policies, {}, {}).at] * len(groups)
        current = [
            {
                ProfileId(leaf_id): profile_id
                for profile_id, leaves in group.persons(journey.known_us).items()
                for leaf_id in leaves
            }
            for group in groups
        ]
        zones: dict[ProfileId, str] = {}
        if groups:
            policy = journey.policies[-1][1].zone
            persons = {
                (group.workspace_id, profile_id): policy
                for group, own in zip(groups, current, strict=True)
                for profile_id in own.values()
            }
            found = await self.upstream.zones(persons)
            zones = {profile_id: zone for (_, profile_id), zone in found.items()}
        return [_Hours(journey.policies, own, zones).at for own in current]


@dataclass(frozen=True)
class _Trying:
    """Replays groups of leaves, and has the questions answered on which they wait."""

    journey: ReplayedJourney
    past: PastReads
    until_us: int
    #: For `ReplayPage.before`; 0 = not.
    before_us: int
    happened: bool

    async def replay(self, groups: Sequence[LeafGroup], hours: Sequence[HoursOf]) -> ReplayPage:
        """Return the replays of some groups. Raises OnefoldError."""
        found = ReplayPage()
        answers: list[dict[PersonalQuestion, bool]] = [{} for _ in groups]
        waiting = list(range(len(groups)))
        while waiting:
            needed: list[tuple[int, PersonalQuestion, GroupQuestion]] = []
            async for number in _in_turns(waiting):
                group, own = groups[number], answers[number]
                replay = self._play(group, hours[number], self.until_us, own)
                if replay.questions:
                    needed += [(number, *each) for each in self._needed(group, replay)]
                    continue
                found.add(replay, group, self.journey.known_us)
                if self.before_us:
                    found.before.append(self._play(group, hours[number], self.before_us, own))
            if needed:
                workspace_id = groups[0].workspace_id
                known = await self.past.judge(workspace_id, [past for *_, past in needed])
                for (number, question, _), answer in zip(needed, known, strict=True):
                    answers[number][question] = answer
            waiting = sorted({number for number, *_ in needed})
        return found

    def _play(
        self,
        group: LeafGroup,
        hours: HoursOf,
        until_us: int,
        answers: Mapping[PersonalQuestion, bool],
    ) -> Replay:
        replay_of = replay_as_happened if self.happened else replay_as_learnt
        return replay_of(group, self.journey.history, hours, until_us, answers)

    def _needed(
        self, group: LeafGroup, replay: Replay
    ) -> Iterator[tuple[PersonalQuestion, GroupQuestion]]:
        """Yield what a replay waits for, about the leaves of the person at that look."""
        for needed, known_us in replay.questions.items():
            leaves = tuple(sorted(group.persons(known_us)[needed.profile_id]))
            until_us = 0 if self.happened else known_us
            yield needed, GroupQuestion(leaves, needed.question, until_us)


class _Hours:
    """The contact hours of the persons of a group."""

    def __init__(
        self,
        policies: Sequence[tuple[int, ContactPolicy]],
        current: Mapping[ProfileId, ProfileId],
        zones: Mapping[ProfileId, str],
    ) -> None:
        self._policies, self._current, self._zones = policies, current, zones
        self._since = [since_us for since_us, _ in policies]
        self._known: dict[tuple[int, str], ContactHours] = {}

    def at(self, profile_id: ProfileId, at_us: int) -> ContactHours:
        """Return the contact hours of a person by the policy of an instant."""
        number = max(0, bisect_right(self._since, at_us) - 1)
        policy = self._policies[number][1]
        person = self._current.get(profile_id, profile_id)
        key = number, self._zones.get(person, policy.zone.default)
        if key not in self._known:
            self._known[key] = contact_hours(policy, key[1])
        return self._known[key]


async def _in_turns(groups: Iterable[T]) -> AsyncIterator[T]:
    """Yield groups; other calls run after each TURN of them."""
    for number, group in enumerate(groups):
        if number % TURN == 0:
            await asyncio.sleep(0)
        yield group


def check_tried(journey: Journey) -> None:
    """Raise InvalidField where what begins runs is not in the log of a workspace as it is."""
    if not isinstance(journey.entry.by, (EventTrigger, SegmentTrigger, StageTrigger)):
        raise InvalidField(
            "only a journey that begins with an event, a segment or a stage can be tried: define"
            " it, and backtest it by its id",
            field="journey.entry",
        )


def count_persons(group: LeafGroup, known_us: int) -> int:
    """Return how many persons a group has at an instant that have facts."""
    if len(group.leaves) == 1:
        return 1
    known = {fact.leaf_id for fact in group.facts}
    return sum(not known.isdisjoint(leaves) for leaves in group.persons(known_us).values()) or 1


def lacks_facts(group: LeafGroup, history: JourneyHistory) -> bool:
    """Return whether the fact that has begun a run is not stored any more.

    The entry of a date has an id of its own, so it is not looked for.
    """
    if isinstance(history.versions[-1].program.journey.entry.by, DateTrigger):
        return False
    known = {fact.fact_id for fact in group.facts}
    changes = (each.transition.change for each in group.transitions)
    return any(isinstance(own, RunBegan) and own.entry.fact_id not in known for own in changes)
