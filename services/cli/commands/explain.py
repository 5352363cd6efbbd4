"""`onefold explain`: why two identifiers are one person, or why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson
from onefold.identity.v1.identity_service_pb2 import (
    Edge,
    ExplainMatchRequest,
    ExplainMatchResponse,
    HeldReason,
)
from rich.tree import Tree

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.enums import word_of
from services.cli.policy_form import evidence_word
from services.client.text_forms import (
    format_identifier,
    format_token,
    parse_identifier,
    parse_token,
)

app = typer.Typer(no_args_is_help=True, help="Why things are as they are.")

HELD_REASON = "HELD_REASON_"
#: Why an edge is held, by the word of its reason.
_EXPLANATIONS = {
    "blocked": "the policy blocks one of the two identifiers",
    "ignored": "the policy ignores evidence of this kind",
    "shared": "its {namespace} is shared: it was seen with too many others",
    "recycled": "its {namespace} has been recycled: it changed hands since",
    "limit": "the profile would have more {namespace} than the policy allows",
    "separated": "it would join two identifiers that were separated by a decision",
}


@app.command("match")
def match_(
    data: DataDir,
    a: Annotated[str, typer.Argument(metavar="A", help="NAMESPACE:VALUE")],
    b: Annotated[str, typer.Argument(metavar="B", help="NAMESPACE:VALUE")],
    as_of: Annotated[
        str, typer.Option("--as-of", metavar="TOKEN", help="As of an earlier state of the log.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain why A and B are one person, or why they are not."""
    with output.exit_on_error():
        request = ExplainMatchRequest(
            a=parse_identifier(a),
            b=parse_identifier(b),
            as_of=parse_token(as_of) if as_of else None,
        )
    response = run_with_client(data, lambda client: client.identity.ExplainMatch(request))
    if as_json:
        print(MessageToJson(response, preserving_proto_field_name=True, ensure_ascii=False))
    else:
        show_match(a, b, response)


def show_match(a: str, b: str, response: ExplainMatchResponse) -> None:
    """Print an explanation as a tree: from A along the evidence to B."""
    for line in _conclusion(a, b, response):
        output.out.print(line, soft_wrap=True)
    if response.path:
        tree = branch = Tree(format_identifier(response.path[0].a))
        for edge in response.path:
            branch = branch.add("\n".join([format_identifier(edge.b), *_edge_lines(edge)]))
        output.out.print(tree)
    policy, token = response.policy_version, format_token(response.token)
    output.out.print(f"policy version {policy}, token {token}", soft_wrap=True)


def _conclusion(a: str, b: str, response: ExplainMatchResponse) -> Iterator[str]:
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


def _edge_lines(edge: Edge) -> Iterator[str]:
    """Yield why an edge is held, who decided it, and the evidence with its dates."""
    if edge.held_reason:
        yield f"HELD: {held_explanation(edge)}"
    if edge.actor:
        yield f"by {edge.actor}: {edge.reason}"
    first, last = (output.format_time(us)[:10] for us in (edge.first_seen_us, edge.last_seen_us))
    span = f"{first} to {last}" if last > first else first
    yield f"{evidence_word(edge.kind)} {span}, fact {edge.fact_id}"


def held_explanation(edge: Edge) -> str:
    """Return why an edge is held, as a sentence without a full stop."""
    return _EXPLANATIONS[held_word(edge.held_reason)].format(namespace=edge.held_namespace)


def held_word(reason: int) -> str:
    """Return the word of a reason, such as `recycled`."""
    return word_of(HeldReason, HELD_REASON, reason)
