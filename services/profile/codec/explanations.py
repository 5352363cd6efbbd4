"""Encodes explanations of rules as messages of the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.codec.fields import token_to_proto
from services.kernel.explain.model import (
    Change,
    ExplainedPart,
    MissingFacts,
    MissingKind,
    PredicateFacts,
)
from services.kernel.ids import to_hex
from services.kernel.rules.features import Elapsed, compared_name
from services.kernel.rules.forms.text import events_to_text
from services.kernel.rules.forms.text_words import Language
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference
from services.kernel.rules.readings.ranges import END_US, FIRST_US
from services.profile.codec.rule_forms import RuleTexts, texts_in
from services.profile.domain.explanation import RuleExplanation
from services.profile.domain.settings import WorkspaceSettings

#: The most facts that one part of a response names.
MAX_FACTS = 100

_PARTS: Final = {
    All: pb.RULE_PART_ALL,
    Any_: pb.RULE_PART_ANY,
    Not: pb.RULE_PART_NOT,
    Reference: pb.RULE_PART_REFERENCE,
}
_MISSING: Final = {
    MissingKind.EVENT: pb.MISSING_KIND_EVENT,
    MissingKind.TRAIT: pb.MISSING_KIND_TRAIT,
    MissingKind.ORDER: pb.MISSING_KIND_ORDER,
}


def explanation_to_proto(
    explained: RuleExplanation, settings: WorkspaceSettings
) -> pb.RuleExplanation:
    """Return the message of an explanation; its texts leave out what the settings say."""
    explanation, citation = explained.explanation, explained.explanation.citation
    texts = texts_in(settings)
    english, chinese = texts(explained.rule)
    return pb.RuleExplanation(
        root=_part(explanation.root, texts),
        cited_fact_ids=_ids(citation.fact_ids),
        cited_count=len(citation.fact_ids),
        removed_fact_ids=_ids(citation.removed),
        removed_count=len(citation.removed),
        is_minimal=citation.is_minimal,
        missing=_missing(explanation.change),
        next_due_us=explanation.next_due_us or 0,
        as_of_us=explanation.at_us,
        profile_id=to_hex(explained.profile_id),
        rule_text=english,
        rule_text_chinese=chinese,
        token=token_to_proto(explained.token),
    )


def _part(node: ExplainedPart, texts: RuleTexts) -> pb.ExplainedPart:
    english, chinese = texts(node.rule)
    part = pb.ExplainedPart(
        part=_PARTS.get(type(node.rule), pb.RULE_PART_PREDICATE),
        holds=node.holds,
        text=english,
        text_chinese=chinese,
        children=[_part(child, texts) for child in node.children],
        definition_version=node.version,
        next_due_us=node.next_due_us or 0,
        missing=_missing(node.change),
    )
    if node.facts is not None:
        if isinstance(node.rule, Predicate):
            part.is_span = isinstance(node.rule.feature, Elapsed)
            part.compares = compared_name(node.rule.feature)
        _add_facts(part, node.facts)
    return part


def _add_facts(part: pb.ExplainedPart, facts: PredicateFacts) -> None:
    part.actual = msgspec.json.encode(facts.actual)
    part.fact_ids.extend(_ids(facts.fact_ids))
    part.fact_count = len(facts.fact_ids)
    if facts.window is not None:
        start_us, end_us = facts.window
        part.window_start_us = start_us if start_us > FIRST_US else 0
        part.window_end_us = end_us if end_us < END_US else 0


def _missing(change: Change | None) -> Iterable[pb.MissingFact]:
    for missing in change.missing if change is not None else ():
        english, chinese = _events(missing)
        yield pb.MissingFact(
            kind=_MISSING[missing.kind],
            number=missing.number,
            events=english,
            events_chinese=chinese,
            name=missing.name,
            value=msgspec.json.encode(missing.value),
            until_us=missing.until_us or 0,
            occurred_at_us=missing.occurred_at_us or 0,
        )


def _events(missing: MissingFacts) -> tuple[str, str]:
    if missing.events is None:
        return "", ""
    return (
        events_to_text(missing.events, Language.ENGLISH),
        events_to_text(missing.events, Language.CHINESE),
    )


def _ids(fact_ids: Sequence[bytes]) -> list[str]:
    return list(map(to_hex, fact_ids[:MAX_FACTS]))
