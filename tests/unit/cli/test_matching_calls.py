"""`onefold match` over the wire: whom it reads, what it says, how a person decides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from onefold.identity.v1 import identity_facts_pb2 as facts
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.type.v1.identifier_pb2 import Identifier

from services.cli import matching
from services.cli.matching import judge_match, match_all, show_matches
from services.kernel.errors import InvalidField
from services.linkage.config import DEFAULT, MatchingConfig
from services.linkage.job import BY_PERSON, Found, find_matches
from services.linkage.people import Person
from tests.people.hard_people import as_person, hard_people

PAGE = 40


class System:
    """Identity and profile of one workspace, in memory; its methods are the calls of both."""

    def __init__(self, people: list[Person]) -> None:
        self.people = {bytes(reversed(at.to_bytes(16))).hex(): p for at, p in enumerate(people, 1)}
        self.said: list[facts.MatchAssessed] = []
        self.identity = self.profile = self

    async def ListProfiles(self, request: Any) -> profile_pb.ListProfilesResponse:
        assert request.page_size <= 1_000
        rest = sorted(i for i in self.people if i > request.page_token)
        page, more = rest[:PAGE], rest[PAGE:]
        # Whoever came last is merged with somebody behind, and comes again.
        again = [request.page_token] if request.page_token else []
        return profile_pb.ListProfilesResponse(
            profiles=[_profile(i, self.people[i]) for i in again + page],
            next_page_token=page[-1] if more else "",
        )

    async def AssessMatches(self, request: Any) -> pb.AssessMatchesResponse:
        assert len(request.matches) <= 1_000
        self.said += request.matches
        return pb.AssessMatchesResponse()

    async def ListMatches(self, request: Any) -> pb.ListMatchesResponse:
        latest = {(m.a.value, m.b.value): m for m in self.said}.values()
        chosen = [m for m in latest if request.assessment in (0, m.assessment)]
        first = int(request.page_token or 0)
        last = first + min(request.page_size, PAGE)
        more = str(last) if last < len(chosen) else ""
        return pb.ListMatchesResponse(matches=chosen[first:last], next_page_token=more)

    async def call(self, method: Any, request: Any) -> Any:
        return await method(request)


def _profile(profile_id: str, person: Person) -> profile_pb.Profile:
    return profile_pb.Profile(
        profile_id=profile_id,
        identifiers=[Identifier(namespace=n, value=v) for n, v in person.identifiers],
        traits=[
            profile_pb.Trait(name=name, value=msgspec.json.encode(value))
            for name, value in person.traits.items()
        ],
        first_seen_us=person.first_seen_us,
        last_seen_us=person.last_seen_us,
    )


@pytest.fixture(scope="module")
def found() -> list[Found]:
    """What the one real run has found; the others are given it again."""
    return []


@pytest.fixture
def system(found: list[Found], monkeypatch: pytest.MonkeyPatch) -> System:
    def once(people: list[Person], config: MatchingConfig) -> Found:
        if not found:
            found.append(find_matches(people, config))
        assert len(people) == found[0].people
        return found[0]

    monkeypatch.setattr(matching, "find_matches", once)
    return System([as_person(record) for record in hard_people(120, seed=8)])


async def run(system: Any, *, say: bool) -> None:
    await match_all(system, DEFAULT, say=say)


async def test_a_dry_run_says_nothing(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    await run(system, say=False)
    assert system.said == []
    assert "say them with --say" in capsys.readouterr().out


async def test_what_is_said_is_whole_and_said_once(system: System) -> None:
    await run(system, say=True)
    first = list(system.said)
    assert len(first) > PAGE
    for match in first:
        accepted = match.assessment == facts.ASSESSMENT_ACCEPTED
        assert list(match.purposes) == (["analytics"] if accepted else [])
        assert match.model_version.startswith("people-")
        assert {w.comparison for w in match.weights} >= {"name", "phone"}

    a, b = (f"{i.namespace}:{i.value}" for i in (first[0].a, first[0].b))
    await judge_match(system, a, b, [], same=False)
    by_person = system.said[-1]
    assert (by_person.assessment, by_person.model_version) == (facts.ASSESSMENT_REJECTED, BY_PERSON)
    assert by_person.weights == first[0].weights

    await run(system, say=True)
    assert len(system.said) == len(first) + 1, "what is known, and what a person said, stands"


async def test_the_queue_shows_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    system = System([])
    weight = facts.MatchWeight(comparison="name", outcome="same characters", log2_bayes_factor=7.5)
    match = facts.MatchAssessed(
        a=Identifier(namespace="user_id", value="a"),
        b=Identifier(namespace="user_id", value="b"),
        assessment=facts.ASSESSMENT_TO_REVIEW,
        probability=0.75,
        model_version="people-1",
        weights=[weight],
    )
    system.said.append(match)
    await show_matches(system, "to-review", 10)  # type: ignore[arg-type] # stands in for a client
    shown = capsys.readouterr().out
    assert "user_id:a  user_id:b" in shown
    assert "+7.5  name: same characters" in shown
    await show_matches(system, "accepted", 10)  # type: ignore[arg-type] # as above
    assert "none" in capsys.readouterr().out


@pytest.mark.parametrize(("a", "purposes"), [("li", ["analytics"]), ("user_id:li", [])])
async def test_what_a_person_says_has_to_be_whole(a: str, purposes: list[str]) -> None:
    system: Any = System([])
    with pytest.raises(InvalidField):
        await judge_match(system, a, "user_id:b", purposes, same=True)
    assert system.said == []
