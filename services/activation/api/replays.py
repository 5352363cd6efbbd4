"""Serves the calls of JourneyService that play journeys over the past, and send nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1 import journey_service_pb2_grpc as pb_grpc

from services.activation.codec.journey_runs import RUN_ENDS
from services.activation.commands.journeys import Assumed, JourneyCommands
from services.activation.domain.journeys.persons import EntryRefusal
from services.activation.domain.journeys.replay_tally import (
    NamedCount,
    ReplayTally,
    StepDay,
    effects_within,
)
from services.activation.domain.journeys.replays import ReplayedEffect
from services.activation.projection.journeys.replays import JourneyReplays, ReplayPage
from services.chassis.access.principal import workspace_id
from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.fields import at_least_of
from services.chassis.codec.journeys import coupon_pool_from_proto, journey_from_proto
from services.chassis.codec.rules import names_from_proto
from services.chassis.projection.runner import ProjectionRunner
from services.kernel.errors import InvalidField
from services.kernel.ids import to_hex
from services.kernel.journeys.model import Journey
from services.kernel.time import DAY_US

DEFAULT_PEOPLE, MAX_PEOPLE = 5, 100
SINCE_US, AHEAD_US, MAX_AHEAD_US = 30 * DAY_US, 7 * DAY_US, 366 * DAY_US
#: An instant after all others.
_FOREVER: Final = 2**63 - 1
_REFUSALS: Final = EnumNumbers(EntryRefusal, pb.EntryReason, "reason of an entry")


@dataclass(eq=False, kw_only=True)
class JourneyReplayRpc(pb_grpc.JourneyServiceServicer):
    """The calls of onefold.activation.v1.JourneyService that replay journeys."""

    runner: ProjectionRunner
    journeys: JourneyCommands
    replays: JourneyReplays

    async def TryJourney(
        self, request: pb.TryJourneyRequest, context: Any
    ) -> AsyncIterator[pb.TryJourneyResponse]:
        people = request.people or DEFAULT_PEOPLE
        if people > MAX_PEOPLE:
            raise InvalidField(f"is at most {MAX_PEOPLE}", field="people")
        ahead_us = request.ahead_us or AHEAD_US
        if not 0 < ahead_us <= MAX_AHEAD_US:
            raise InvalidField("is a span of at most 366 days", field="ahead_us")
        await self.runner.reach(at_least_of(request))
        journey = await self._checked(request.journey, request.assumed)
        now_us = await self.replays.known_us()
        since_us = request.since_us or now_us - SINCE_US
        tally, ahead = ReplayTally(people), ReplayTally(people)
        total = ReplayPage()
        pages = self.replays.tried(workspace_id(), journey, since_us, now_us + ahead_us, now_us)
        async with aclosing(pages) as found:
            async for page in found:
                total.persons += page.persons
                total.left_out += page.left_out
                for now, later in zip(page.before, page.replays, strict=True):
                    tally.add(now, _not_withdrawn(effects_within(now, since_us, _FOREVER)))
                    ahead.add(later, _not_withdrawn(effects_within(later, now_us + 1, _FOREVER)))
                yield pb.TryJourneyResponse(persons=total.persons, left_out=total.left_out)
        yield pb.TryJourneyResponse(
            persons=total.persons,
            left_out=total.left_out,
            now=_summary(tally),
            ahead=_counts(ahead.effects),
        )

    async def BacktestJourney(
        self, request: pb.BacktestJourneyRequest, context: Any
    ) -> AsyncIterator[pb.BacktestJourneyResponse]:
        if not request.basis:
            raise InvalidField("choose known or happened", field="basis")
        happened = request.basis == pb.BACKTEST_BASIS_HAPPENED
        if request.from_us <= 0:
            raise InvalidField("is the begin of the period", field="from_us")
        await self.runner.reach(at_least_of(request))
        end_us = request.to_us or _FOREVER
        workspace = workspace_id()
        if request.WhichOneof("of") == "journey":
            journey = await self._checked(request.journey, request.assumed)
            now_us = await self.replays.known_us()
            until_us = min(end_us, now_us)
            pages = self.replays.tried(
                workspace, journey, request.from_us, until_us, happened=happened
            )
        else:
            pages = self.replays.defined(workspace, request.journey_id, happened=happened)
        tally, total = ReplayTally(), ReplayPage()
        async with aclosing(pages) as found:
            async for page in found:
                total.persons += page.persons
                total.left_out += page.left_out
                effects: list[ReplayedEffect] = []
                for replay in page.replays:
                    own = list(effects_within(replay, request.from_us, end_us))
                    tally.add(replay, _not_withdrawn(own), request.from_us)
                    effects += own
                yield pb.BacktestJourneyResponse(
                    persons=total.persons, left_out=total.left_out, effects=map(_effect, effects)
                )
        yield pb.BacktestJourneyResponse(
            persons=total.persons, left_out=total.left_out, summary=_summary(tally)
        )

    async def _checked(self, journey: Any, assumed: pb.JourneyAssumptions) -> Journey:
        """Return a journey as it would be defined. Raises InvalidField with all mistakes."""
        desired, known = journey_from_proto(journey), assumed_from_proto(assumed)
        found = await self.journeys.define(workspace_id(), desired, dry_run=True, assumed=known)
        return found.defined.definition


def assumed_from_proto(assumed: pb.JourneyAssumptions) -> Assumed:
    """Return what a dry run takes as defined. Raises InvalidField."""
    return Assumed(
        assumed.destinations,
        assumed.templates,
        assumed.journeys,
        names_from_proto(assumed.rules, "assumed.rules"),
        [
            coupon_pool_from_proto(pool, f"assumed.coupon_pools[{index}]")
            for index, pool in enumerate(assumed.coupon_pools)
        ],
        assumed.queues,
    )


def _not_withdrawn(effects: Iterable[ReplayedEffect]) -> list[ReplayedEffect]:
    return [each for each in effects if not each.withdrawn]


def _summary(tally: ReplayTally) -> pb.ReplaySummary:
    return pb.ReplaySummary(
        begun=tally.begun,
        ended=[
            pb.RunEndCount(reason=RUN_ENDS.to_proto(reason), count=count)
            for reason, count in sorted(tally.ended.items(), key=lambda each: each[0].name)
        ],
        open=_counts(tally.open),
        refused=[
            pb.RefusalCount(reason=_REFUSALS.to_proto(reason), count=count)
            for reason, count in sorted(tally.refused.items(), key=lambda each: each[0].name)
        ],
        effects=_counts(tally.effects),
    )


def _counts(counts: Mapping[StepDay, NamedCount]) -> list[pb.ReplayCount]:
    return [
        pb.ReplayCount(
            step_id=at.step_id,
            day_us=at.day_us,
            count=counted.count,
            profile_ids=map(to_hex, counted.profile_ids),
        )
        for at, counted in sorted(counts.items(), key=lambda each: each[0][::-1])
    ]


def _effect(replayed: ReplayedEffect) -> pb.ReplayedEffect:
    effect = replayed.effect
    return pb.ReplayedEffect(
        effect_id=to_hex(effect.effect_id),
        run_id=to_hex(effect.run_id),
        profile_id=to_hex(effect.profile_id),
        step_id=effect.step_id,
        visit=effect.visit,
        at_us=effect.at_us,
        destination_id=effect.destination_id,
        withdrawn=replayed.withdrawn,
    )
