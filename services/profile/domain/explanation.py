"""Describes the explanation of a rule for one profile, as the API returns it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.kernel.explain.model import ExplainedRule
from services.kernel.ids import ProfileId
from services.kernel.rules.model import Reference, Rule
from services.kernel.tokens import Token
from services.profile.domain.tags import PredicateAnswer


@dataclass(frozen=True, slots=True)
class RuleExplanation:
    """Whether a rule is true of a profile, and why."""

    #: The profile, as its id was at that time.
    profile_id: ProfileId
    rule: Rule
    explanation: ExplainedRule
    #: The results of the predicates, in the order of the rule.
    answers: Sequence[PredicateAnswer]
    #: The state of the log that was read.
    token: Token

    @property
    def definition_version(self) -> int:
        """The version of the definition whose membership was explained; 0 = a rule was."""
        root = self.explanation.root
        return root.version if isinstance(root.rule, Reference) else 0
