"""Reads upstream what runs need of persons besides their facts: the truth of rules, zones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.activation.domain.journeys.run import Question
from services.activation.store.runs import PersonKey
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.contact_policy import ZonePolicy
from services.kernel.tokens import Token

#: A person of a workspace.
Person = tuple[WorkspaceId, ProfileId]
#: A question about a person.
PersonQuestion = tuple[PersonKey, Question]


@dataclass(frozen=True)
class Knowledge:
    """What was read upstream for the next look."""

    answers: Mapping[PersonQuestion, bool] = field(default_factory=dict)
    #: The zones of persons.
    zones: Mapping[Person, str] = field(default_factory=dict)


class JourneyReads(Protocol):
    """What the services upstream know of persons; every call raises OnefoldError."""

    async def judge(
        self, questions: Collection[PersonQuestion], at_least: Token
    ) -> dict[PersonQuestion, bool]:
        """Return whether rules are true of persons, as of a state of the log."""

    async def zones(self, persons: Mapping[Person, ZonePolicy]) -> dict[Person, str]:
        """Return the zones of persons by the contact policies of their workspaces."""

    async def members(
        self, workspace_id: WorkspaceId, segment_id: str, at_us: int, page_token: str
    ) -> tuple[list[ProfileId], str]:
        """Return a page of the members of a segment at an instant, and the token of the next."""
