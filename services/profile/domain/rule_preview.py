"""Evaluates rules that are not defined for a profile, and says how many profiles to evaluate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from services.kernel.fold.leaf import ProfileView
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import ProfileId
from services.kernel.rules.evaluate import RuleTest, compile_rule
from services.kernel.rules.model import Rule
from services.kernel.tokens import Token
from services.profile.domain.evaluation import evaluate_predicates
from services.profile.domain.objects import reads_objects
from services.profile.domain.tags import PredicateAnswer, answer_rule


class PreviewCost(NamedTuple):
    """The size of a preview, and what its rules would cost."""

    profiles: int
    #: One in so many profiles is evaluated.
    one_in: int
    #: Predicates that no rule of the workspace has had.
    new_predicates: int
    #: Times and records of events of a person at most.
    retained: int
    token: Token


class EvaluatedProfile(NamedTuple):
    """The results of rules for one profile."""

    profile_id: ProfileId
    true_rules: Sequence[int]
    #: For a sample: the results of the predicates of the first true rule.
    answers: Sequence[PredicateAnswer]


def sampling(profiles: int, most: int) -> int:
    """Return that one in so many profiles is evaluated; 1 where they are at most `most`."""
    return 1 if profiles <= most else ceil(2 * profiles / most)


@dataclass(slots=True)
class RuleEvaluation:
    """Evaluates rules without references for one profile after the other."""

    rules: Sequence[Rule]
    #: The number of profiles of each rule whose predicates are answered one by one.
    samples: int
    #: The accumulators that are not complete in the stored leaves.
    missing: frozenset[int] = frozenset()
    index: PredicateIndex = field(init=False)
    _tests: Sequence[RuleTest] = field(init=False)
    _sampled: Counter[int] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.index = PredicateIndex.from_rules(self.rules)
        self._tests = [compile_rule(rule) for rule in self.rules]

    @property
    def reads_objects(self) -> bool:
        """Whether the rules read the objects that a person is related to."""
        return reads_objects(own.predicate for own in self.index.predicates.values())

    def evaluate(self, profile_id: ProfileId, view: ProfileView, at_us: int) -> EvaluatedProfile:
        """Evaluate one profile as of `at_us` (Unix microseconds)."""
        holding, _ = evaluate_predicates(self.index.predicates, view, self.index, at_us)
        true = [i for i, is_true in enumerate(self._tests) if is_true(holding)]
        answers: Sequence[PredicateAnswer] = ()
        if true and self._sampled[true[0]] < self.samples:
            self._sampled[true[0]] += 1
            _, answers = answer_rule(self.rules[true[0]], view, at_us)
        return EvaluatedProfile(profile_id, true, answers)
