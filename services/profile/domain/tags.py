"""Defines tags and sets of stages, and evaluates them for a profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Generic, NamedTuple, TypeVar

from services.kernel.errors import InvalidField
from services.kernel.fold.additions import reserved_fact
from services.kernel.fold.leaf import ProfileView
from services.kernel.fold.traits import CORRECTED
from services.kernel.ids import WorkspaceId
from services.kernel.rules.evaluate import (
    RuleTest,
    compile_predicate,
    compile_rule,
    evaluate_predicate,
)
from services.kernel.rules.features import Trait
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.inputs import accumulators_of
from services.kernel.rules.model import Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.names import is_reserved_trait
from services.kernel.rules.references import Classification, Definitions, Name, expand_known
from services.profile.domain.rfm import RfmFit, RfmModel, check_model, classification_of
from services.profile.domain.settings import WorkspaceSettings

K = TypeVar("K", "TagOfProfile", str)

MAX_ID_LENGTH, MAX_TITLE_LENGTH = 128, 200


class TagKind(IntEnum):
    """What a tag is used for; the numbers of onefold.profile.v1.TagKind."""

    TAG = 1
    #: A set of stages: each profile is in exactly one.
    STAGE = 2


@dataclass(frozen=True, slots=True)
class Tag:
    """One version of a tag, or of a set of stages."""

    workspace_id: WorkspaceId
    tag_id: str
    version: int
    title: str
    classification: Classification
    kind: TagKind = TagKind.TAG
    retired: bool = False
    #: The model that `classification` follows from; None = it has none.
    model: RfmModel | None = None

    @property
    def name(self) -> Name:
        """The name that references to the tag have."""
        is_stage = self.kind is TagKind.STAGE
        return Name(ReferenceKind.STAGE if is_stage else ReferenceKind.TAG, self.tag_id)

    def at_version(self, version: int) -> Tag:
        """Return the same tag with another version."""
        return replace(self, version=version)

    def with_fit(self, fit: RfmFit | None, settings: WorkspaceSettings) -> Tag:
        """Return the tag with its model fitted, and the rules over orders that follow.

        Raises InvalidField where the workspace has no orders.
        """
        if self.model is None:
            return self
        if settings.orders is None:
            raise InvalidField(
                "the workspace has no orders: define them in its settings", field="tag.rfm"
            )
        model = self.model.with_fit(fit)
        default = self.classification.default
        own = classification_of(model, settings.orders, default)
        return replace(self, model=model, classification=own)


class TagOfProfile(NamedTuple):
    """A tag that a profile has, or its stage."""

    tag_id: str
    #: Empty for a tag without values.
    value: str
    kind: TagKind


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
    if tag.model is not None:
        check_model(tag.model, "tag.rfm")
    if tag.kind is TagKind.STAGE and not tag.classification.default:
        raise InvalidField(
            "a set of stages has a default, the stage of everybody else: write one",
            field="tag.default_value",
        )


def newest_tags(tags: Iterable[Tag]) -> dict[str, Tag]:
    """Return the newest version of each tag and set of stages, by id."""
    newest: dict[str, Tag] = {}
    for tag in tags:
        if tag.tag_id not in newest or tag.version > newest[tag.tag_id].version:
            newest[tag.tag_id] = tag
    return dict(sorted(newest.items()))


class WorkspaceDefinitions(NamedTuple):
    """The newest definitions of one workspace."""

    #: Tags and sets of stages, by id.
    tags: Mapping[str, Tag]
    #: What references may name.
    names: Definitions
    settings: WorkspaceSettings
    #: The version of each of `names`.
    versions: Mapping[Name, int]


def active_rules(
    definitions: WorkspaceDefinitions, backfilled: Set[int] | None = None
) -> dict[TagOfProfile, Rule]:
    """Return the rule of each value of tags that are not retired, without references.

    `backfilled`: leaves out a tag with any other predicate that reads accumulators, as these may
    lack old events; None = leaves out none.
    """
    rules: dict[TagOfProfile, Rule] = {}
    for tag in definitions.tags.values():
        own = {} if tag.retired else _value_rules(tag, definitions.names)
        needed = {
            predicate_id(p)
            for rule in own.values()
            for p in predicates(rule)
            if accumulators_of(p.feature)
        }
        if backfilled is None or needed <= backfilled:
            rules |= own
    return rules


class RuleSet(Generic[K]):
    """Rules without references, each with a key, prepared to be tested for many profiles."""

    def __init__(self, rules: Mapping[K, Rule]) -> None:
        compiled = (compile_predicate(p) for rule in rules.values() for p in predicates(rule))
        self._predicates = {predicate.id: predicate.evaluate for predicate in compiled}
        self._tests: list[tuple[K, RuleTest]] = [
            (key, compile_rule(rules[key])) for key in sorted(rules)
        ]

    def __len__(self) -> int:
        return len(self._tests)

    def true_of(self, view: ProfileView, at_us: int) -> list[K]:
        """Return the keys of the rules that are true of a profile at an instant, ascending."""
        evaluated = self._predicates.items()
        true = {id_ for id_, evaluate in evaluated if evaluate(view, at_us).holds}
        return [key for key, is_true in self._tests if is_true(true)]


def segment_rules(definitions: WorkspaceDefinitions) -> dict[str, Rule]:
    """Return the rule of each segment that is not retired, without references, by its id."""
    return {
        name.id: expand_known(own.rule_of_any(), definitions.names)
        for name, own in definitions.names.items()
        if name.kind is ReferenceKind.SEGMENT
    }


def membership_references(definitions: WorkspaceDefinitions) -> dict[str, Reference]:
    """Return what can be a member of a profile, by the id under which segment has its members.

    These are the ids of segments, `tag:ID`, `tag:ID=VALUE` and `stage:SET=STAGE`.
    """
    found: dict[str, Reference] = {}
    for (kind, id_), own in definitions.names.items():
        if kind is ReferenceKind.SEGMENT:
            found[id_] = Reference(kind, id_)
            continue
        if kind is ReferenceKind.TAG:
            found[f"tag:{id_}"] = Reference(kind, id_)
        for value in own.names:
            if value:
                found[f"{kind.value}:{id_}={value}"] = Reference(kind, id_, value)
    return found


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
    """Return the fact that states the trait of a predicate, its source and its trust.

    A correction has neither source nor trust.
    """
    feature = predicate.feature
    if not isinstance(feature, Trait):
        return b"", "", 0
    if is_reserved_trait(feature.name):
        return reserved_fact(view.additions, feature.name) or b"", "", 0
    won = view.trait_value(feature.name, feature.parties)
    if won is None:
        return b"", "", 0
    return won.fact_id, won.source_id, 0 if won.trust == CORRECTED else won.trust


def _value_rules(tag: Tag, definitions: Definitions) -> dict[TagOfProfile, Rule]:
    own = tag.classification
    rules = ((value, own.rule_of(value)) for value in own.names)
    return {
        TagOfProfile(tag.tag_id, value, tag.kind): expand_known(rule, definitions)
        for value, rule in rules
        if rule is not None
    }
