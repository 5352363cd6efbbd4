"""Reads the services upstream: messages the bus lost, checks of rules, what journeys need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.profile.v1 import profile_service_pb2_grpc as profile_grpc
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1 import segment_service_pb2_grpc as segment_grpc
from onefold.segment.v1.segment_stream_pb2 import MembershipChange
from onefold.type.v1 import identifier_pb2

from services.activation.codec.journey_inputs import event_fact, membership_fact
from services.activation.codec.recipients import ids_of
from services.activation.domain.decisions import SlotPerson
from services.activation.domain.journeys.catalogue import subjects_of
from services.activation.domain.journeys.program import SEGMENT, Subject
from services.activation.domain.policy.gate import PROFILING
from services.activation.domain.recommendations import RECENT, PersonItems
from services.activation.projection.journeys.knowledge import (
    GroupQuestion,
    PastPerson,
    Person,
    PersonQuestion,
)
from services.chassis.access.principal import workspace_metadata
from services.chassis.codec.fields import token_to_proto
from services.chassis.codec.journeys import journey_to_proto
from services.chassis.codec.rules import names_to_proto, rule_to_proto
from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.phone_zones import zones_of_phone
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, from_hex, to_hex
from services.kernel.journeys.contact_policy import ZonePolicy, zone_of
from services.kernel.journeys.model import Journey
from services.kernel.journeys.naming import JourneyProblem, journey_rules, named_memberships
from services.kernel.journeys.ranking import ItemEvents, ItemRanking
from services.kernel.rules.model import Rule
from services.kernel.rules.references import Name
from services.kernel.tokens import Token

#: The most questions of one call.
_MAX_QUESTIONS: Final = 1_000
#: The newest events that are searched for the last items of a person.
_NEWEST: Final = 200
_PAGE: Final = 1_000
#: Histories that are read beside each other.
_MAX_READS: Final = 8


class SegmentUpstream:
    """Segment's outbox; the coordinate of its messages is their sequence."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = segment_grpc.SegmentServiceStub(channel)

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        """See `Upstream`. Raises OnefoldError."""
        request = pb.ReadOutboxRequest(
            shard=shard, from_sequence=first, end_sequence=end, life=life
        )
        async for response in self._stub.ReadOutbox(request):
            batch = response.batch
            next_sequence = response.next_sequence or batch.sequence + 1
            payload = batch.SerializeToString()
            yield StreamMessage(batch.sequence, next_sequence, payload, response.life)


@dataclass(frozen=True)
class RuleChecker:
    """Has profile check rules beside the others of a workspace."""

    profile: ServiceChannel

    async def problems(
        self,
        workspace_id: WorkspaceId,
        journey: Journey,
        at_least: Token,
        assumed: Collection[Name],
    ) -> list[JourneyProblem]:
        """Return the rules and memberships of a journey that cannot be, with the reasons.

        `assumed`: what is taken as defined. Raises RetryableError.
        """
        rules = (*named_memberships(journey), *journey_rules(journey))
        return await self.rule_problems(workspace_id, rules, at_least, assumed)

    async def rule_problems(
        self,
        workspace_id: WorkspaceId,
        rules: Iterable[tuple[str, Rule]],
        at_least: Token,
        assumed: Collection[Name],
    ) -> list[JourneyProblem]:
        """Return those of some rules that cannot be, each with its place and the reason.

        `assumed`: what is taken as defined. Raises RetryableError.
        """
        found: list[JourneyProblem] = []
        for at, rule in rules:
            try:
                await self._check(workspace_id, rule, at_least, assumed)
            except InvalidField as error:
                remedy = "define what it refers to, or change it"
                found.append(JourneyProblem(at, error.message, remedy))
        return list(dict.fromkeys(found))

    async def _check(
        self, workspace_id: WorkspaceId, rule: Rule, at_least: Token, assumed: Collection[Name]
    ) -> None:
        stub: Any = profile_grpc.ProfileServiceStub(self.profile)
        request = profile_pb.PreviewRuleRequest(
            rule=rule_to_proto(rule),
            at_least=token_to_proto(at_least),
            assumed=names_to_proto(assumed),
        )
        await stub.PreviewRule(request, metadata=workspace_metadata(workspace_id))


