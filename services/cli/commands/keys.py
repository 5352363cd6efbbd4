"""`./onefold keys`: issues, lists, rotates and disables the keys of the workspace."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Annotated, TypeVar

import typer
from onefold.ingest.v1.admin_service_pb2 import (
    DisableKeyRequest,
    IssueKeyRequest,
    IssueKeyResponse,
    KeyState,
    ListKeysRequest,
    ListRefusedCallsRequest,
    RotateKeyRequest,
    RotateKeyResponse,
)
from onefold.ingest.v1.ingest_facts_pb2 import Role
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.values import value_of, word_of
from services.client.client import Client
from services.kernel.errors import RetryableError
from services.kernel.time import DAY_US, parse_span

keys = typer.Typer(no_args_is_help=True, help="Keys of the workspace.")

_ROLE, _STATE = "ROLE_", "KEY_STATE_"
_MAX_SPAN_US = 36_525 * DAY_US
#: How long a command waits until every service accepts a new key, seconds.
_KNOWN_S = 10.0
_Issued = TypeVar("_Issued", IssueKeyResponse, RotateKeyResponse)
KeyId = Annotated[str, Argument(metavar="KEY", help="The id of a key from the list.")]
Expires = Annotated[str, Option(help="After how long the key expires, such as 90d.")]


@keys.command()
def issue(
    data: DataDir,
    source: Annotated[str, Option(help="The source that the key writes to.")] = "",
    role: Annotated[str, Option(help="source, reader, service or admin.")] = "source",
    title: Annotated[str, Option(help="A description of the key.")] = "",
    expires: Expires = "",
    origin: Annotated[
        list[str] | None,
        Option(
            help="An origin of web pages that may use the key, such as https://shop.example or "
            "https://*.shop.example. Can be repeated."
        ),
    ] = None,
    address: Annotated[
        list[str] | None,
        Option(
            help="An address or a network that may use the key, such as 203.0.113.0/24. Can be "
            "repeated."
        ),
    ] = None,
) -> None:
    """Issue a key, and print it; it is shown only this once."""
    with output.exit_on_error():
        number = value_of(Role, _ROLE, role, "--role")
    request = IssueKeyRequest(
        role=number,
        source_id=source,
        title=title,
        lifetime_us=_lifetime(expires),
        allowed_origins=origin,
        allowed_addresses=address,
    )
    issued = run_with_client(
        data, lambda client: _when_known(client, client.admin.IssueKey(request))
    )
    _print_key(issued.key, issued.key_id, issued.expires_at_us)


@keys.command("list")
def list_keys(data: DataDir) -> None:
    """List the keys, without their secrets."""
    response = run_with_client(data, lambda client: client.admin.ListKeys(ListKeysRequest()))
    rows = []
    for summary in response.keys:
        key = summary.key
        expires = output.format_time(key.expires_at_us) if key.expires_at_us else "never"
        state = word_of(KeyState, _STATE, summary.state).replace("_", " ")
        used = summary.last_used_on or "never"
        allowed = " ".join([*key.allowed_origins, *key.allowed_addresses])
        role = word_of(Role, _ROLE, key.role)
        rows.append((key.key_id, role, key.source_id, key.title, state, expires, used, allowed))
    columns = ("key", "role", "source", "title", "state", "expires", "last used", "only from")
    output.print_table(columns, rows)


@keys.command("refused")
def list_refused(data: DataDir) -> None:
    """List the calls that were refused because of the role of their key, the newest first."""
    request = ListRefusedCallsRequest(page_size=1_000)
    response = run_with_client(data, lambda client: client.admin.ListRefusedCalls(request))
    rows = [
        (output.format_time(each.recorded_at_us), each.call.key_id, each.call.method)
        for each in response.calls
    ]
    output.print_table(("recorded", "key", "method"), rows)


@keys.command()
def rotate(
    data: DataDir,
    key_id: KeyId,
    overlap: Annotated[
        str, Option(help="How long the replaced key stays valid, such as 24h; 0s = not at all.")
    ] = "24h",
    expires: Annotated[
        str, Option(help="After how long the new key expires; by default as the replaced key did.")
    ] = "",
) -> None:
    """Replace a key by a new one, and print it; the replaced key expires after the overlap."""
    request = RotateKeyRequest(
        key_id=key_id, overlap_us=_span(overlap), lifetime_us=_lifetime(expires)
    )
    rotated = run_with_client(
        data, lambda client: _when_known(client, client.admin.RotateKey(request))
    )
    _print_key(rotated.key, rotated.key_id, rotated.expires_at_us)
    until = output.format_time(rotated.replaced_expires_at_us)
    output.err.print(f"The replaced key {key_id} is valid until {until}.")


@keys.command()
def disable(data: DataDir, key_id: KeyId) -> None:
    """Disable a key at once and for ever."""
    request = DisableKeyRequest(key_id=key_id)
    run_with_client(data, lambda client: client.admin.DisableKey(request))
    output.out.print(f"{key_id} is disabled.")


async def _when_known(client: Client, issuing: Awaitable[_Issued]) -> _Issued:
    """Return a new key when every service accepts it; one that is away learns of it later."""
    issued = await issuing
    with suppress(RetryableError):
        await client.await_token(issued.token, timeout=_KNOWN_S)
    return issued


def _print_key(key: str, key_id: str, expires_at_us: int) -> None:
    output.out.print(key, soft_wrap=True)
    until = f"until {output.format_time(expires_at_us)}" if expires_at_us else "without a limit"
    output.err.print(
        f"The id of the key is {key_id}; it is valid {until}. The key is shown only this once."
    )


def _span(text: str) -> int:
    """Return microseconds; 0 for an empty text. A text that is no span ends the process."""
    try:
        span_us = parse_span(text) if text else 0
    except ValueError as error:
        output.fail(str(error))
    if span_us > _MAX_SPAN_US:
        output.fail("a key is valid for at most 100 years: write a shorter time, or none")
    return span_us


def _lifetime(text: str) -> int:
    """Return the microseconds of `--expires`; 0 for an empty text."""
    lifetime_us = _span(text)
    if text and not lifetime_us:
        output.fail("a key that expires at once is of no use: write a longer time, such as 90d")
    return lifetime_us
