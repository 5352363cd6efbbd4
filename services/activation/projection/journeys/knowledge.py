"""Reads upstream what runs need of persons besides their facts: the truth of rules, zones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.run import Question
from services.activation.store.runs import PersonKey
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.contact_policy import ZonePolicy
from services.kernel.journeys.model import Journey
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

    async def texts(self, traits: Mapping[Person, Collection[str]]) -> dict[Person, dict[str, str]]:
        """Return those of some traits of persons that are texts, by their names."""

    async def members(
        self, workspace_id: WorkspaceId, segment_id: str, at_us: int, page_token: str
    ) -> tuple[list[ProfileId], str]:
        """Return a page of the members of a segment at an instant, and the token of the next."""


class PastPerson(NamedTuple):
    """A person with what has happened to it that a journey would wait for."""

    profile_id: ProfileId
    leaf_ids: Sequence[LeafId]
    facts: Sequence[JourneyFact]


class GroupQuestion(NamedTuple):
    """A question about the leaves that were one person at an instant."""

    leaf_ids: tuple[LeafId, ...]
    question: Question
    #: Facts that were recorded later do not count, Unix microseconds; 0 = all do.
    recorded_until_us: int


class PastReads(Protocol):
    """What the log says of persons for a journey that is not defined; calls raise OnefoldError."""

    def persons(
        self, workspace_id: WorkspaceId, journey: Journey, from_us: int
    ) -> AsyncGenerator[list[PastPerson]]:
        """Yield all persons page by page, with the facts that occurred from an instant on."""

    async def judge(
        self, workspace_id: WorkspaceId, questions: Sequence[GroupQuestion]
    ) -> list[bool]:
        """Return whether rules were true, in order."""