class JourneyUpstream:
    """Reads segment and profile."""

    def __init__(self, segment: ServiceChannel, profile: ServiceChannel) -> None:
        self._segment: Any = segment_grpc.SegmentServiceStub(segment)
        self._profile: Any = profile_grpc.ProfileServiceStub(profile)

    async def judge(
        self, questions: Collection[PersonQuestion], at_least: Token
    ) -> dict[PersonQuestion, bool]:
        """See `JourneyReads`."""
        found: dict[PersonQuestion, bool] = {}
        every = list(questions)
        for start in range(0, len(every), _MAX_QUESTIONS):
            part = every[start : start + _MAX_QUESTIONS]
            request = pb.JudgeRequest(
                questions=map(_question, part), at_least=token_to_proto(at_least)
            )
            response = await self._segment.Judge(request)
            found |= dict(zip(part, (a.is_true for a in response.answers), strict=True))
        return found

    async def members(
        self, workspace_id: WorkspaceId, segment_id: str, at_us: int, page_token: str
    ) -> tuple[list[ProfileId], str]:
        """See `JourneyReads`."""
        request = pb.ListMembersRequest(
            segment_id=segment_id, page_size=_MAX_QUESTIONS, page_token=page_token, as_of_us=at_us
        )
        metadata = workspace_metadata(workspace_id)
        response = await self._segment.ListMembers(request, metadata=metadata)
        members = [ProfileId(from_hex(each.profile_id)) for each in response.members]
        return members, response.next_page_token

    async def zones(self, persons: Mapping[Person, ZonePolicy]) -> dict[Person, str]:
        """See `JourneyReads`."""
        found = {person: policy.default for person, policy in persons.items()}
        async for person, profile in self._profiles(persons):
            by_phone = zones_of_phone(_phone_of(profile))
            found[person] = zone_of(persons[person], _traits(profile), by_phone)
        return found

    async def texts(self, traits: Mapping[Person, Collection[str]]) -> dict[Person, dict[str, str]]:
        """See `JourneyReads`."""
        found: dict[Person, dict[str, str]] = {person: {} for person in traits}
        async for person, profile in self._profiles(traits):
            values = _traits(profile)
            own = ((name, values.get(name)) for name in traits[person])
            found[person] = {name: value for name, value in own if isinstance(value, str)}
        return found

    async def _profiles(
        self, persons: Collection[Person]
    ) -> AsyncIterator[tuple[Person, profile_pb.Profile]]:
        """Yield the profiles of persons, each for every id by which it was named."""
        for workspace_id in {workspace_id for workspace_id, _ in persons}:
            own = {id_ for workspace, id_ in persons if workspace == workspace_id}
            request = profile_pb.BatchGetProfilesRequest(profile_ids=map(to_hex, sorted(own)))
            metadata = workspace_metadata(workspace_id)
            response = await self._profile.BatchGetProfiles(request, metadata=metadata)
            for profile in response.profiles:
                for id_ in sorted(ids_of(profile) & own):
                    yield (workspace_id, ProfileId(id_)), profile


