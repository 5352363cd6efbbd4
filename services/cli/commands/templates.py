"""`./onefold templates`: lists templates of messages, and shows what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from onefold.activation.v1.activation_service_pb2 import (
    ListTemplatesRequest,
    PreviewTemplateRequest,
    RenderedTemplate,
)
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client

app = typer.Typer(no_args_is_help=True, help="List templates of messages, and preview them.")


@app.command("list")
def list_(data: DataDir) -> None:
    """List the templates with their locales."""
    response = run_with_client(
        data, lambda client: client.activation.ListTemplates(ListTemplatesRequest())
    )
    templates = [each.template for each in response.templates if not each.template.retired]
    rows = [
        (each.template_id, each.title, each.version, " ".join(t.locale for t in each.texts))
        for each in templates
    ]
    output.print_table(("template", "title", "version", "locales"), rows)


@app.command()
def preview(
    data: DataDir,
    template: Annotated[str, Argument(metavar="TEMPLATE", help="The id of a template.")],
    variables: Annotated[
        Path | None,
        Option("--variables", metavar="FILE", help="A JSON file in place of the sample."),
    ] = None,
) -> None:
    """Show what a template says in each locale, with its sample; nothing is sent.

    The command fails where a value is missing that a message is not sent without.
    """
    with output.exit_on_error():
        raw = variables.read_bytes() if variables else b""
    request = PreviewTemplateRequest(template_id=template, variables=raw)
    response = run_with_client(data, lambda client: client.activation.PreviewTemplate(request))
    rows = [(each.locale, *row) for each in response.rendered for row in _parts(each)]
    output.print_table(("locale", "part", "text"), rows)
    if any(each.missing for each in response.rendered):
        raise typer.Exit(1)


def _parts(rendered: RenderedTemplate) -> Iterator[tuple[str, str]]:
    if rendered.missing:
        yield "not sent", rendered.missing
        return
    for part in ("subject", "text", "html"):
        if written := getattr(rendered, part):
            yield part, written
    for each in rendered.parameters:
        yield f"parameter {each.name}", each.value
    if rendered.text:
        yield "as SMS", f"{rendered.sms_count} messages"
