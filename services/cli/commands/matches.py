"""`./onefold match` and `./onefold matches`: find probable matches, list them, assess them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1.identity_service_pb2 import AssessMatchesRequest, ListMatchesRequest
from onefold.profile.v1.profile_service_pb2 import ListProfilesRequest, Profile
from onefold.type.v1 import identifier_pb2
from typer import Option

from services.cli import output
from services.cli.context import DataDir, IdentifierA, IdentifierB, Limit, run_with_client
from services.cli.values import value_of, word_of
from services.client.api import pages
from services.client.client import Client
from services.client.text import parse_identifier
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.linkage import job
from services.linkage.config import DEFAULT, load_config
from services.linkage.linker import ComparisonWeight
from services.linkage.records import LinkageProfile

app = typer.Typer(no_args_is_help=True, help="Probable matches: which profiles may be one person.")

_ASSESSMENT = "ASSESSMENT_"
#: The most profiles in one page, matches recorded with one call, and matches in one page.
_PROFILES, _RECORDED, _LISTED = 500, 500, 1_000


def match(
    data: DataDir,
    config: Annotated[
        Path,
        Option(
            help="The configuration: fields to compare, and purposes (YAML).",
            show_default="services/linkage/default.yaml",
        ),
    ] = DEFAULT,
    record: Annotated[
        bool, Option("--record", help="Record the matches; without it only count them.")
    ] = False,
) -> None:
    """Find profiles that are probably one person, by name, birth date, phone, mail and address.

    Only profiles with consent to a purpose are compared, and none is merged: an accepted match is
    used for the purposes that both consent to. Installs Splink on first use.
    """
    run_with_client(data, lambda client: match_all(client, config, record=record))


@app.command("list")
def list_(
    data: DataDir,
    assessment: Annotated[str, Option(help="to-review, accepted, rejected, all.")] = "to-review",
    limit: Limit = 20,
) -> None:
    """List matches with the evidence for and against each, as powers of two."""
    run_with_client(data, lambda client: show_matches(client, assessment, limit))


@app.command()
def accept(
    data: DataDir,
    a: IdentifierA,
    b: IdentifierB,
    purposes: Annotated[list[str], Option("--purpose", help="A purpose that the match may serve.")],
) -> None:
    """Decide that A and B are one person for these purposes, whatever a model finds."""
    run_with_client(data, lambda client: assess_match(client, a, b, purposes, same=True))


@app.command()
def reject(data: DataDir, a: IdentifierA, b: IdentifierB) -> None:
    """Decide that A and B are two persons, whatever a model finds."""
    run_with_client(data, lambda client: assess_match(client, a, b, [], same=False))


async def match_all(client: Client, config: Path, *, record: bool) -> job.MatchingResult:
    """Match the profiles of the workspace; record the new matches, or only count them."""
    settings = load_config(config)
    profiles = [profile async for profile in _read_profiles(client)]
    found = job.find_matches(profiles, settings)
    changes = job.new_matches(found, await _read_matches(client))
    if record:
        await _record(client, changes)
    _summarise(found, len(changes), recorded=record)
    return found


async def show_matches(client: Client, assessment: str, limit: int) -> None:
    """Print matches as trees: the two identifiers, and the evidence for and against."""
    word = assessment.replace("-", "_")
    number = None
    if word != "all":
        number = value_of(facts_pb.Assessment, _ASSESSMENT, word, "--assessment")
    request = ListMatchesRequest(assessment=number, page_size=limit)
    matches = [_match(each) for each in (await client.identity.ListMatches(request)).matches]
    for each in sorted(matches, key=lambda m: -m.probability):
        output.out.print(_tree(each))
    if not matches:
        output.out.print("There is none.")


async def assess_match(
    client: Client, a: str, b: str, purposes: Sequence[str], *, same: bool
) -> None:
    """Record a person's assessment of a match. Raises InvalidField."""
    pair = job.ordered_pair(_identifier(a), _identifier(b))
    if same and not purposes:
        raise InvalidField("add --purpose with a purpose that the match may serve")
    assessment = job.MatchAssessment.ACCEPTED if same else job.MatchAssessment.REJECTED
    known = (await _read_matches(client)).get(pair)
    probability, weights = (known.probability, known.weights) if known else (float(same), ())
    allowed = tuple(sorted(purposes)) if same else ()
    match = job.Match(pair, assessment, probability, job.BY_PERSON, allowed, weights)
    await _record(client, [match])
    output.out.print("The assessment is in the log.")


