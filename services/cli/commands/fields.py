"""`./onefold fields`: lists and defines which fields of the workspace are personal or sensitive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from onefold.ingest.v1.admin_service_pb2 import DefineFieldClassesRequest, GetFieldClassesRequest
from onefold.type.v1.options_pb2 import FieldClass
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.values import value_of, word_of
from services.client.client import Client
from services.kernel.errors import InvalidField

fields = typer.Typer(no_args_is_help=True, help="Which fields are personal or sensitive.")

_PREFIX = "FIELD_CLASS_"
#: Removes the class of the workspace, so that the one of every workspace applies.
_DEFAULT = "default"


@fields.command("list")
def list_classes(data: DataDir) -> None:
    """List the classes that the workspace has defined."""
    request = GetFieldClassesRequest()
    classes = run_with_client(data, lambda client: client.admin.GetFieldClasses(request)).classes
    rows = [
        (kind, name, word_of(FieldClass, _PREFIX, number))
        for kind, found in (("identifier", classes.identifiers), ("name", classes.names))
        for name, number in sorted(found.items())
    ]
    output.print_table(("kind", "name", "class"), rows)


@fields.command("set")
def set_classes(
    data: DataDir,
    names: Annotated[
        list[str] | None,
        Argument(
            metavar="NAME=CLASS",
            help="The name of a trait or a property, and none, personal, sensitive or default.",
        ),
    ] = None,
    identifier: Annotated[
        list[str] | None,
        Option(metavar="NAMESPACE=CLASS", help="The same of identifiers. Can be repeated."),
    ] = None,
) -> None:
    """Define classes; the others stay as they are."""
    with output.exit_on_error():
        changed_names, changed_identifiers = _parse(names or ()), _parse(identifier or ())

    async def work(client: Client) -> bool:
        current = await client.admin.GetFieldClasses(GetFieldClassesRequest())
        request = DefineFieldClassesRequest(etag=current.etag, classes=current.classes)
        _change(request.classes.names, changed_names)
        _change(request.classes.identifiers, changed_identifiers)
        return (await client.admin.DefineFieldClasses(request)).changed

    changed = run_with_client(data, work)
    output.out.print("The classes are defined." if changed else "The classes are unchanged.")


def _parse(pairs: list[str] | tuple[str, ...]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for pair in pairs:
        name, _, word = pair.rpartition("=")
        if not name:
            raise InvalidField(f"{pair}: write NAME=CLASS, such as city=none")
        found[name] = 0 if word == _DEFAULT else value_of(FieldClass, _PREFIX, word, name)
    return found


def _change(classes: Any, changes: Mapping[str, int]) -> None:
    for name, number in changes.items():
        if number:
            classes[name] = number
        else:
            classes.pop(name, None)
