"""Decodes facts of the event log: events, definitions of rules, other broadcast facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from onefold.log.v1.log_pb2 import ClockTicked, Fact
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.type.v1.event_pb2 import Event

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.chassis.definitions import DefinitionFact
from services.kernel.errors import InvalidField
from services.kernel.fold.events import GROUP, EventView
from services.kernel.identifiers.normalize import normalize
from services.kernel.identifiers.priority import account_leaf
from services.kernel.ids import NO_ID, LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Predicate
from services.profile.domain.facts import AttributedFact, BroadcastFact, LogEvent, RuleDefinition
from services.profile.domain.profile import LeafEvent
from services.profile.domain.tags import Tag

EVENT: str = Event.DESCRIPTOR.full_name
CLOCK_TICKED: str = ClockTicked.DESCRIPTOR.full_name


def event_view(fact: Fact, index_key: IndexKey) -> EventView:
    """Decode the event of a fact that is one."""
    event = Event.FromString(fact.payload)
    type_ = event.type
    if type_ == GROUP:
        return _group_view(fact, event, index_key)
    at_us, id_, trust = fact.occurred_at_us, fact.fact_id, event.trust
    properties, traits = event.properties, event.traits
    return EventView(type_, event.name, at_us, id_, properties, traits, b"", b"", trust)


def _group_view(fact: Fact, event: Event, index_key: IndexKey) -> EventView:
    """Decode one of the two copies of a group event: the account's copy names its member."""
    member = event.member_leaf_id
    account = b""
    if not member:
        account = account_leaf(fact.workspace_id, event.group_id, index_key) or b""
    at_us, id_, trust = fact.occurred_at_us, fact.fact_id, event.trust
    properties, traits = event.properties, event.traits
    return EventView(GROUP, "", at_us, id_, properties, traits, account, member, trust)


def broadcast_fact(fact: Fact) -> BroadcastFact:
    """Decode a fact without a leaf."""
    return BroadcastFact(
        fact.kind, fact.SerializeToString(), fact.kind == CLOCK_TICKED, rule_definition(fact)
    )


def decode_log_events(facts: Iterable[Fact], index_key: IndexKey) -> Iterator[LogEvent]:
    """Yield the events among facts of the log."""
    for fact in facts:
        if fact.kind == EVENT:
            leaf_id, workspace = LeafId(fact.leaf_id), WorkspaceId(fact.workspace_id)
            yield LogEvent(fact.offset, workspace, leaf_id, event_view(fact, index_key))


def decode_leaf_events(
    facts: Iterable[Fact], region: str, index_key: IndexKey
) -> Iterator[LeafEvent]:
    """Yield the events among the facts of a profile; `region` is that of its workspace."""
    for fact in facts:
        if fact.kind == EVENT:
            raw = Event.FromString(fact.payload).identifiers
            normalized = (normalize(i.namespace, i.value, region) for i in raw)
            identifiers = tuple(i for i in normalized if i is not None)
            view = event_view(fact, index_key)
            yield LeafEvent(LeafId(fact.leaf_id), view, identifiers)


def decode_broadcast_facts(facts: Iterable[Fact]) -> list[AttributedFact]:
    """Return the facts without a leaf among facts of the log."""
    return [
        AttributedFact(
            fact.offset,
            fact.recorded_at_us,
            WorkspaceId(fact.workspace_id),
            LeafId(NO_ID),
            ProfileId(NO_ID),
            event=None,
            broadcast=broadcast_fact(fact),
        )
        for fact in facts
        if not fact.leaf_id
    ]


def parse_facts(serialized: Iterable[bytes]) -> list[Fact]:
    """Parse serialised facts."""
    return [Fact.FromString(raw) for raw in serialized]


TAG_DEFINED: str = facts_pb.TagDefined.DESCRIPTOR.full_name
SEGMENT_DEFINED: str = SegmentDefined.DESCRIPTOR.full_name
#: The kinds of facts that define rules.
RULE_KINDS = (TAG_DEFINED, SEGMENT_DEFINED)


def rule_definition(fact: Fact) -> RuleDefinition | None:
    """Return the rule that a fact defines; None where it defines none.

    A rule that cannot be decoded has no predicates: an older version let it into the log, and it
    must not stop the fold.
    """
    if fact.kind not in RULE_KINDS:
        return None
    message: facts_pb.TagDefined | SegmentDefined
    if fact.kind == TAG_DEFINED:
        message = facts_pb.TagDefined.FromString(fact.payload)
        key = message.tag_id
    else:
        message = SegmentDefined.FromString(fact.payload)
        key = message.segment_id
    needed: tuple[Predicate, ...] = ()
    if not message.retired:
        with suppress(InvalidField):
            needed = predicates(rule_from_proto(message.rule))
    return RuleDefinition(WorkspaceId(fact.workspace_id), fact.kind, key, message.version, needed)


@lru_cache(maxsize=16_384)
def decode_definition(raw: bytes) -> RuleDefinition | None:
    """Return the rule that a serialised fact defines; cached, as all are read for each new one."""
    return rule_definition(Fact.FromString(raw))


def decode_tags(facts: Iterable[bytes]) -> Iterator[Tag]:
    """Yield the tags that serialised facts define; those that cannot be decoded are left out."""
    for raw in dict.fromkeys(facts):
        if (tag := _decode_tag(raw)) is not None:
            yield tag


@lru_cache(maxsize=4_096)
def _decode_tag(raw: bytes) -> Tag | None:
    """Return the tag of a serialised fact; cached, as each read of a profile needs all tags."""
    fact = Fact.FromString(raw)
    with suppress(InvalidField):
        message = facts_pb.TagDefined.FromString(fact.payload)
        return tag_from_proto(WorkspaceId(fact.workspace_id), message)
    return None


def tag_from_proto(workspace_id: WorkspaceId, message: facts_pb.TagDefined) -> Tag:
    """Return the tag of a message. Raises InvalidField where its rule cannot be decoded."""
    return Tag(
        workspace_id,
        message.tag_id,
        message.version,
        message.title,
        rule_from_proto(message.rule, "tag.rule"),
        message.retired,
    )


def tag_to_proto(tag: Tag) -> facts_pb.TagDefined:
    """Return the message of a tag."""
    return facts_pb.TagDefined(
        tag_id=tag.tag_id,
        title=tag.title,
        rule=rule_to_proto(tag.rule),
        version=tag.version,
        retired=tag.retired,
    )


def tag_to_fact(tag: Tag) -> DefinitionFact:
    """Return the fact that defines a tag."""
    return DefinitionFact.from_message(
        tag_to_proto(tag), workspace_id=tag.workspace_id, key=tag.tag_id, version=tag.version
    )