async def _read_profiles(client: Client) -> AsyncIterator[LinkageProfile]:
    """Yield every profile of the workspace once."""
    seen: set[str] = set()
    request = ListProfilesRequest(page_size=_PROFILES)
    async for page in pages(client.profile.ListProfiles, request):
        # A profile that is merged or split between two pages may be listed twice.
        for profile in page.profiles:
            if profile.profile_id not in seen:
                seen.add(profile.profile_id)
                yield _linkage_profile(profile)


async def _read_matches(client: Client) -> dict[job.Pair, job.Match]:
    """Return the latest assessment of each pair."""
    request = ListMatchesRequest(page_size=_LISTED)
    return {
        match.pair: match
        async for page in pages(client.identity.ListMatches, request)
        for match in map(_match, page.matches)
    }


async def _record(client: Client, matches: Sequence[job.Match]) -> None:
    for start in range(0, len(matches), _RECORDED):
        batch = map(_message, matches[start : start + _RECORDED])
        await client.identity.AssessMatches(AssessMatchesRequest(matches=batch))


def _summarise(found: job.MatchingResult, changes: int, *, recorded: bool) -> None:
    output.out.print(
        f"{found.total:,} profiles, {found.eligible:,} of them with consent; "
        f"model {found.model_version}"
    )
    counts = ((each, found.count(each)) for each in job.MatchAssessment)
    rows = [(each.value.replace("_", " "), count) for each, count in counts if count]
    output.print_table(("assessment", "matches"), rows)
    for objection, count in found.objections().most_common():
        output.out.print(f"  to review because {objection}: {count:,}")
    result = "recorded" if recorded else "new or changed; record them with --record"
    output.out.print(f"{changes:,} {result}.")


def _tree(match: job.Match) -> output.Tree:
    a, b = (f"{identifier.namespace}:{identifier.value}" for identifier in match.pair)
    purposes = f" for {', '.join(match.purposes)}" if match.purposes else ""
    assessment = match.assessment.value.replace("_", " ")
    tree = output.Tree(f"{a}  {b}")
    tree.add(
        f"{assessment}{purposes}, probability {match.probability:.4f}, by {match.model_version}"
    )
    for weight in sorted(match.weights, key=lambda w: -w.log2_bayes_factor):
        tree.add(f"{weight.log2_bayes_factor:+6.1f}  {weight.comparison}: {weight.outcome}")
    return tree


def _linkage_profile(profile: Profile) -> LinkageProfile:
    return LinkageProfile(
        profile_id=profile.profile_id,
        identifiers=tuple((i.namespace, i.value) for i in profile.identifiers),
        traits={trait.name: msgspec.json.decode(trait.value) for trait in profile.traits},
        first_seen_us=profile.first_seen_us,
        last_seen_us=profile.last_seen_us,
    )


def _match(message: facts_pb.MatchAssessed) -> job.Match:
    a, b = (Identifier(i.namespace, i.value) for i in (message.a, message.b))
    word = word_of(facts_pb.Assessment, _ASSESSMENT, message.assessment)
    return job.Match(
        pair=job.ordered_pair(a, b),
        assessment=job.MatchAssessment(word),
        probability=message.probability,
        model_version=message.model_version,
        purposes=tuple(sorted(message.purposes)),
        weights=tuple(
            ComparisonWeight(w.comparison, w.outcome, w.log2_bayes_factor) for w in message.weights
        ),
    )


def _message(match: job.Match) -> facts_pb.MatchAssessed:
    a, b = (identifier_pb2.Identifier(namespace=i.namespace, value=i.value) for i in match.pair)
    return facts_pb.MatchAssessed(
        a=a,
        b=b,
        assessment=f"{_ASSESSMENT}{match.assessment.name}",
        probability=match.probability,
        model_version=match.model_version,
        purposes=match.purposes,
        weights=(facts_pb.MatchWeight(**weight._asdict()) for weight in match.weights),
    )


def _identifier(text: str) -> Identifier:
    message = parse_identifier(text)
    return Identifier(message.namespace, message.value)
