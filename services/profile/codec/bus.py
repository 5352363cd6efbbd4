"""Protobuf to domain and back: the only file of this room that knows both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from onefold.identity.v1 import identity_stream_pb2
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1 import profile_stream_pb2 as events_pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.type.v1 import identifier_pb2
from onefold.type.v1.event_pb2 import Event, EventType

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.chassis.messaging.stream import Batch, OutboxMessage
from services.chassis.rpc.paging import PageToken
from services.kernel.errors import InvalidField
from services.kernel.fold.events import GROUP, EventView
from services.kernel.fold.leaf import ProfileView
from services.kernel.identifiers import Identifier, account_leaf, normalize, validation_error
from services.kernel.ids import (
    NO_ID,
    IdentifierId,
    LeafId,
    ProfileId,
    WorkspaceId,
    parse_id,
    to_hex,
)
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Predicate
from services.kernel.rules.text import to_text
from services.profile.domain.accounts import AccountName
from services.profile.domain.backfill import Key, Past
from services.profile.domain.facts import Assignment, Entry, Notice
from services.profile.domain.model import Standing
from services.profile.domain.profile import Mark, Profile, Told
from services.profile.domain.tags import Answer, Tag

EVENT: str = Event.DESCRIPTOR.full_name
CLOCK_TICKED: str = ClockTicked.DESCRIPTOR.full_name
TAG_DEFINED: str = facts_pb.TagDefined.DESCRIPTOR.full_name
SEGMENT_DEFINED: str = SegmentDefined.DESCRIPTOR.full_name
#: The kinds of facts that define rules.
RULE_KINDS = (TAG_DEFINED, SEGMENT_DEFINED)
#: Larger outputs are cut in two: the bus takes a mebibyte.
OUTPUT_BYTES = 900_000

_NO_LEAF, _NO_PROFILE = LeafId(NO_ID), ProfileId(NO_ID)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a batch of identity says, from its first place on."""

    entries: list[Entry]
    assignments: list[Assignment]


def hear(batch: Batch) -> Heard:
    """Reads a batch.

    Raises ValueError where a message does not cover what it says it does.
    """
    entries: list[Entry] = []
    assignments: list[Assignment] = []
    for message in batch.messages:
        said = identity_stream_pb2.FactsAttributed.FromString(message.payload)
        facts = FactBatch.FromString(said.fact_batch).facts
        if len(facts) != message.next - message.first:
            raise ValueError(f"facts {message.first} to {message.next} came as {len(facts)}")
        skip = max(0, batch.first - message.first)
        read = _entries(facts[skip:], said.profile_ids[16 * skip :], message.first + skip)
        entries = entries + read if entries else read
        assignments += map(assignment, said.assignments)
    return Heard(entries, assignments)


def _entries(facts: Iterable[Fact], profiles: bytes, first: int) -> list[Entry]:
    entries: list[Entry] = []
    add, new, at = entries.append, tuple.__new__, 0
    for offset, fact in enumerate(facts, first):
        leaf_id = fact.leaf_id
        who = (leaf_id, profiles[at : at + 16]) if leaf_id else (_NO_LEAF, _NO_PROFILE)
        event = event_view(fact) if leaf_id and fact.kind == EVENT else None
        told = None if leaf_id else notice(fact)
        # At half the cost of Entry(...), and it is done ten thousand times a second.
        add(new(Entry, (offset, fact.recorded_at_us, fact.workspace_id, *who, event, told)))
        at += 16
    return entries


def event_view(fact: Fact) -> EventView:
    """The event of a fact that is one, as a fold sees it."""
    event = Event.FromString(fact.payload)
    type_ = event.type
    if type_ == GROUP:
        return _group_view(fact, event)
    return EventView(
        type_,
        event.name,
        fact.occurred_at_us,
        fact.fact_id,
        event.properties,
        event.traits,
    )


def _group_view(fact: Fact, event: Event) -> EventView:
    """Of the two copies of a group event, the account's names its member."""
    member = event.member_leaf_id
    account = b"" if member else account_leaf(fact.workspace_id, event.group_id) or b""
    return EventView(
        GROUP,
        "",
        fact.occurred_at_us,
        fact.fact_id,
        event.properties,
        event.traits,
        account,
        member,
    )


def notice(fact: Fact) -> Notice:
    """A fact that concerns no person."""
    return Notice(fact.kind, fact.SerializeToString(), fact.kind == CLOCK_TICKED, asks(fact))


