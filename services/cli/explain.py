"""`onefold explain`: why two identifiers are one person, or why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToJson
from onefold.identity.v1.identity_service_pb2 import ExplainMatchRequest, HeldReason
from rich.text import Text
from rich.tree import Tree

from services.cli import output as show
from services.cli.client import Client
from services.cli.context import DataDir, identifier_from, spelled, token_from, with_client, written
from services.cli.enums import word_of
from services.cli.policy_form import evidence_word
from services.kernel.time import to_rfc3339

app = typer.Typer(no_args_is_help=True, help="Why things are as they are.")

#: What the words of reasons begin with in the treaty.
HELD_REASON = "HELD_REASON_"
_WHY = {
    "blocked": "the policy says that one of the two names nobody",
    "ignored": "the policy says that such evidence binds nobody",
    "shared": "its {namespace} is shared: it was seen with too many others",
    "recycled": "its {namespace} has changed hands since",
    "limit": "the person would have more {namespace} than the policy allows",
    "separated": "a person separated two identifiers that it would join",
}


@app.callback()
def _group() -> None:
    """Keeps `match` a word of its own, while it is the only one."""


@app.command("match")
def match_(
    data: DataDir,
    a: Annotated[str, typer.Argument(metavar="A", help="NAMESPACE:VALUE")],
    b: Annotated[str, typer.Argument(metavar="B", help="NAMESPACE:VALUE")],
    as_of: Annotated[
        str, typer.Option("--as-of", metavar="TOKEN", help="As the log knew it then.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Explain why A and B are one person, or why they are not."""
    with show.errors():
        request = ExplainMatchRequest(a=identifier_from(a), b=identifier_from(b))
        if as_of:
            request.as_of.CopyFrom(token_from(as_of))

    async def ask(client: Client) -> Any:
        return await client.call(client.identity.ExplainMatch, request)

    answer = show.run(with_client(data, ask))
    if as_json:
        print(MessageToJson(answer, preserving_proto_field_name=True, ensure_ascii=False))
    else:
        show_match(a, b, answer)


def show_match(a: str, b: str, answer: Any) -> None:
    """Print an explanation as a tree: from A along the evidence to B."""
    for line in _verdict(a, b, answer):
        show.out.print(Text(line), soft_wrap=True)
    if answer.path:
        tree = branch = Tree(Text(spelled(answer.path[0].a)))
        for edge in answer.path:
            branch = branch.add(Text("\n".join([spelled(edge.b), *told_edge(edge)])))
        show.out.print(tree)
    show.out.print(f"policy {answer.policy_version}, token {written(answer.token)}", soft_wrap=True)


def _verdict(a: str, b: str, answer: Any) -> Iterator[str]:
    unknown = [who for who, p in ((a, answer.profile_id_a), (b, answer.profile_id_b)) if not p]
    if answer.same:
        yield f"{a} and {b} are one person: {answer.profile_id_a}"
        return
    yield f"{a} and {b} are not one person."
    for who in unknown:
        yield f"Nobody is known by {who}."
    if not answer.path and not unknown:
        yield "Nothing was ever seen that leads from one to the other."


def told_edge(edge: Any) -> Iterator[str]:
    """What there is to say of an edge: why it is held, where it comes from and since when."""
    if edge.held_reason:
        yield f"HELD: {told_reason(edge)}"
    if edge.actor:
        yield f"by {edge.actor}: {edge.reason}"
    since, last = to_rfc3339(edge.first_seen_us)[:10], to_rfc3339(edge.last_seen_us)[:10]
    span = f"{since} to {last}" if last > since else since
    yield f"{evidence_word(edge.kind)} {span}, fact {edge.fact_id}"


def told_reason(edge: Any) -> str:
    """Why an edge does not bind."""
    return _WHY[reason_word(edge.held_reason)].format(namespace=edge.held_namespace)


def reason_word(reason: int) -> str:
    """Such as `recycled`."""
    return word_of(HeldReason, HELD_REASON, reason)
