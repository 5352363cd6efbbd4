"""Explains a rule for one person: `explain` is the entry to the package."""

from __future__ import annotations

from services.kernel.explain.changes import Proposer, change_of
from services.kernel.explain.citation import cite
from services.kernel.explain.facts import earliest_counted_us, predicate_facts, window_of
from services.kernel.explain.hypothesis import Hypotheses
from services.kernel.explain.model import (
    Change,
    ExplainedPart,
    ExplainedRule,
    Person,
    VersionedDefinitions,
)
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.references import Name, expand_known
from services.kernel.rules.windows import Rolling


def explain(
    rule: Rule, person: Person, at_us: int, definitions: VersionedDefinitions | None = None
) -> ExplainedRule:
    """Explain why a rule is true of a person at an instant (Unix microseconds), or not.

    A reference that `definitions` do not have is never true.
    """
    known = definitions or {}
    expanded = expand_known(rule, {name: own.classification for name, own in known.items()})
    hypotheses = Hypotheses(expanded, person, at_us)
    builder = _Builder(hypotheses, known)
    root = builder.node(rule, ())
    change = change_of(root, hypotheses, builder.options)
    return ExplainedRule(
        root, hypotheses.at_us, cite(root, hypotheses), change, hypotheses.next_due_us()
    )


class _Builder:
    """Builds the nodes of one rule; each predicate is evaluated once."""

    def __init__(self, hypotheses: Hypotheses, definitions: VersionedDefinitions) -> None:
        self._hypotheses = hypotheses
        self._definitions = definitions
        self._proposer = Proposer(hypotheses)
        self._nodes: dict[Predicate, ExplainedPart] = {}
        #: What changes each predicate, by its id.
        self.options: dict[int, list[Change]] = {}

    def node(self, rule: Rule, path: tuple[Name, ...]) -> ExplainedPart:
        """Return the node of a part of a rule, reached through some references."""
        match rule:
            case All():
                children = tuple(self.node(part, path) for part in rule.rules)
                return ExplainedPart(rule, all(child.holds for child in children), children)
            case Any_():
                children = tuple(self.node(part, path) for part in rule.rules)
                return ExplainedPart(rule, any(child.holds for child in children), children)
            case Not():
                child = self.node(rule.rule, path)
                return ExplainedPart(rule, not child.holds, (child,))
            case Reference():
                return self._referred(rule, path)
            case _:
                if rule not in self._nodes:
                    self._nodes[rule] = self._predicate(rule)
                return self._nodes[rule]

    def _referred(self, reference: Reference, path: tuple[Name, ...]) -> ExplainedPart:
        name = Name(reference.kind, reference.id)
        definition = self._definitions.get(name)
        if definition is None or name in path:
            return ExplainedPart(reference, holds=False)
        own = definition.classification
        is_any = name.kind is not ReferenceKind.STAGE and not reference.value
        named = own.rule_of_any() if is_any else own.rule_of(reference.value)
        if named is None:
            return ExplainedPart(reference, holds=False, version=definition.version)
        child = self.node(named, (*path, name))
        return ExplainedPart(reference, child.holds, (child,), definition.version)

    def _predicate(self, predicate: Predicate) -> ExplainedPart:
        hypotheses, id_ = self._hypotheses, predicate_id(predicate)
        compiled = hypotheses.index.predicates[id_]
        holds, actual, due_us = compiled.evaluate(hypotheses.view, hypotheses.at_us)
        facts = predicate_facts(predicate, actual, hypotheses)
        until_us, window = None, window_of(predicate.feature)
        if isinstance(window, Rolling):
            earliest_us = earliest_counted_us(predicate.feature, facts, hypotheses.entries)
            until_us = None if earliest_us is None else earliest_us + window.span_us
        options = self._proposer.changes_of(predicate, holds, actual, until_us)
        self.options[id_] = options
        change = options[0] if options else None
        return ExplainedPart(predicate, holds, facts=facts, next_due_us=due_us, change=change)