def asks(fact: Fact) -> tuple[Predicate, ...] | None:
    """What a definition asks for; None where the fact is none. A rule that cannot be read asks for
    nothing: it was let into the log by an older version, and must not stop the fold."""
    if fact.kind not in RULE_KINDS:
        return None
    kind = facts_pb.TagDefined if fact.kind == TAG_DEFINED else SegmentDefined
    try:
        return predicates(rule_from_proto(kind.FromString(fact.payload).rule))
    except InvalidField:
        return ()


def definitions(facts: Iterable[bytes]) -> list[tuple[WorkspaceId, Notice]]:
    """Definitions as they are kept, each once, whichever shards told it."""
    told = {fact.fact_id: fact for fact in map(Fact.FromString, facts)}
    return [(WorkspaceId(fact.workspace_id), notice(fact)) for fact in told.values()]


def tag(workspace_id: WorkspaceId, message: facts_pb.TagDefined) -> Tag:
    """The tag of a message. Raises InvalidField where its rule cannot be read."""
    return Tag(
        workspace_id,
        message.tag_id,
        message.version,
        message.title,
        rule_from_proto(message.rule, "tag.rule"),
        message.retired,
    )


def tag_message(told: Tag) -> facts_pb.TagDefined:
    """The message of a tag."""
    return facts_pb.TagDefined(
        tag_id=told.tag_id,
        title=told.title,
        rule=rule_to_proto(told.rule),
        version=told.version,
        retired=told.retired,
    )


def tags(facts: Iterable[bytes]) -> Iterator[Tag]:
    """The tags of facts that define some; those that cannot be read are left out."""
    told = {fact.fact_id: fact for fact in map(Fact.FromString, facts)}
    for fact in told.values():
        with suppress(InvalidField):
            message = facts_pb.TagDefined.FromString(fact.payload)
            yield tag(WorkspaceId(fact.workspace_id), message)


def assignment(message: identity_stream_pb2.Assignment) -> Assignment:
    """An assignment as identity says it."""
    told = message.identifier if message.HasField("identifier") else None
    return Assignment(
        WorkspaceId(message.workspace_id),
        IdentifierId(message.identifier_id),
        ProfileId(message.profile_id),
        message.version,
        Identifier(told.namespace, told.value) if told is not None else None,
    )


def past(facts: Iterable[Fact]) -> Iterator[Past]:
    """Events of the log, read once more."""
    for fact in facts:
        if fact.kind == EVENT:
            leaf_id, workspace = LeafId(fact.leaf_id), WorkspaceId(fact.workspace_id)
            yield Past(fact.offset, workspace, leaf_id, event_view(fact))


def told(facts: Iterable[Fact], region: str) -> Iterator[Told]:
    """The events among the facts of a person; `region` is their workspace's."""
    for fact in facts:
        if fact.kind == EVENT:
            named = Event.FromString(fact.payload).identifiers
            shaped = (normalize(i.namespace, i.value, region) for i in named)
            identifiers = tuple(i for i in shaped if i is not None)
            yield Told(LeafId(fact.leaf_id), event_view(fact), identifiers)


def lasting(facts: Iterable[Fact]) -> list[tuple[int, WorkspaceId, str, bytes]]:
    """What is kept of facts that concern no person: offset, workspace, kind, the whole fact."""
    return [
        (fact.offset, WorkspaceId(fact.workspace_id), fact.kind, fact.SerializeToString())
        for fact in facts
        if not fact.leaf_id and fact.kind != CLOCK_TICKED
    ]


def facts_of(notices: Iterable[Notice]) -> list[Fact]:
    """The facts of notices."""
    return facts_from(told.fact for told in notices)


def facts_from(raws: Iterable[bytes]) -> list[Fact]:
    """Facts as they are kept."""
    return [Fact.FromString(raw) for raw in raws]


