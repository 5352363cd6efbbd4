"""How a command calls a system: which one is meant, and who is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token

from services.cli import system
from services.cli.client import Client
from services.cli.endpoints import default_data_dir, find_doors
from services.kernel.errors import InvalidField

_Result = TypeVar("_Result")

DataDir = Annotated[
    Path, typer.Option("--data", help="The data folder.", default_factory=default_data_dir)
]


async def with_client(
    data: Path, work: Callable[[Client], Awaitable[_Result]], *, internal: Path | None = None
) -> _Result:
    """What `work` gives with a client of the system that is meant.

    `internal`: call as one of the services over this data folder.
    """
    doors = find_doors(data)
    key = system.internal_key(internal) if internal else None
    async with Client(doors, key) as client:
        return await work(client)


def identifier_from(told: str) -> Identifier:
    """The identifier of NAMESPACE:VALUE. Raises InvalidField."""
    namespace, colon, value = told.partition(":")
    if not colon:
        raise InvalidField(f"{told}: write NAMESPACE:VALUE, such as user_id:u-1")
    return Identifier(namespace=namespace, value=value)


def spelled(identifier: Identifier) -> str:
    """NAMESPACE:VALUE."""
    return f"{identifier.namespace}:{identifier.value}"


def token_from(told: str) -> Token:
    """The token of OFFSET,OFFSET,… with one offset a shard. Raises InvalidField."""
    try:
        return Token(offsets=[int(offset) for offset in told.split(",")])
    except ValueError:
        raise InvalidField(
            f"{told}: a token is one offset a shard, as the commands print it: 12,0,7,31"
        ) from None


def written(token: Token) -> str:
    """What `token_from` reads."""
    return ",".join(map(str, token.offsets))
