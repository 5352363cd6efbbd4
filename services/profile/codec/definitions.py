"""Decodes the definitions of rules, and translates tags between protobuf and the domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.chassis.definitions import DefinitionFact
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Predicate
from services.profile.domain.tags import Tag

TAG_DEFINED: str = facts_pb.TagDefined.DESCRIPTOR.full_name
SEGMENT_DEFINED: str = SegmentDefined.DESCRIPTOR.full_name
#: The kinds of facts that define rules.
RULE_KINDS = (TAG_DEFINED, SEGMENT_DEFINED)


def rule_predicates(fact: Fact) -> tuple[Predicate, ...] | None:
    """Return the predicates of the rule that a fact defines; None where it defines none.

    A rule that cannot be decoded has no predicates: an older version let it into the log, and it
    must not stop the fold.
    """
    if fact.kind not in RULE_KINDS:
        return None
    kind = facts_pb.TagDefined if fact.kind == TAG_DEFINED else SegmentDefined
    try:
        return predicates(rule_from_proto(kind.FromString(fact.payload).rule))
    except InvalidField:
        return ()


def decode_rules(facts: Iterable[bytes]) -> list[tuple[WorkspaceId, tuple[Predicate, ...]]]:
    """Return the predicates of each definition among serialised facts, once for all shards."""
    definitions = _unique(facts)
    return [(WorkspaceId(fact.workspace_id), rule_predicates(fact) or ()) for fact in definitions]


def decode_tags(facts: Iterable[bytes]) -> Iterator[Tag]:
    """Yield the tags that serialised facts define; those that cannot be decoded are left out."""
    for fact in _unique(facts):
        with suppress(InvalidField):
            message = facts_pb.TagDefined.FromString(fact.payload)
            yield tag_from_proto(WorkspaceId(fact.workspace_id), message)


def _unique(facts: Iterable[bytes]) -> Iterable[Fact]:
    return {fact.fact_id: fact for fact in map(Fact.FromString, facts)}.values()


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
