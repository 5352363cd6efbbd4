"""`./onefold identity` and `explain match`: profiles, their identifiers, decisions, the policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from typer import Argument, Option

from services.chassis.codec.fields import token_from_proto
from services.cli import output
from services.cli.commands.policy import policy, preview
from services.cli.context import DataDir, IdentifierA, IdentifierB, Limit, run_with_client
from services.cli.policy_form import evidence_word
from services.cli.values import value_of, word_of
from services.client.client import Client
from services.client.text import format_identifier, format_token, parse_identifier, parse_token
from services.kernel.errors import NotFound

app = typer.Typer(
    no_args_is_help=True,
    help="Profiles and identifiers: look up, link and separate them; read and preview the policy.",
)
app.command()(policy)
app.command()(preview)

Reason = Annotated[str, Option("--reason", help="The reason, for later reviews.")]

_HELD_REASON, _EVIDENCE_KIND = "HELD_REASON_", "EVIDENCE_KIND_"
#: The highest number that the server counts up to.
MAX_COUNTED = 10_000
#: Why an edge is held, by the word of its reason.
_EXPLANATIONS = {
    "blocked": "the policy blocks one of the two identifiers",
    "ignored": "the policy ignores evidence of this kind",
    "shared": "its {namespace} is shared: it was seen with more persons than the policy allows",
    "recycled": "its {namespace} has been recycled: it changed hands since",
    "limit": "the profile would have more {namespace} than the policy allows",
    "separated": "it would join two identifiers that were separated by a decision",
    "other_person": "the address or device is another person's already",
    "untrusted": "only public sources saw the two together, and neither is a device",
    "too_many_claims": "public sources claim more devices of this profile than the policy allows",
}


@app.command()
def lookup(
    data: DataDir,
    names: Annotated[list[str], Argument(metavar="NAME", help="NAMESPACE:VALUE, or profile ids.")],
    purpose: Annotated[
        str, Option("--for", metavar="PURPOSE", help="Also use matches accepted for this purpose.")
    ] = "",
) -> None:
    """Print the profile of each identifier, and the current profile of each profile id."""
    run_with_client(data, lambda client: _show_lookup(client, names, purpose))


@app.command("list")
def list_(
    data: DataDir,
    of: Annotated[str, Argument(metavar="PROFILE", help="NAMESPACE:VALUE, or a profile id.")],
) -> None:
    """List the identifiers of one profile, oldest first."""
    run_with_client(data, lambda client: _show_identifiers(client, of))


@app.command()
def link(data: DataDir, a: IdentifierA, b: IdentifierB, reason: Reason) -> None:
    """Decide that A and B are the same person."""
    run_with_client(data, lambda client: _decide(client, a, b, facts_pb.DECISION_LINK, reason))


@app.command()
def separate(data: DataDir, a: IdentifierA, b: IdentifierB, reason: Reason) -> None:
    """Decide that A and B are two persons: splits their profile, whatever the evidence."""
    run_with_client(data, lambda client: _decide(client, a, b, facts_pb.DECISION_SEPARATE, reason))


@app.command()
def withdraw(data: DataDir, a: IdentifierA, b: IdentifierB, reason: Reason) -> None:
    """Withdraw the decision about A and B: the evidence counts again."""
    run_with_client(data, lambda client: _decide(client, a, b, facts_pb.DECISION_WITHDRAW, reason))


@app.command()
def held(
    data: DataDir,
    because: Annotated[
        str,
        Option(
            "--because",
            metavar="REASON",
            help="limit, separated, other_person, untrusted, too_many_claims, shared, recycled, "
            "blocked or ignored; without it the first six.",
        ),
    ] = "",
    weakest: Annotated[
        str,
        Option(
            "--weakest",
            metavar="EVIDENCE",
            help="stated, verified, observed, co_observed or claimed: leave out what is weaker. "
            "Claims come from public sources, all else from trusted ones.",
        ),
    ] = "",
    limit: Limit = 50,
) -> None:
    """List evidence that would merge profiles and is held, the strongest first, and the two
    identifiers that clash at each; `link` and `separate` decide about these."""
    with output.exit_on_error():
        reasons, kinds = identity_pb.HeldReason, facts_pb.EvidenceKind
        reason = value_of(reasons, _HELD_REASON, because, "--because") if because else None
        kind = value_of(kinds, _EVIDENCE_KIND, weakest, "--weakest") if weakest else None
    request = identity_pb.ListHeldRequest(reason=reason, page_size=limit, weakest=kind)
    response = run_with_client(data, lambda client: client.identity.ListHeld(request))
    rows = [
        (
            format_identifier(each.edge.a),
            format_identifier(each.edge.b),
            evidence_word(each.edge.kind),
            held_word(each.edge.held_reason),
            held_explanation(each.edge),
            " and ".join(map(format_identifier, each.clash)),
        )
        for each in response.held
    ]
    columns = ("a", "b", "evidence", "held", "because", "clash")
    output.print_table(columns, rows, more=bool(response.next_page_token))
    if response.counts:
        counts = ", ".join(map(_held_count, response.counts))
        output.out.print(f"held in all: {counts}", soft_wrap=True)


def _held_count(counted: identity_pb.HeldCount) -> str:
    number = f"{counted.count:,}" + ("+" if counted.count == MAX_COUNTED else "")
    return f"{number} {evidence_word(counted.kind)} ({held_word(counted.reason)})"


@app.command()
def merges(
    data: DataDir,
    since: Annotated[
        str, Option("--from", metavar="TOKEN", help="From this state on; without it from now on.")
    ] = "",
    follow: Annotated[bool, Option("--follow", help="Continue until interrupted.")] = False,
) -> None:
    """Print merges and splits: which identifiers moved from which profile to which."""
    run_with_client(data, lambda client: _show_merges(client, since, follow))


async def _show_lookup(client: Client, names: Sequence[str], purpose: str) -> None:
    identifiers = [name for name in names if ":" in name]
    ids = [name for name in names if ":" not in name]
    request = identity_pb.LookupProfilesRequest(
        identifiers=map(parse_identifier, identifiers), profile_ids=ids, purpose=purpose
    )
    found = (await client.identity.LookupProfiles(request)).profile_ids
    rows = zip([*identifiers, *ids], (each or "none" for each in found), strict=True)
    output.print_table(("name", "profile"), rows)


async def _show_identifiers(client: Client, of: str) -> None:
    profile_id = await _profile_of(client, of)
    request = identity_pb.ListIdentifiersRequest(profile_id=profile_id)
    response = await client.identity.ListIdentifiers(request)
    rows = [
        (format_identifier(each.identifier), output.format_time(each.first_seen_us), each.fact_id)
        for each in response.identifiers
    ]
    columns = ("identifier", "first seen", "in fact")
    output.print_table(columns, rows, f"profile {response.profile_id}")


async def _profile_of(client: Client, of: str) -> str:
    """Return the profile of NAMESPACE:VALUE; a profile id as it is. Raises NotFound."""
    if ":" not in of:
        return of
    request = identity_pb.LookupProfilesRequest(identifiers=[parse_identifier(of)])
    (profile_id,) = (await client.identity.LookupProfiles(request)).profile_ids
    if not profile_id:
        raise NotFound("no profile has this identifier; check namespace and value")
    return profile_id


async def _decide(client: Client, a: str, b: str, decision: facts_pb.Decision, reason: str) -> None:
    """Record a decision, wait until every service has folded it, and print its result."""
    pair = [parse_identifier(a), parse_identifier(b)]
    recorded = await client.identity.RecordDecision(
        identity_pb.RecordDecisionRequest(a=pair[0], b=pair[1], decision=decision, reason=reason)
    )
    await client.await_token(recorded.token)
    request = identity_pb.LookupProfilesRequest(identifiers=pair)
    one, other = (await client.identity.LookupProfiles(request)).profile_ids
    for name, profile_id in ((a, one), (b, other)):
        if not profile_id:
            output.out.print(
                f"No profile has {name} yet: the decision takes effect when an event names it."
            )
    if one and other:
        result = f"one person: {one}" if one == other else f"two persons: {one} and {other}"
        output.out.print(f"{a} and {b} are {result}", soft_wrap=True)


async def _show_merges(client: Client, since: str, follow: bool) -> None:
    """Print merges and splits from a state of the log on, up to now or until interrupted."""
    now = (await client.identity.LookupProfiles(identity_pb.LookupProfilesRequest())).token
    start = parse_token(since) if since else now
    end, reached = token_from_proto(now), token_from_proto(start)
    if not follow and reached.includes(end):
        output.out.print(f"token {format_token(now)}")
        return
    request = identity_pb.WatchMergesRequest(from_token=start)
    async for response in client.identity.WatchMerges(request):
        for move in response.moves:
            output.out.print(move_line(move), soft_wrap=True)
        reached = token_from_proto(response.token)
        if not follow and reached.includes(end):
            break
    output.out.print(f"token {reached}")


def move_line(move: identity_pb.ProfileMove) -> str:
    """Return a line with the two profiles and the identifiers that moved."""
    names = ", ".join(map(format_identifier, move.identifiers)) or "no identifier"
    return f"{move.before_profile_id} → {move.after_profile_id}  {names}"


def explain_match(
    data: DataDir,
    a: IdentifierA,
    b: IdentifierB,
    as_of: Annotated[
        str, Option("--as-of", metavar="TOKEN", help="As of an earlier state of the log.")
    ] = "",
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain why A and B are one person, or why they are not."""
    with output.exit_on_error():
        token = parse_token(as_of) if as_of else None
        one, other = parse_identifier(a), parse_identifier(b)
        request = identity_pb.ExplainMatchRequest(a=one, b=other, as_of=token)
    response = run_with_client(data, lambda client: client.identity.ExplainMatch(request))
    if as_json:
        document = MessageToJson(response, preserving_proto_field_name=True, ensure_ascii=False)
        output.print_json(document)
    else:
        show_match(a, b, response)


