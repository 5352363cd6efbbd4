"""Tags: named rules; a profile has a tag while the rule holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.kernel.fold.leaf import ProfileView
from services.kernel.ids import WorkspaceId
from services.kernel.rules.evaluate import compile_rule, evaluate_predicate
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import Predicate, Rule


@dataclass(frozen=True, slots=True)
class Tag:
    """One version of a tag."""

    workspace_id: WorkspaceId
    tag_id: str
    version: int
    title: str
    rule: Rule
    retired: bool = False

    def says_the_same(self, other: Tag) -> bool:
        """Whether the two differ in nothing but their version."""
        return (self.title, self.rule, self.retired) == (other.title, other.rule, other.retired)


class Answer(NamedTuple):
    """One predicate and how it came out."""

    predicate: Predicate
    #: What it was compared with; None = absent.
    actual: Any
    holds: bool


def newest(tags: Iterable[Tag]) -> dict[str, Tag]:
    """The newest version of each tag, by id."""
    latest: dict[str, Tag] = {}
    for tag in tags:
        if tag.tag_id not in latest or tag.version > latest[tag.tag_id].version:
            latest[tag.tag_id] = tag
    return dict(sorted(latest.items()))


def given(tags: Mapping[str, Tag], live: Set[int] | None = None) -> dict[str, Rule]:
    """The rules of the tags that are given, by id.

    `live`: the predicates that can be asked; None = all. A tag that asks another one is not given.
    """
    return {
        tag.tag_id: tag.rule
        for tag in tags.values()
        if not tag.retired and (live is None or _ids(tag.rule) <= live)
    }


def held(rules: Mapping[str, Rule], view: ProfileView, at_us: int) -> list[str]:
    """The tags whose rule holds at an instant, sorted."""
    return sorted(tag_id for tag_id, rule in rules.items() if answer(rule, view, at_us)[0])


def answer(rule: Rule, view: ProfileView, at_us: int) -> tuple[bool, list[Answer]]:
    """Whether a rule holds at an instant, and how each of its predicates came out."""
    answers = [_ask(predicate, view, at_us) for predicate in predicates(rule)]
    found = frozenset(predicate_id(a.predicate) for a in answers if a.holds)
    return compile_rule(rule)(found), answers


def _ask(predicate: Predicate, view: ProfileView, at_us: int) -> Answer:
    verdict = evaluate_predicate(predicate, view, at_us)
    return Answer(predicate, verdict.actual, verdict.holds)


def _ids(rule: Rule) -> frozenset[int]:
    return frozenset(map(predicate_id, predicates(rule)))
