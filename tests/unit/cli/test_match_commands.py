"""Tests `./onefold match` and `./onefold matches` against services in memory."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.type.v1.identifier_pb2 import Identifier

from services.cli.commands.matches import assess_match, match_all, show_matches
from services.kernel.errors import InvalidField
from services.linkage import job
from services.linkage.config import DEFAULT, MatchingConfig
from services.linkage.job import BY_PERSON, MatchingResult, find_matches
from services.linkage.records import LinkageProfile
from tests.people.hard_people import as_profile, hard_people

PAGE = 40


class FakeClient:
    """Identity and profile of one workspace, in memory."""

    def __init__(self, people: list[LinkageProfile]) -> None:
        self.people = {bytes(reversed(at.to_bytes(16))).hex(): p for at, p in enumerate(people, 1)}
        self.recorded: list[facts_pb.MatchAssessed] = []
        self.identity = self.profile = self

    async def ListProfiles(self, request: Any) -> profile_pb.ListProfilesResponse:
        assert request.page_size <= 1_000
        rest = sorted(i for i in self.people if i > request.page_token)
        page, more = rest[:PAGE], rest[PAGE:]
        # The last profile of a page is merged with a later one, and is listed again.
        again = [request.page_token] if request.page_token else []
        return profile_pb.ListProfilesResponse(
            profiles=[_profile(i, self.people[i]) for i in again + page],
            next_page_token=page[-1] if more else "",
        )

    async def AssessMatches(self, request: Any) -> pb.AssessMatchesResponse:
        assert len(request.matches) <= 1_000
        self.recorded += request.matches
        return pb.AssessMatchesResponse()

    async def ListMatches(self, request: Any) -> pb.ListMatchesResponse:
        latest = {(m.a.value, m.b.value): m for m in self.recorded}.values()
        chosen = [m for m in latest if request.assessment in (0, m.assessment)]
        first = int(request.page_token or 0)
        last = first + min(request.page_size, PAGE)
        more = str(last) if last < len(chosen) else ""
        return pb.ListMatchesResponse(matches=chosen[first:last], next_page_token=more)


def _profile(profile_id: str, person: LinkageProfile) -> profile_pb.Profile:
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
def computed() -> list[MatchingResult]:
    """Holds the matches of the one run of Splink, which the other tests use again."""
    return []


@pytest.fixture
def client(computed: list[MatchingResult], monkeypatch: pytest.MonkeyPatch) -> Any:
    def compute_once(people: list[LinkageProfile], config: MatchingConfig) -> MatchingResult:
        if not computed:
            computed.append(find_matches(people, config))
        assert len(people) == computed[0].total
        return computed[0]

    monkeypatch.setattr(job, "find_matches", compute_once)
    return FakeClient([as_profile(record) for record in hard_people(120, seed=8)])


async def test_match_without_record_records_nothing(
    client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await match_all(client, DEFAULT, record=False)
    assert client.recorded == []
    assert "record them with --record" in capsys.readouterr().out


async def test_match_with_record_records_each_match_completely_and_once(client: Any) -> None:
    await match_all(client, DEFAULT, record=True)
    first = list(client.recorded)
    assert len(first) > PAGE
    for match in first:
        accepted = match.assessment == facts_pb.ASSESSMENT_ACCEPTED
        assert list(match.purposes) == (["analytics"] if accepted else [])
        assert match.model_version.startswith("people-")
        assert {w.comparison for w in match.weights} >= {"name", "phone"}

    a, b = (f"{i.namespace}:{i.value}" for i in (first[0].a, first[0].b))
    await assess_match(client, a, b, [], same=False)
    by_person = client.recorded[-1]
    assert by_person.assessment == facts_pb.ASSESSMENT_REJECTED
    assert by_person.model_version == BY_PERSON
    assert by_person.weights == first[0].weights

    await match_all(client, DEFAULT, record=True)
    assert len(client.recorded) == len(first) + 1, "recorded matches and decisions are unchanged"


async def test_matches_list_shows_the_evidence_of_the_chosen_assessment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client: Any = FakeClient([])
    weight = facts_pb.MatchWeight(
        comparison="name", outcome="same characters", log2_bayes_factor=7.5
    )
    match = facts_pb.MatchAssessed(
        a=Identifier(namespace="user_id", value="a"),
        b=Identifier(namespace="user_id", value="b"),
        assessment=facts_pb.ASSESSMENT_TO_REVIEW,
        probability=0.75,
        model_version="people-1",
        weights=[weight],
    )
    client.recorded.append(match)
    await show_matches(client, "to-review", 10)
    shown = capsys.readouterr().out
    assert "user_id:a  user_id:b" in shown
    assert "+7.5  name: same characters" in shown
    await show_matches(client, "accepted", 10)
    assert "none" in capsys.readouterr().out


@pytest.mark.parametrize(("a", "purposes"), [("li", ["analytics"]), ("user_id:li", [])])
async def test_accepting_without_namespace_or_purpose_raises_an_error(
    a: str, purposes: list[str]
) -> None:
    client: Any = FakeClient([])
    with pytest.raises(InvalidField):
        await assess_match(client, a, "user_id:b", purposes, same=True)
    assert client.recorded == []
