"""Probable matches over the wire: people in, matches out, and what was said about them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from onefold.identity.v1 import identity_facts_pb2 as facts
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.profile.v1.profile_service_pb2 import ListProfilesRequest
from onefold.type.v1 import identifier_pb2
from rich.markup import escape
from rich.tree import Tree

from services.cli import output as show
from services.cli.client import Client
from services.cli.context import identifier_from
from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier
from services.linkage.config import read_config
from services.linkage.job import (
    BY_PERSON,
    Found,
    Judgement,
    Match,
    Pair,
    find_matches,
    news,
    pair_of,
)
from services.linkage.linker import Weight
from services.linkage.people import Person

#: Profiles asked for, matches said, matches listed with one call.
_PROFILES, _SAID, _LISTED = 500, 500, 1_000


async def match_all(client: Client, config: Path, *, say: bool) -> Found:
    """Match the people of the workspace; `say` says what is new, else it is only counted."""
    settings = read_config(config)
    people = [person async for person in read_people(client)]
    found = find_matches(people, settings)
    fresh = news(found, await read_matches(client))
    if say:
        await _say(client, fresh)
    _summarise(found, fresh, said=say)
    return found


async def read_people(client: Client) -> AsyncIterator[Person]:
    """Everybody in the workspace that the key of `client` opens, each once."""
    seen: set[str] = set()
    request = ListProfilesRequest(page_size=_PROFILES)
    while True:
        answer = await client.call(client.profile.ListProfiles, request)
        # Who is merged or taken apart meanwhile may come twice.
        for profile in answer.profiles:
            if profile.profile_id not in seen:
                seen.add(profile.profile_id)
                yield _person(profile)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


async def read_matches(
    client: Client, judgement: Judgement | None = None, limit: int = 0
) -> dict[Pair, Match]:
    """What was said last about each pair; `limit` 0 = all of it."""
    request = pb.ListMatchesRequest(assessment=_number(judgement), page_size=limit or _LISTED)
    told: dict[Pair, Match] = {}
    while True:
        answer = await client.call(client.identity.ListMatches, request)
        told |= {match.pair: match for match in map(_match, answer.matches)}
        request.page_token = answer.next_page_token
        if limit or not request.page_token:
            return told


async def show_matches(client: Client, judgement: str, limit: int) -> None:
    """Print matches as trees: the two, and what speaks for and against."""
    told = await read_matches(client, _judgement(judgement), limit)
    for match in sorted(told.values(), key=lambda m: -m.probability):
        show.out.print(_tree(match))
    if not told:
        show.out.print("There is none.")


async def judge_match(
    client: Client, a: str, b: str, purposes: Sequence[str], *, same: bool
) -> None:
    """Say for a person whether two are one; it stands against every model. Raises InvalidField."""
    pair = pair_of(_identifier(a), _identifier(b))
    if same and not purposes:
        raise InvalidField("name with --purpose what the match may be used for")
    judgement = Judgement.ACCEPTED if same else Judgement.REJECTED
    known = (await read_matches(client)).get(pair)
    probability, weights = (known.probability, known.weights) if known else (float(same), ())
    told = tuple(sorted(purposes)) if same else ()
    await _say(client, [Match(pair, judgement, probability, BY_PERSON, told, weights)])
    show.out.print("It is in the log.")


async def _say(client: Client, matches: Sequence[Match]) -> None:
    for chunk in _chunks(matches, _SAID):
        request = pb.AssessMatchesRequest(matches=map(_told, chunk))
        await client.call(client.identity.AssessMatches, request)


def _summarise(found: Found, fresh: Sequence[Match], *, said: bool) -> None:
    show.out.print(
        f"{found.people:,} people, {found.compared:,} of whom allow it; model {found.model_version}"
    )
    rows = [(j.value.replace("_", " "), found.count(j)) for j in Judgement if found.count(j)]
    show.table("", ("judgement", "matches"), rows)
    for objection, count in found.objections().most_common():
        show.out.print(f"  put before a person, as {objection}: {count:,}")
    verb = "were said" if said else "are new; say them with --say"
    show.out.print(f"{len(fresh):,} {verb}.")


def _tree(match: Match) -> Tree:
    told = ", ".join(match.purposes)
    judged = match.judgement.value.replace("_", " ") + (f" for {told}" if told else "")
    tree = Tree(f"{_name(match.pair[0])}  {_name(match.pair[1])}")
    tree.add(f"{judged}, probability {match.probability:.4f}, by {match.model_version}")
    for weight in sorted(match.weights, key=lambda w: -w.log2_bayes_factor):
        tree.add(f"{weight.log2_bayes_factor:+6.1f}  {weight.comparison}: {weight.outcome}")
    return tree


def _person(profile: Any) -> Person:
    return Person(
        profile_id=profile.profile_id,
        identifiers=tuple((i.namespace, i.value) for i in profile.identifiers),
        traits={trait.name: msgspec.json.decode(trait.value) for trait in profile.traits},
        first_seen_us=profile.first_seen_us,
        last_seen_us=profile.last_seen_us,
    )


def _match(told: facts.MatchAssessed) -> Match:
    a, b = (Identifier(i.namespace, i.value) for i in (told.a, told.b))
    weights = (Weight(w.comparison, w.outcome, w.log2_bayes_factor) for w in told.weights)
    name = facts.Assessment.Name(told.assessment).removeprefix("ASSESSMENT_").lower()
    purposes = tuple(sorted(told.purposes))
    judgement, version = Judgement(name), told.model_version
    return Match(pair_of(a, b), judgement, told.probability, version, purposes, tuple(weights))


def _told(match: Match) -> facts.MatchAssessed:
    a, b = (identifier_pb2.Identifier(namespace=i.namespace, value=i.value) for i in match.pair)
    return facts.MatchAssessed(
        a=a,
        b=b,
        assessment=_number(match.judgement),
        probability=match.probability,
        model_version=match.model_version,
        purposes=match.purposes,
        weights=(facts.MatchWeight(**weight._asdict()) for weight in match.weights),
    )


def _number(judgement: Judgement | None) -> Any:
    name = judgement.name if judgement else "UNSPECIFIED"
    return facts.Assessment.Value(f"ASSESSMENT_{name}")


def _judgement(text: str) -> Judgement | None:
    try:
        return None if text == "all" else Judgement(text.replace("-", "_"))
    except ValueError as error:
        raise InvalidField("--judgement is accepted, to-review, rejected or all") from error


def _identifier(text: str) -> Identifier:
    told = identifier_from(text)
    return Identifier(told.namespace, told.value)


def _name(identifier: Identifier) -> str:
    return escape(f"{identifier.namespace}:{identifier.value}")


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
