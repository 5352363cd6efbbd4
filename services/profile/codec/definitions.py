"""Translates definitions between the domain and facts: tags, stages, segments, settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_facts_pb2 as pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.codec.comparisons import below
from services.chassis.codec.features import order_definition_from_proto, order_definition_to_proto
from services.chassis.codec.journey_facts import (
    JOURNEY_DEFINED,
    JOURNEY_FLOW_CHANGED,
    SLOT_DEFINED,
    decode_journey,
    decode_stop,
)
from services.chassis.codec.named_rules import (
    NAMED_KINDS,
    TAG_DEFINED,
    decode_named_rules,
    tag_rules,
)
from services.chassis.codec.rules import predicate_from_proto, predicate_to_proto, rule_to_proto
from services.chassis.definitions import DefinitionFact
from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.inputs import entry_rule, judged_rules
from services.kernel.rules.model import Any_, Predicate, ReferenceKind
from services.kernel.rules.references import Classification, Name
from services.profile.codec.models import model_from_proto, model_to_proto
from services.profile.domain.facts import RuleDefinition
from services.profile.domain.settings import ComputedTrait, WorkspaceSettings
from services.profile.domain.tags import Tag, TagKind

SETTINGS_DEFINED: str = pb.ProfileSettingsDefined.DESCRIPTOR.full_name
#: The kinds of facts that decide which events activation gets: journeys, their stops, slots.
AWAITING_KINDS = (JOURNEY_DEFINED, JOURNEY_FLOW_CHANGED, SLOT_DEFINED)
#: The kinds of facts that need predicates or events of persons.
RULE_KINDS = (*NAMED_KINDS, SETTINGS_DEFINED, *AWAITING_KINDS)


def rule_definition(fact: Fact) -> RuleDefinition | None:
    """Return the definition of a fact; None where it needs nothing of persons by its kind.

    A rule that cannot be decoded has no predicates: an older version let it into the log, and it
    must not stop the fold.
    """
    workspace_id = WorkspaceId(fact.workspace_id)
    if fact.kind in NAMED_KINDS:
        return _named_definition(workspace_id, fact)
    if fact.kind == SETTINGS_DEFINED:
        settings = pb.ProfileSettingsDefined.FromString(fact.payload)
        return _settings_definition(workspace_id, settings)
    if fact.kind == SLOT_DEFINED:
        return RuleDefinition(workspace_id, fact.kind, "", 0, None, is_slot=True)
    if fact.kind in AWAITING_KINDS:
        return _journey_definition(workspace_id, fact)
    return None


def _journey_definition(workspace_id: WorkspaceId, fact: Fact) -> RuleDefinition:
    with suppress(InvalidField):
        if fact.kind == JOURNEY_FLOW_CHANGED:
            stop = decode_stop(fact.payload)
            key, version = stop.journey_id, stop.version
            return RuleDefinition(workspace_id, fact.kind, key, version, None, stop=stop)
        journey = decode_journey(fact.payload)
        entry = entry_rule(journey)
        rules = (*judged_rules(journey), *(() if entry is None else (entry,)))
        key, version = journey.journey_id, journey.version
        return RuleDefinition(
            workspace_id, fact.kind, key, version, None, rules=rules, journey=journey
        )
    return RuleDefinition(workspace_id, fact.kind, "", 0, None)


def _named_definition(workspace_id: WorkspaceId, fact: Fact) -> RuleDefinition:
    message: pb.TagDefined | SegmentDefined
    if fact.kind == TAG_DEFINED:
        message = pb.TagDefined.FromString(fact.payload)
        key = message.tag_id
    else:
        message = SegmentDefined.FromString(fact.payload)
        key = message.segment_id
    named: tuple[Name, Classification] | None = None
    if not message.retired:
        with suppress(InvalidField):
            rules = decode_named_rules(fact.kind, fact.payload)
            named = (rules.name, rules.classification)
    return RuleDefinition(workspace_id, fact.kind, key, message.version, named)


def _settings_definition(
    workspace_id: WorkspaceId, message: pb.ProfileSettingsDefined
) -> RuleDefinition:
    needed: tuple[Predicate, ...] = ()
    with suppress(InvalidField):
        settings = settings_from_proto(workspace_id, message)
        needed = tuple(trait.feature for trait in settings.all_computed_traits)
    return RuleDefinition(workspace_id, SETTINGS_DEFINED, "", message.version, None, needed)


@lru_cache(maxsize=16_384)
def decode_definition(raw: bytes) -> RuleDefinition | None:
    """Return the definition of a serialised fact; cached, as all are read for each new one."""
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
        message = pb.TagDefined.FromString(fact.payload)
        return tag_from_proto(WorkspaceId(fact.workspace_id), message)
    return None


def tag_from_proto(workspace_id: WorkspaceId, message: pb.TagDefined) -> Tag:
    """Return the tag of a message. Raises InvalidField where it cannot be decoded.

    A tag with a model that comes from a client has no rules yet: no profile has a value of it.
    """
    model = model_from_proto(message.rfm, "tag.rfm") if message.HasField("rfm") else None
    if model is not None and not message.values:
        message = _with_empty_values(message)
    rules = tag_rules(message)
    kind = TagKind.STAGE if rules.name.kind is ReferenceKind.STAGE else TagKind.TAG
    return Tag(
        workspace_id,
        message.tag_id,
        message.version,
        message.title,
        rules.classification,
        kind,
        message.retired,
        model,
    )


def _with_empty_values(message: pb.TagDefined) -> pb.TagDefined:
    copy = pb.TagDefined()
    copy.CopyFrom(message)
    for own in message.rfm.values:
        copy.values.add(value=own.value, rule=rule_to_proto(Any_(())))
    return copy


def tag_to_proto(tag: Tag) -> pb.TagDefined:
    """Return the message of a tag."""
    message = pb.TagDefined(
        tag_id=tag.tag_id,
        title=tag.title,
        version=tag.version,
        retired=tag.retired,
        default_value=tag.classification.default,
        kind=tag.kind,  # type: ignore[arg-type]  # the numbers are the enum's
        rfm=None if tag.model is None else model_to_proto(tag.model),
    )
    for value, rule in tag.classification.values:
        if value:
            message.values.add(value=value, rule=rule_to_proto(rule))
        else:
            message.rule.CopyFrom(rule_to_proto(rule))
    return message


def tag_to_fact(tag: Tag) -> DefinitionFact:
    """Return the fact that defines a tag."""
    return DefinitionFact.from_message(
        tag_to_proto(tag), workspace_id=tag.workspace_id, key=tag.tag_id, version=tag.version
    )


def decode_settings(workspace_id: WorkspaceId, facts: Iterable[bytes]) -> WorkspaceSettings:
    """Return the newest settings that serialised facts define; empty ones where none can be."""
    newest = WorkspaceSettings(workspace_id)
    for raw in facts:
        message = pb.ProfileSettingsDefined.FromString(Fact.FromString(raw).payload)
        if message.version > newest.version:
            with suppress(InvalidField):
                newest = settings_from_proto(workspace_id, message)
    return newest


def settings_from_proto(
    workspace_id: WorkspaceId, message: pb.ProfileSettingsDefined
) -> WorkspaceSettings:
    """Return the settings of a message. Raises InvalidField where they cannot be decoded."""
    orders, computed = None, list[ComputedTrait]()
    if message.HasField("orders"):
        with below("settings.orders"):
            orders = order_definition_from_proto(message.orders)
    for i, trait in enumerate(message.computed_traits):
        field = f"settings.computed_traits[{i}].feature"
        computed.append(ComputedTrait(trait.name, predicate_from_proto(trait.feature, field)))
    return WorkspaceSettings(
        workspace_id,
        message.version,
        message.zone or DEFAULT_ZONE,
        orders,
        tuple(computed),
        tuple((own.trait, own.cleaner) for own in message.cleaners),
        tuple((int(own.kind), tuple(own.events)) for own in message.timeline),
        tuple((int(own.block), tuple(own.traits), tuple(own.tags)) for own in message.blocks),
    )


def settings_to_proto(settings: WorkspaceSettings) -> pb.ProfileSettingsDefined:
    """Return the message of settings."""
    message = pb.ProfileSettingsDefined(zone=settings.zone, version=settings.version)
    if settings.orders is not None:
        message.orders.CopyFrom(order_definition_to_proto(settings.orders))
    for name, feature in settings.computed_traits:
        message.computed_traits.add(name=name, feature=predicate_to_proto(feature))
    for trait, cleaner in settings.cleaners:
        message.cleaners.add(trait=trait, cleaner=cleaner)
    for kind, events in settings.timeline:
        message.timeline.add(kind=kind, events=events)
    for block, traits, tags in settings.blocks:
        message.blocks.add(block=block, traits=traits, tags=tags)
    return message


def settings_to_fact(settings: WorkspaceSettings) -> DefinitionFact:
    """Return the fact that defines settings."""
    return DefinitionFact.from_message(
        settings_to_proto(settings),
        workspace_id=settings.workspace_id,
        key="",
        version=settings.version,
    )
