"""Decodes the facts that define rules with a name: segments, tags and sets of stages."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from onefold.profile.v1 import profile_facts_pb2 as profile_pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.codec.comparisons import below
from services.chassis.codec.rules import rule_from_proto
from services.kernel.errors import InvalidField, RuleError
from services.kernel.rules.model import ReferenceKind
from services.kernel.rules.references import Classification, Name, NamedRules, ValueRule

TAG_DEFINED: Final[str] = profile_pb.TagDefined.DESCRIPTOR.full_name
SEGMENT_DEFINED: Final[str] = SegmentDefined.DESCRIPTOR.full_name
#: The kinds of facts that define rules with a name.
NAMED_KINDS: Final = (TAG_DEFINED, SEGMENT_DEFINED)


def decode_named_rules(kind: str, payload: bytes) -> NamedRules:
    """Return the definition in the payload of a fact of one of `NAMED_KINDS`.

    Raises InvalidField where the payload cannot be decoded.
    """
    try:
        if kind == TAG_DEFINED:
            return tag_rules(profile_pb.TagDefined.FromString(payload))
        return segment_rules(SegmentDefined.FromString(payload))
    except DecodeError:
        raise InvalidField(f"the payload is not a {kind}", field="payload") from None


def segment_rules(message: SegmentDefined) -> NamedRules:
    """Return the definition of a segment. Raises InvalidField."""
    classification = Classification.of(rule_from_proto(message.rule, "segment.rule"))
    name = Name(ReferenceKind.SEGMENT, message.segment_id)
    return NamedRules(name, message.version, message.title, classification, message.retired)


def tag_rules(message: profile_pb.TagDefined) -> NamedRules:
    """Return the definition of a tag or a set of stages. Raises InvalidField."""
    is_stage = message.kind == profile_pb.TAG_KIND_STAGE
    name = Name(ReferenceKind.STAGE if is_stage else ReferenceKind.TAG, message.tag_id)
    classification = _classification(message)
    return NamedRules(name, message.version, message.title, classification, message.retired)


def _classification(message: profile_pb.TagDefined) -> Classification:
    if message.HasField("rule") == bool(message.values):
        raise InvalidField("set exactly one of `rule` and `values`", field="tag.rule")
    if message.HasField("rule"):
        values = [ValueRule("", rule_from_proto(message.rule, "tag.rule"))]
    else:
        values = [
            ValueRule(own.value, rule_from_proto(own.rule, f"tag.values[{i}].rule"))
            for i, own in enumerate(message.values)
        ]
    with below("tag.values"):
        if message.values and not all(own.value for own in message.values):
            raise RuleError("a value has no name", "write one")
        return Classification(tuple(values), message.default_value)