class PastUpstream:
    """Reads profile and segment; see `PastReads`."""

    def __init__(self, segment: ServiceChannel, profile: ServiceChannel) -> None:
        self._segment: Any = segment_grpc.SegmentServiceStub(segment)
        self._profile: Any = profile_grpc.ProfileServiceStub(profile)

    async def persons(
        self, workspace_id: WorkspaceId, journey: Journey, from_us: int
    ) -> AsyncGenerator[list[PastPerson]]:
        """See `PastReads`."""
        request = profile_pb.MatchEventsRequest(journey=journey_to_proto(journey), from_us=from_us)
        metadata = workspace_metadata(workspace_id)
        awaited = {subject for subject in subjects_of(journey) if subject[0] == SEGMENT}
        async for response in self._profile.MatchEvents(request, metadata=metadata):
            found = [
                PastPerson(
                    ProfileId(person.profile_id),
                    [LeafId(leaf_id) for leaf_id in person.leaf_ids],
                    [event_fact(event) for event in person.events],
                )
                for person in response.persons
            ]
            yield await self._with_memberships(workspace_id, found, awaited) if awaited else found

    async def judge(
        self, workspace_id: WorkspaceId, questions: Sequence[GroupQuestion]
    ) -> list[bool]:
        """See `PastReads`."""
        found: list[bool] = []
        for start in range(0, len(questions), _MAX_QUESTIONS):
            part = questions[start : start + _MAX_QUESTIONS]
            request = profile_pb.EvaluatePastRequest(
                questions=[
                    profile_pb.PastQuestion(
                        leaf_ids=each.leaf_ids,
                        rule=rule_to_proto(each.question.rule),
                        at_us=each.question.at_us,
                        recorded_until_us=each.recorded_until_us,
                    )
                    for each in part
                ]
            )
            metadata = workspace_metadata(workspace_id)
            found += (await self._profile.EvaluatePast(request, metadata=metadata)).answers
        return found

    async def _with_memberships(
        self, workspace_id: WorkspaceId, persons: Sequence[PastPerson], awaited: Collection[Subject]
    ) -> list[PastPerson]:
        """Return persons with their entries into segments and their exits besides."""
        reads = asyncio.Semaphore(_MAX_READS)

        async def read(person: PastPerson) -> PastPerson:
            async with reads:
                changes = await self._memberships(workspace_id, person.profile_id)
            own = [membership_fact(change, awaited) for change in changes]
            return person._replace(facts=[*person.facts, *filter(None, own)])

        return list(await asyncio.gather(*map(read, persons)))

    async def _memberships(
        self, workspace_id: WorkspaceId, profile_id: ProfileId
    ) -> Sequence[MembershipChange]:
        request = pb.ListMembershipsRequest(profile_id=to_hex(profile_id))
        metadata = workspace_metadata(workspace_id)
        try:
            return (await self._segment.ListMemberships(request, metadata=metadata)).history
        except NotFound:  # it was merged or erased meanwhile
            return ()


class DecisionUpstream:
    """Reads the persons of decisions from segment and profile."""

    def __init__(self, segment: ServiceChannel, profile: ServiceChannel) -> None:
        self._segment: Any = segment_grpc.SegmentServiceStub(segment)
        self._profile: Any = profile_grpc.ProfileServiceStub(profile)

    async def person(
        self, workspace_id: WorkspaceId, identifier: Identifier, at_least: Token | None
    ) -> SlotPerson | None:
        """Return the person who has an identifier, as of at least a state of the log.

        None = there is none, or the identifier has no valid form. Raises OnefoldError.
        """
        by = identifier_pb2.Identifier(namespace=identifier.namespace, value=identifier.value)
        token = None if at_least is None else token_to_proto(at_least)
        metadata = workspace_metadata(workspace_id)
        try:
            found, response = await asyncio.gather(
                self._segment.ListMemberships(
                    pb.ListMembershipsRequest(identifier=by, at_least=token, only_current=True),
                    metadata=metadata,
                ),
                self._profile.GetProfile(
                    profile_pb.GetProfileRequest(identifier=by, at_least=token), metadata=metadata
                ),
            )
        except (NotFound, InvalidField):
            return None
        consents = {one.purpose: one.granted for one in response.profile.consents}
        return SlotPerson(
            ProfileId(from_hex(found.profile_id)),
            {change.segment_id: change.ordinal for change in found.history},
            refuses_profiling=not consents.get(PROFILING, True),
        )


