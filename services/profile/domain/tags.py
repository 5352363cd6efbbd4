"""Defines tags: a tag is a named rule, and a profile has the tag while the rule is true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from services.kernel.errors import InvalidField
from services.kernel.fold.leaf import ProfileView
from services.kernel.ids import WorkspaceId
from services.kernel.rules.evaluate import compile_rule, evaluate_predicate
from services.kernel.rules.features import Trait
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import Predicate, Rule

MAX_ID_LENGTH, MAX_TITLE_LENGTH = 128, 200


@dataclass(frozen=True, slots=True)
class Tag:
    """One version of a tag."""

    workspace_id: WorkspaceId
    tag_id: str
    version: int
    title: str
    rule: Rule
    retired: bool = False

    def at_version(self, version: int) -> Tag:
        """Return the same tag with another version."""
        return replace(self, version=version)


class PredicateAnswer(NamedTuple):
    """The result of one predicate, with the value that it compared."""

    predicate: Predicate
    #: None = absent.
    actual: Any
    holds: bool
    #: Of a trait that is stated: the fact that states it, and the source with its trust.
    fact_id: bytes = b""
    source_id: str = ""
    trust: int = 0


def check_tag(tag: Tag) -> None:
    """Raise InvalidField where a tag cannot be defined."""
    if not 0 < len(tag.tag_id) <= MAX_ID_LENGTH or not tag.tag_id.isprintable():
        raise InvalidField(
            f"tag_id has 1 to {MAX_ID_LENGTH} printable characters", field="tag.tag_id"
        )
    if len(tag.title) > MAX_TITLE_LENGTH or "\0" in tag.title:
        raise InvalidField(
            f"title has at most {MAX_TITLE_LENGTH} characters and no NUL", field="tag.title"
        )


def newest_tags(tags: Iterable[Tag]) -> dict[str, Tag]:
    """Return the newest version of each tag, by id."""
    newest: dict[str, Tag] = {}
    for tag in tags:
        if tag.tag_id not in newest or tag.version > newest[tag.tag_id].version:
            newest[tag.tag_id] = tag
    return dict(sorted(newest.items()))


def active_rules(tags: Mapping[str, Tag], backfilled: Set[int] | None = None) -> dict[str, Rule]:
    """Return the rules of tags that are not retired, by tag id.

    `backfilled`: leaves out a tag with any other predicate; None = leaves out none.
    """
    return {
        tag.tag_id: tag.rule
        for tag in tags.values()
        if not tag.retired and (backfilled is None or _predicate_ids(tag.rule) <= backfilled)
    }


def tags_of(rules: Mapping[str, Rule], view: ProfileView, at_us: int) -> list[str]:
    """Return the tags whose rule is true of a profile at an instant, sorted."""
    return sorted(tag_id for tag_id, rule in rules.items() if answer_rule(rule, view, at_us)[0])


def answer_rule(rule: Rule, view: ProfileView, at_us: int) -> tuple[bool, list[PredicateAnswer]]:
    """Return whether a rule is true of a profile at an instant, and each predicate's result."""
    results = [(p, evaluate_predicate(p, view, at_us)) for p in predicates(rule)]
    answers = [
        PredicateAnswer(p, result.actual, result.holds, *_statement(p, view))
        for p, result in results
    ]
    true = frozenset(predicate_id(answer.predicate) for answer in answers if answer.holds)
    return compile_rule(rule)(true), answers


def _statement(predicate: Predicate, view: ProfileView) -> tuple[bytes, str, int]:
    """Return the fact that states the trait of a predicate, no source, and its trust."""
    feature = predicate.feature
    value = view.trait_value(feature.name, feature.parties) if isinstance(feature, Trait) else None
    return (b"", "", 0) if value is None else (value[2], "", value[0])


def _predicate_ids(rule: Rule) -> frozenset[int]:
    return frozenset(map(predicate_id, predicates(rule)))