def change_message(standing: Standing) -> events_pb.ProfileChange:
    """How a profile stands, as it is said."""
    return events_pb.ProfileChange(
        workspace_id=standing.workspace_id,
        profile_id=standing.profile_id,
        version=standing.version,
        true_predicates=sorted(standing.holds),
        merged_into=standing.merged_into or b"",
        at_us=standing.at_us,
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What one fold says downstream."""

    standings: Sequence[Standing] = ()
    notices: Sequence[Notice] = ()
    live: Collection[Key] = ()

    def __bool__(self) -> bool:
        return bool(self.standings or self.notices or self.live)


def outputs(
    batch: Batch, said: Said, log_offset: int, log_time_us: int
) -> tuple[OutboxMessage, ...]:
    """The messages that say it; only the last one says that the log was taken in up to there."""
    messages = list(_messages(said))
    for number, message in enumerate(messages, batch.next_output):
        message.shard = batch.shard
        message.sequence = number
        message.log_offset = batch.log_offset
        message.log_time_us = batch.log_time_us
    messages[-1].log_offset = log_offset
    messages[-1].log_time_us = log_time_us
    return tuple(OutboxMessage(m.sequence, m.sequence + 1, m.SerializeToString()) for m in messages)


def _messages(said: Said) -> Iterator[events_pb.ProfilesChanged]:
    for workspace_id, keys in groupby(sorted(said.live), key=lambda key: key.workspace_id):
        yield events_pb.ProfilesChanged(
            backfilled_workspace_id=workspace_id, backfilled_predicates=[key.id for key in keys]
        )
    message, size = events_pb.ProfilesChanged(), 0
    for field, part in _parts(said):
        grown = part.ByteSize() + 8
        if size and size + grown > OUTPUT_BYTES:
            yield message
            message, size = events_pb.ProfilesChanged(), 0
        getattr(message, field).append(part)
        size += grown
    yield message


def _parts(said: Said) -> Iterator[tuple[str, Any]]:
    for fact in facts_of(said.notices):
        yield "broadcast_facts", fact
    for standing in said.standings:
        yield "changes", change_message(standing)


def identifier_message(told: Identifier) -> identifier_pb2.Identifier:
    """An identifier, as told outside."""
    return identifier_pb2.Identifier(namespace=told.namespace, value=told.value)


def trait_messages(view: ProfileView) -> list[pb.Trait]:
    """The traits that are there, as told outside."""
    return [
        pb.Trait(name=name, occurred_at_us=at_us, fact_id=to_hex(fact_id), value=value)
        for name, (at_us, fact_id, value) in view.traits().items()
    ]


def profile_message(told: Profile) -> pb.Profile:
    """A person, as told outside."""
    view = told.view
    return pb.Profile(
        profile_id=to_hex(told.profile_id),
        identifiers=map(identifier_message, told.identifiers),
        traits=trait_messages(view),
        tags=told.tags,
        first_seen_us=view.first_seen_us,
        last_seen_us=view.last_seen_us,
        event_count=view.event_count,
        leaf_ids=[to_hex(leaf) for leaf in told.leaf_ids],
        accounts=map(account_name, told.accounts),
    )


def account_name(told: AccountName) -> pb.AccountName:
    """An account, named."""
    return pb.AccountName(profile_id=to_hex(told.profile_id), account_ids=told.account_ids)


def timeline_entry(fact: Fact) -> pb.TimelineEntry:
    """One thing in a person's life."""
    entry = pb.TimelineEntry(
        fact_id=to_hex(fact.fact_id),
        kind=fact.kind,
        occurred_at_us=fact.occurred_at_us,
        recorded_at_us=fact.recorded_at_us,
        source_id=fact.source_id,
    )
    if fact.kind == EVENT:
        event = Event.FromString(fact.payload)
        entry.type = EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower()
        entry.name = event.name
        entry.channel = event.channel
        entry.properties = event.properties
        entry.traits = event.traits
    return entry


def verdict_message(told: Answer) -> pb.PredicateResult:
    """One predicate and how it came out."""
    return pb.PredicateResult(
        predicate=to_text(told.predicate),
        actual=msgspec.json.encode(told.actual),
        holds=told.holds,
    )


_TIMELINE_PAGE = PageToken("q16sI")


def page_token(mark: Mark) -> str:
    """Return the token of the timeline page after a mark."""
    return _TIMELINE_PAGE.encode(*mark)


def mark_from(token: str) -> Mark | None:
    """Return the mark of a page token; None where it is empty. Raises InvalidField."""
    key = _TIMELINE_PAGE.decode(token)
    return Mark(*key) if key else None


def asked_id(workspace_id: WorkspaceId, region: str, request: Any) -> bytes:
    """The id of the identifier, or the profile id, that a request asks by. Raises InvalidField."""
    match request.WhichOneof("by"):
        case "identifier":
            named = request.identifier
            if wrong := validation_error(named.namespace, named.value):
                raise InvalidField(wrong, field="identifier")
            shaped = normalize(named.namespace, named.value, region)
            # What names nobody has an id all the same, under which nobody is found.
            return (shaped or Identifier(named.namespace, "")).id_in(workspace_id)
        case "profile_id":
            return parse_id(request.profile_id, "profile_id")
        case _:
            raise InvalidField("give a profile id or an identifier", field="by")
