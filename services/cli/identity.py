"""`onefold identity`: who is who, what a person decides about it, and by which policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli import output as show
from services.cli.context import DataDir, with_client

app = typer.Typer(
    no_args_is_help=True,
    help="Who is who: look people up, join and separate them, and try and read the policy.",
)

First = Annotated[str, typer.Argument(metavar="A", help="NAMESPACE:VALUE")]
Second = Annotated[str, typer.Argument(metavar="B", help="NAMESPACE:VALUE")]
Why = Annotated[str, typer.Option("--reason", help="Why, for those who look at it later.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Most = Annotated[int, typer.Option("--limit", help="At most this many.", min=1, max=1_000)]


@app.command()
def resolve(
    data: DataDir,
    who: Annotated[list[str], typer.Argument(help="NAMESPACE:VALUE, or profile ids.")],
    purpose: Annotated[
        str, typer.Option("--for", metavar="PURPOSE", help="Use matches accepted for this, too.")
    ] = "",
) -> None:
    """Tell which profile holds each identifier, or what became of each profile."""
    from services.cli.profiles import show_resolved

    show.run(with_client(data, lambda client: show_resolved(client, who, purpose)))


@app.command("list")
def list_(
    data: DataDir,
    who: Annotated[str, typer.Argument(help="NAMESPACE:VALUE, or a profile id.")],
) -> None:
    """List the identifiers of one person, oldest first."""
    from services.cli.profiles import show_identifiers

    show.run(with_client(data, lambda client: show_identifiers(client, who)))


@app.command()
def link(data: DataDir, a: First, b: Second, reason: Why) -> None:
    """Say that A and B are the same person."""
    _decide(data, a, b, "link", reason)


@app.command()
def separate(data: DataDir, a: First, b: Second, reason: Why) -> None:
    """Say that A and B are two people: takes them apart, and keeps them so."""
    _decide(data, a, b, "separate", reason)


@app.command()
def withdraw(data: DataDir, a: First, b: Second, reason: Why) -> None:
    """Take back what was said about A and B: the evidence decides again."""
    _decide(data, a, b, "withdraw", reason)


@app.command()
def decide(
    data: DataDir,
    a: First,
    b: Second,
    decision: Annotated[str, typer.Argument(help="link, separate or withdraw.")],
    reason: Why,
) -> None:
    """Decide about evidence that is held; `held` lists it."""
    _decide(data, a, b, decision, reason)


def _decide(data: Path, a: str, b: str, decision: str, reason: str) -> None:
    from services.cli.decisions import decide_on

    show.run(with_client(data, lambda client: decide_on(client, a, b, decision, reason)))


@app.command()
def held(
    data: DataDir,
    because: Annotated[
        str,
        typer.Option(
            "--because",
            metavar="REASON",
            help="limit, separated, shared, recycled, blocked or ignored; the first two if not"
            " said.",
        ),
    ] = "",
    limit: Most = 50,
) -> None:
    """List evidence that would join people and is held back."""
    from services.cli.decisions import show_held

    show.run(with_client(data, lambda client: show_held(client, because, limit)))


@app.command()
def policy(data: DataDir) -> None:
    """Print the policy that holds, as YAML."""
    from services.cli.policy import show_policy

    show.run(with_client(data, show_policy))


@app.command()
def preview(
    data: DataDir,
    file: Annotated[Path, typer.Option("-f", "--file", help="YAML with an identity_policy.")],
    limit: Annotated[int, typer.Option("--limit", help="Name at most this many.", min=0)] = 20,
    as_json: AsJson = False,
) -> None:
    """Try a policy on the whole history: who would merge and split, and what follows."""
    from services.cli.policy import preview_policy

    show.run(with_client(data, lambda c: preview_policy(c, file, limit, as_json=as_json)))


@app.command()
def merges(
    data: DataDir,
    since: Annotated[
        str, typer.Option("--from", metavar="TOKEN", help="From here on; else from now on.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on as they come, until stopped.")
    ] = False,
) -> None:
    """Print who was merged and split."""
    from services.cli.profiles import show_merges

    show.run(with_client(data, lambda client: show_merges(client, since, follow=follow)))
