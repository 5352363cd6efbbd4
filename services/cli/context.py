"""Gives commands the options that they share, and a client of the system that is meant."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from getpass import getpass
from pathlib import Path
from typing import Annotated, TypeVar

from typer import Argument, Option

from services.chassis.runtime.secret_files import MAX_BYTES
from services.cli import output
from services.cli.endpoints import default_data_dir, find_endpoints, secret_from_environment
from services.client.client import Client
from services.devstack.folders import load_internal_key
from services.kernel.errors import InvalidField

_Result = TypeVar("_Result")

DataDir = Annotated[
    Path, Option("--data", help="The data folder.", default_factory=default_data_dir)
]
IdentifierA = Annotated[str, Argument(metavar="A", help="NAMESPACE:VALUE")]
IdentifierB = Annotated[str, Argument(metavar="B", help="NAMESPACE:VALUE")]
Limit = Annotated[int, Option(help="Show at most this many.", min=1, max=1_000)]


def read_secret_option(option: str, text: str, variable: str = "") -> str:
    """Return the secret that an option names; an error ends the process.

    `@FILE` is the content of a file, `-` a line of standard input, and no text the variable, or
    else what the user types. A secret itself is refused: every account of the machine can read the
    arguments of a process, and the shell keeps them in its history.
    """
    with output.exit_on_error():
        secret = _read_secret(option, text, variable).rstrip("\r\n")
        if not secret:
            raise InvalidField(f"{option}: the secret is empty")
    return secret


def _read_secret(option: str, text: str, variable: str) -> str:
    if not text:
        return (secret_from_environment(variable) if variable else "") or _typed(option)
    if text == "-":
        return sys.stdin.readline()
    if text.startswith("@"):
        return _content(option, Path(text[1:]))
    also = f", or set {variable}" if variable else ""
    raise InvalidField(
        f"{option}: the arguments of a command are no place for a secret: write @FILE, - for "
        f"standard input{also}"
    )


def _typed(option: str) -> str:
    if not sys.stdin.isatty():
        raise InvalidField(f"{option} is required: write @FILE or - for standard input")
    return getpass(f"{option}: ")


def _content(option: str, file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(MAX_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidField(f"{option}: {file} cannot be read: {why}") from None


def run_with_client(
    data: Path,
    work: Callable[[Client], Awaitable[_Result]],
    *,
    as_service: bool = False,
    unmask_reason: str = "",
) -> _Result:
    """Run `work` with a client and return its result; an expected error ends the process.

    `as_service`: call a system over `data` with the key of its services, which only the owner of
    the folder can read. A system elsewhere is always called with ONEFOLD_KEY.
    `unmask_reason`: why sensitive values are shown; empty = they are masked.
    """

    async def run() -> _Result:
        endpoints = replace(find_endpoints(data), unmask_reason=unmask_reason)
        if as_service and endpoints.operations_urls:
            endpoints = replace(endpoints, key=load_internal_key(data))
        async with Client(endpoints) as client:
            return await work(client)

    return output.run(run())