class ItemUpstream:
    """Reads profile."""

    def __init__(self, profile: ServiceChannel) -> None:
        self._profile: Any = profile_grpc.ProfileServiceStub(profile)

    async def items_of(
        self, workspace_id: WorkspaceId, profile_id: ProfileId, ranking: ItemRanking
    ) -> PersonItems:
        """Return what a person has to do with the items of a slot. Raises OnefoldError."""
        newest, is_all = await self._newest(workspace_id, profile_id, ranking)
        if is_all:
            bought = {item for entry in newest for item in _items(ranking.bought, entry)}
        else:
            bought = await self._bought(workspace_id, profile_id, ranking)
        interest = (*ranking.bought, *ranking.seen)
        recent = dict.fromkeys(item for entry in newest for item in _items(interest, entry))
        named = (_items(ranking.recommended, entry) for entry in newest)
        return PersonItems(
            list(recent)[:RECENT], bought, next((items for items in named if items), [])
        )

    async def unavailable(
        self, workspace_id: WorkspaceId, ranking: ItemRanking, items: Collection[str]
    ) -> set[str]:
        """Return those of some items that are not shown, by the traits of their objects."""
        if ranking.unavailable is None:
            return set()
        objects = await asyncio.gather(
            *(self._traits(workspace_id, f"{ranking.catalogue}:{item}") for item in items)
        )
        return {
            item
            for item, traits in zip(items, objects, strict=True)
            if not ranking.is_available(traits)
        }

    async def _newest(
        self, workspace_id: WorkspaceId, profile_id: ProfileId, ranking: ItemRanking
    ) -> tuple[Sequence[profile_pb.TimelineEntry], bool]:
        """Return the newest events about items, and whether there are no others."""
        request = profile_pb.ListTimelineRequest(
            profile_id=to_hex(profile_id), page_size=_NEWEST, events=ranking.names()
        )
        response = await self._profile.ListTimeline(
            request, metadata=workspace_metadata(workspace_id)
        )
        return response.entries, not response.next_page_token

    async def _bought(
        self, workspace_id: WorkspaceId, profile_id: ProfileId, ranking: ItemRanking
    ) -> set[str]:
        names = sorted({name for each in ranking.bought for name in each.events.names})
        request = profile_pb.ListTimelineRequest(
            profile_id=to_hex(profile_id), page_size=_PAGE, events=names
        )
        pages = self._timeline(workspace_id, request)
        return {
            item
            async for entries in pages
            for entry in entries
            for item in _items(ranking.bought, entry)
        }

    async def _timeline(
        self, workspace_id: WorkspaceId, request: profile_pb.ListTimelineRequest
    ) -> AsyncIterator[Sequence[profile_pb.TimelineEntry]]:
        while True:
            response = await self._profile.ListTimeline(
                request, metadata=workspace_metadata(workspace_id)
            )
            yield response.entries
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    async def _traits(self, workspace_id: WorkspaceId, object_id: str) -> Mapping[str, Any]:
        """Return the traits of an object; none of one that no event describes."""
        request = profile_pb.GetAccountRequest(account_id=object_id, page_size=1)
        try:
            response = await self._profile.GetAccount(
                request, metadata=workspace_metadata(workspace_id)
            )
        except NotFound:
            return {}
        return {t.name: msgspec.json.decode(t.value) for t in response.account.traits}


def _phone_of(profile: profile_pb.Profile) -> str:
    return next((i.value for i in profile.identifiers if i.namespace == "phone"), "")


def _traits(profile: profile_pb.Profile) -> dict[str, Any]:
    return {trait.name: msgspec.json.decode(trait.value) for trait in profile.traits}


def _question(own: PersonQuestion) -> pb.JudgeQuestion:
    person, question = own
    return pb.JudgeQuestion(
        workspace_id=person.workspace_id,
        profile_id=person.profile_id,
        rule=rule_to_proto(question.rule),
        at_us=question.at_us,
    )


def _items(kinds: Iterable[ItemEvents], entry: profile_pb.TimelineEntry) -> list[str]:
    properties = msgspec.json.decode(entry.properties or b"{}")
    return [item for kind in kinds for item in kind.items_in(entry.name, properties)]


class SizeUpstream:
    """Reads from segment how many members segments, values of tags and stages have."""

    def __init__(self, segment: ServiceChannel) -> None:
        self._segment: Any = segment_grpc.SegmentServiceStub(segment)

    async def sizes(
        self, workspace_id: WorkspaceId, at_least: Token | None
    ) -> tuple[dict[str, int], frozenset[str]]:
        """Return the sizes by id, and the ids whose backfill has not finished.

        The sizes are those of at least a state of the log. Raises OnefoldError.
        """
        response = await self._segment.ListSegments(
            pb.ListSegmentsRequest(at_least=None if at_least is None else token_to_proto(at_least)),
            metadata=workspace_metadata(workspace_id),
        )
        segments = [(s.segment.segment_id, s) for s in response.segments if not s.segment.retired]
        listed = [*segments, *((tag.segment_id, tag) for tag in response.tags)]
        sizes = {id_: each.size for id_, each in listed}
        return sizes, frozenset(id_ for id_, each in listed if not each.live)
