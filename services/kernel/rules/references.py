"""Replaces references to segments, tags and stages with the rules that they name.

A fold evaluates rules without references only. What a reference means is a pure function of the
newest definitions, so a changed definition changes every rule that refers to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.errors import RuleError, RuleErrors
from services.kernel.rules.model import All, Any_, Not, Reference, ReferenceKind, Rule
from services.kernel.rules.names import check_name

MAX_VALUES = 100
#: Parts of one rule after its references are replaced, those of a shared part each time.
MAX_EXPANDED = 10_000
#: Parts of all rules of a workspace after their references are replaced.
MAX_EXPANDED_TOGETHER = 200_000
#: Rules inside of each other after references are replaced.
MAX_EXPANDED_DEPTH = 100
#: References that lead from one to the next.
MAX_CHAIN = 50
#: Wrong references that are reported together.
MAX_ERRORS = 20


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


def expand_some(rule: Rule, definitions: Definitions) -> Rule:
    """Return a rule without references to these definitions; other references stay.

    Raises RuleError as `expand` does.
    """
    return _PartialExpansion(definitions, is_lenient=False).expand(rule, ())


def dependants(name: Name, definitions: Definitions) -> list[Name]:
    """Return the definitions that refer to a name directly, ascending by kind and id."""
    found = _users(definitions).get(name, set())
    return sorted(found, key=lambda other: (other.kind.value, other.id))


def _users(definitions: Definitions) -> dict[Name, set[Name]]:
    """Return the definitions that refer directly to each name."""
    users: dict[Name, set[Name]] = {}
    for other, classification in definitions.items():
        for _, rule in classification.values:
            for reference in references(rule):
                users.setdefault(Name(reference.kind, reference.id), set()).add(other)
    return users


def check_definition(
    name: Name,
    classification: Classification | None,
    definitions: Definitions,
    assumed: Set[Name] = frozenset(),
) -> None:
    """Check that a definition may be made, or with None retired, beside the others.

    `assumed`: what is about to be defined, so its values are not checked. Raises RuleError if
    `expand` refuses one of the rules, or a rule that refers to it, also by way of others, or if all
    rules together become too large.
    """
    after = {other: own for other, own in definitions.items() if other != name}
    if classification is None:
        users = dependants(name, after)
        if users:
            used_by = ", ".join(f"{user.kind.value} `{user.id}`" for user in users)
            raise RuleError(f"it is in use by {used_by}", "change or retire these first")
        return
    after[name] = classification
    _check_values(name, classification, _Expansion(after, is_lenient=False, assumed=assumed))
    others = _Expansion(after, is_lenient=False, assumed=assumed - {name})
    affected = all_dependants(name, after)
    total = 0
    for other, own in after.items():
        try:
            total += sum(others.size_of(rule, (other,)) for rule in _evaluated(own))
        except RuleError as error:
            if other == name or other in affected:
                where = f"in the {other.kind.value} `{other.id}`, which refers to it"
                raise RuleError(f"{where}: {error.problem}", error.remedy) from None
    if total > MAX_EXPANDED_TOGETHER:
        raise RuleError(
            f"all rules of the workspace have {total} parts with those that they refer to, and at"
            f" most {MAX_EXPANDED_TOGETHER} are allowed",
            "refer to fewer or simpler definitions",
        )


def _check_values(name: Name, classification: Classification, expansion: _Expansion) -> None:
    """Raise RuleError, with the places, if values of a classification cannot be expanded."""
    errors: list[RuleError] = []
    seen: set[str] = set()
    for i, rule in enumerate(_evaluated(classification)):
        try:
            expansion.size_of(rule, (name,))
        except RuleError as error:
            # A value excludes those before it, so their mistakes are in its rule, too.
            new = [e for e in getattr(error, "errors", [error]) if e.message not in seen]
            seen.update(e.message for e in new)
            is_default = i == len(classification.values)
            place = "" if is_default or not classification.names[i] else f"values[{i}]."
            errors += [e if is_default else e.under(f"{place}rule") for e in new]
    _raise_all(errors)


def _raise_all(errors: Sequence[RuleError]) -> None:
    """Raise errors together; return where there are none."""
    if errors:
        raise errors[0] if len(errors) == 1 else RuleErrors(errors)


def _evaluated(classification: Classification) -> Iterator[Rule]:
    """Yield the rules that are evaluated for a classification: one for each value."""
    for value in classification.names:
        rule = classification.rule_of(value)
        if rule is not None:
            yield rule


def all_dependants(name: Name, definitions: Definitions) -> set[Name]:
    """Return the definitions that refer to a name, also by way of others. It need not be one."""
    users = _users(definitions)
    found: set[Name] = set()
    waiting = [name]
    while waiting:
        new = users.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


class _Expanded(NamedTuple):
    """A rule without references, and how large it is as a tree."""

    rule: Rule
    parts: int
    depth: int


class _Expansion:
    """Expands rules over one set of definitions; a definition is expanded once."""

    def __init__(
        self, definitions: Definitions, *, is_lenient: bool, assumed: Set[Name] = frozenset()
    ) -> None:
        self._definitions = definitions
        self._assumed = assumed
        self._is_lenient = is_lenient
        self._expanded: dict[Reference, _Expanded] = {}
        #: How often something was refused.
        self._refused = 0

    def expand(self, rule: Rule, path: tuple[Name, ...]) -> Rule:
        """Return a rule without references; `path` names the definitions that it is part of."""
        return self._expand(rule, path).rule

    def size_of(self, rule: Rule, path: tuple[Name, ...]) -> int:
        """Return the number of parts that a rule has without references."""
        return self._expand(rule, path).parts

    def _expand(self, rule: Rule, path: tuple[Name, ...]) -> _Expanded:
        match rule:
            case All():
                return self._joined(All, rule.rules, path)
            case Any_():
                return self._joined(Any_, rule.rules, path)
            case Not():
                inner = self._expand(rule.rule, path)
                return self._bounded(_Expanded(Not(inner.rule), inner.parts + 1, inner.depth + 1))
            case Reference():
                return self._referred(rule, path)
            case _:
                return _Expanded(rule, 1, 1)

    def _joined(
        self, join: type[All | Any_], rules: tuple[Rule, ...], path: tuple[Name, ...]
    ) -> _Expanded:
        """Expand the parts of a rule; it ends at the first excess, before anything large exists."""
        parts, depth, expanded, errors = 1, 0, list[Rule](), list[RuleError]()
        for rule in rules:
            try:
                part = self._expand(rule, path)
            except RuleError as error:
                errors.append(error)
                # So the work stays bounded, however definitions refer to a wrong one.
                if self._refused >= MAX_ERRORS:
                    break
                continue
            parts, depth = parts + part.parts, max(depth, part.depth)
            expanded.append(part.rule)
            if parts > MAX_EXPANDED:
                break
        _raise_all(errors)
        return self._bounded(_Expanded(join(tuple(expanded)), parts, depth + 1))

    def _bounded(self, expanded: _Expanded) -> _Expanded:
        if expanded.parts > MAX_EXPANDED:
            return self._refuse(
                f"the rule has more than {MAX_EXPANDED} parts with those that it refers to",
                "refer to fewer or simpler definitions",
            )
        if expanded.depth > MAX_EXPANDED_DEPTH:
            return self._refuse(
                f"the rule is more than {MAX_EXPANDED_DEPTH} deep with those that it refers to",
                "refer to fewer definitions inside of each other",
            )
        return expanded

    def _referred(self, reference: Reference, path: tuple[Name, ...]) -> _Expanded:
        if reference in self._expanded:
            return self._expanded[reference]
        name = Name(reference.kind, reference.id)
        if name in path:
            cycle = " → ".join(other.id for other in (*path[path.index(name) :], name))
            return self._refuse(f"the definitions refer to each other: {cycle}", "end the cycle")
        if len(path) > MAX_CHAIN:
            return self._refuse(
                f"more than {MAX_CHAIN} definitions refer to one another in a row",
                "refer to fewer definitions inside of each other",
            )
        named = self._rule_of(reference, name)
        expanded = named if isinstance(named, _Expanded) else self._expand(named, (*path, name))
        self._expanded[reference] = expanded
        return expanded

    def _rule_of(self, reference: Reference, name: Name) -> Rule | _Expanded:
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

    def _refuse(self, problem: str, remedy: str) -> _Expanded:
        if self._is_lenient:
            return _Expanded(Any_(()), 1, 1)
        self._refused += 1
        raise RuleError(problem, remedy)


class _PartialExpansion(_Expansion):
    """Leaves references to other definitions as they are."""

    def _rule_of(self, reference: Reference, name: Name) -> Rule | _Expanded:
        if name not in self._definitions:
            return _Expanded(reference, 1, 1)
        return super()._rule_of(reference, name)