def show_match(a: str, b: str, response: identity_pb.ExplainMatchResponse) -> None:
    """Print an explanation as a tree: from A along the evidence to B."""
    for line in _conclusion(a, b, response):
        output.out.print(line, soft_wrap=True)
    if response.path:
        tree = branch = output.Tree(format_identifier(response.path[0].a))
        for edge in response.path:
            branch = branch.add(format_identifier(edge.b), *_edge_lines(edge))
        output.out.print(tree)
    policy, token = response.policy_version, format_token(response.token)
    output.out.print(f"policy version {policy}, token {token}", soft_wrap=True)


def _conclusion(a: str, b: str, response: identity_pb.ExplainMatchResponse) -> Iterator[str]:
    if response.same:
        yield f"{a} and {b} are one person: profile {response.profile_id_a}"
        return
    yield f"{a} and {b} are not one person."
    found = {a: response.profile_id_a, b: response.profile_id_b}
    unknown = [identifier for identifier, profile_id in found.items() if not profile_id]
    for identifier in unknown:
        yield f"No profile has {identifier}."
    if not response.path and not unknown:
        yield "No evidence leads from one to the other."


def _edge_lines(edge: identity_pb.Edge) -> Iterator[str]:
    """Yield the reason that an edge is held, its decision, and the evidence with its dates."""
    if edge.held_reason:
        yield f"HELD: {held_explanation(edge)}"
    if edge.actor:
        yield f"by {edge.actor}: {edge.reason}"
    first, last = (output.format_time(us)[:10] for us in (edge.first_seen_us, edge.last_seen_us))
    span = f"{first} to {last}" if last > first else first
    yield f"{evidence_word(edge.kind)} {span}, fact {edge.fact_id}"


def held_explanation(edge: identity_pb.Edge) -> str:
    """Return why an edge is held, as a sentence without a full stop."""
    return _EXPLANATIONS[held_word(edge.held_reason)].format(namespace=edge.held_namespace)


def held_word(reason: int) -> str:
    """Return the word of a reason, such as `recycled`."""
    return word_of(identity_pb.HeldReason, _HELD_REASON, reason)
