"""Replaces references to segments, tags and stages with the rules that they name.

A fold evaluates rules without references only. What a reference means is a pure function of the
newest definitions, so a changed definition changes every rule that refers to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.errors import RuleError
from services.kernel.rules.model import All, Any_, Not, Reference, ReferenceKind, Rule
from services.kernel.rules.names import check_name

MAX_VALUES = 100
#: Parts of one rule after its references are replaced.
MAX_EXPANDED = 10_000


class ValueRule(NamedTuple):
    """One value of a classification, and the rule that gives it."""

    value: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Classification:
    """Gives each profile at most one value: the first in order whose rule is true.

    With a `default` each profile has exactly one. A segment, and a tag without values, is a
    classification with one value, the empty text.
    """

    values: tuple[ValueRule, ...]
    #: The value of the profiles for which no rule is true; empty = none.
    default: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.values) <= MAX_VALUES:
            remedy = f"write 1 to {MAX_VALUES}"
            raise RuleError("there are too few or too many values", remedy)
        names = [value for value, _ in self.values]
        if len(names) > 1 or self.default:
            for i, name in enumerate(names):
                check_name(f"[{i}].value", name)
        if self.default:
            check_name("default", self.default)
            names.append(self.default)
        for i, name in enumerate(names):
            if name in names[:i]:
                raise RuleError(f"the value `{name}` occurs twice", "join its rules with `any`")

    @classmethod
    def of(cls, rule: Rule) -> Classification:
        """Return the classification of a segment, or of a tag without values."""
        return cls((ValueRule("", rule),))

    @property
    def names(self) -> tuple[str, ...]:
        """The values in order, the default last."""
        named = tuple(value for value, _ in self.values)
        return (*named, self.default) if self.default else named

    def rule_of(self, value: str) -> Rule | None:
        """Return the rule of the profiles that have a value; None if there is no such value."""
        earlier: list[Rule] = []
        for name, rule in self.values:
            if name == value:
                return All((rule, *earlier)) if earlier else rule
            earlier.append(Not(rule))
        return All(tuple(earlier)) if value and value == self.default else None

    def rule_of_any(self) -> Rule:
        """Return the rule of the profiles that have some value."""
        if self.default:
            return All(())
        rules = tuple(rule for _, rule in self.values)
        return rules[0] if len(rules) == 1 else Any_(rules)


class Name(NamedTuple):
    """What a reference names."""

    kind: ReferenceKind
    id: str


Definitions = Mapping[Name, Classification]


class NamedRules(NamedTuple):
    """One version of a definition that references may name."""

    name: Name
    version: int
    title: str
    classification: Classification
    retired: bool


def names_of(defined: Iterable[NamedRules]) -> Definitions:
    """Return what references may name: of each name the newest version, unless it is retired."""
    newest: dict[Name, NamedRules] = {}
    for rules in defined:
        if rules.name not in newest or rules.version > newest[rules.name].version:
            newest[rules.name] = rules
    return {name: own.classification for name, own in newest.items() if not own.retired}


def references(rule: Rule) -> Iterator[Reference]:
    """Yield the references of a rule in the order in which they are written."""
    match rule:
        case All() | Any_():
            for part in rule.rules:
                yield from references(part)
        case Not():
            yield from references(rule.rule)
        case Reference():
            yield rule


def expand(rule: Rule, definitions: Definitions, assumed: Set[Name] = frozenset()) -> Rule:
    """Return a rule without references; those to `assumed` are always true.

    Raises RuleError if a reference names nothing that is defined, if definitions refer to each
    other in a cycle, or if the rule becomes too large.
    """
    return _Expansion(definitions, is_lenient=False, assumed=assumed).expand(rule, ())


def expand_known(rule: Rule, definitions: Definitions) -> Rule:
    """Return a rule without references, where any reference that `expand` refuses is never true.

    A fold uses it: the definitions were checked when they were made, one by one.
    """
    return _Expansion(definitions, is_lenient=True).expand(rule, ())


def dependants(name: Name, definitions: Definitions) -> list[Name]:
    """Return the definitions that refer to a name directly, ascending by kind and id."""
    found = [
        other
        for other, classification in definitions.items()
        for _, rule in classification.values
        if any(Name(r.kind, r.id) == name for r in references(rule))
    ]
    return sorted(set(found), key=lambda other: (other.kind.value, other.id))


def check_definition(
    name: Name,
    classification: Classification | None,
    definitions: Definitions,
    assumed: Set[Name] = frozenset(),
) -> None:
    """Check that a definition may be made, or with None retired, beside the others.

    `assumed`: what is about to be defined, so its values are not checked. Raises RuleError if
    `expand` refuses one of the rules, or a rule that refers to it.
    """
    after = {other: own for other, own in definitions.items() if other != name}
    users = dependants(name, after)
    if classification is None:
        if users:
            used_by = ", ".join(f"{user.kind.value} `{user.id}`" for user in users)
            raise RuleError(f"it is in use by {used_by}", "change or retire these first")
        return
    after[name] = classification
    for i, (value, rule) in enumerate(classification.values):
        try:
            _Expansion(after, is_lenient=False, assumed=assumed).expand(rule, (name,))
        except RuleError as error:
            raise error.under(f"values[{i}].rule" if value else "rule") from None
    for user in users:
        for _, rule in after[user].values:
            try:
                expand(rule, after, assumed - {name})
            except RuleError as error:
                where = f"in the {user.kind.value} `{user.id}`, which refers to it"
                raise RuleError(f"{where}: {error.problem}", error.remedy) from None


class _Expansion:
    """Expands rules over one set of definitions; a definition is expanded once."""

    def __init__(
        self, definitions: Definitions, *, is_lenient: bool, assumed: Set[Name] = frozenset()
    ) -> None:
        self._definitions = definitions
        self._assumed = assumed
        self._is_lenient = is_lenient
        self._expanded: dict[Reference, Rule] = {}
        self._parts = 0

    def expand(self, rule: Rule, path: tuple[Name, ...]) -> Rule:
        self._parts += 1
        if self._parts > MAX_EXPANDED:
            return self._refuse(
                f"the rule has more than {MAX_EXPANDED} parts with those that it refers to",
                "refer to fewer or simpler definitions",
            )
        match rule:
            case All():
                return All(tuple(self.expand(part, path) for part in rule.rules))
            case Any_():
                return Any_(tuple(self.expand(part, path) for part in rule.rules))
            case Not():
                return Not(self.expand(rule.rule, path))
            case Reference():
                return self._referred(rule, path)
            case _:
                return rule

    def _referred(self, reference: Reference, path: tuple[Name, ...]) -> Rule:
        if reference in self._expanded:
            return self._expanded[reference]
        name = Name(reference.kind, reference.id)
        if name in path:
            cycle = " → ".join(other.id for other in (*path[path.index(name) :], name))
            return self._refuse(f"the definitions refer to each other: {cycle}", "end the cycle")
        named = self._rule_of(reference, name)
        expanded = self.expand(named, (*path, name))
        self._expanded[reference] = expanded
        return expanded

    def _rule_of(self, reference: Reference, name: Name) -> Rule:
        classification = self._definitions.get(name)
        what = name.kind.value
        if name in self._assumed:
            return All(())
        if classification is None:
            return self._refuse(f"there is no {what} `{name.id}`", f"define the {what} first")
        if name.kind is not ReferenceKind.STAGE and not reference.value:
            return classification.rule_of_any()
        rule = classification.rule_of(reference.value)
        if rule is None:
            known = ", ".join(classification.names)
            return self._refuse(
                f"the {what} `{name.id}` has no value `{reference.value}`", f"write one of {known}"
            )
        return rule

    def _refuse(self, problem: str, remedy: str) -> Rule:
        if self._is_lenient:
            return Any_(())
        raise RuleError(problem, remedy)
