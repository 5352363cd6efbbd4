"""`./onefold apply`: defines everything in a pack, and waits until the definitions are live."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from onefold.activation.v1.activation_service_pb2 import DefineDestinationRequest
from onefold.identity.v1.identity_service_pb2 import DefinePolicyRequest, GetPolicyRequest
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest
from onefold.profile.v1.profile_service_pb2 import DefineTagRequest
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsRequest
from typer import Option

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.cli import output
from services.cli.context import DataDir, read_secret_option, run_with_client
from services.cli.definitions import Pack, PackErrors, read_pack
from services.client.client import Client
from services.kernel.errors import (
    ClientError,
    NotAllowed,
    OnefoldError,
    RetryableError,
    TokenNotReached,
)
from services.kernel.tokens import Token

LIVE_TIMEOUT_S = 3_600.0
_POLL_S = 0.1


def apply(
    data: DataDir,
    file: Annotated[Path, Option("-f", "--file", help="A pack: a folder or a YAML file.")],
    dry_run: Annotated[bool, Option("--dry-run", help="Only show what would change.")] = False,
    variables: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="NAME=VALUE",
            help="The value of ${NAME} in the pack. A secret is not written here: NAME=@FILE is "
            "the content of a file, NAME=- a line of standard input, NAME alone is typed.",
        ),
    ] = None,
) -> None:
    """Define sources, the identity policy, tags, segments and destinations from files.

    Returns when all of them are live: old events count, too.
    """
    given, in_arguments = _variables(variables or ())
    with output.exit_on_error(), _each_problem():
        pack = read_pack(file, {**os.environ, **given}, in_arguments)
    applied = run_with_client(data, lambda client: _apply(client, pack, dry_run=dry_run))
    _print_applied(applied, dry_run=dry_run)


async def _apply(client: Client, pack: Pack, *, dry_run: bool) -> list[AppliedDefinition]:
    applied: list[AppliedDefinition] = []
    try:
        with _each_problem():
            await apply_pack(client, pack, applied, dry_run=dry_run)
    except OnefoldError:
        if applied:
            output.err.print("Before the error:")
            _print_applied(applied, dry_run=dry_run)
        raise
    return applied


@contextmanager
def _each_problem() -> Iterator[None]:
    """Print each mistake of a pack on a line of its own."""
    try:
        yield
    except PackErrors as errors:
        for problem in errors.problems:
            output.err.print(problem, soft_wrap=True)
        raise OnefoldError("nothing is defined: correct the pack") from None


def _print_applied(applied: Iterable[AppliedDefinition], *, dry_run: bool) -> None:
    changed = "would change" if dry_run else "changed"
    rows = [(a.kind, a.id, a.version, changed if a.changed else "unchanged") for a in applied]
    output.print_table(("kind", "id", "version", ""), rows)


def _variables(pairs: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """Return the values by name, and the names of those that stand in the arguments."""
    values: dict[str, str] = {}
    in_arguments: set[str] = set()
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if equals and value != "-" and not value.startswith("@"):
            values[name] = value
            in_arguments.add(name)
        else:
            values[name] = read_secret_option(f"--set {name}", value)
    return values, in_arguments


@dataclass(frozen=True, slots=True)
class AppliedDefinition:
    """One definition of a pack as it is now."""

    kind: str
    id: str
    version: int
    #: Whether applying it changed it (or would change it).
    changed: bool


async def apply_pack(
    client: Client,
    pack: Pack,
    applied: list[AppliedDefinition] | None = None,
    *,
    dry_run: bool = False,
) -> None:
    """Define everything in a pack, and wait until it is live; add to `applied` what is done.

    Everything is compared first, and nothing is defined where a service refuses any of it.
    `dry_run`: only compare. What another caller defines in the meantime stays as it is.

    Raises PackErrors where a definition is refused, and OnefoldError where a call fails.
    """
    applied = [] if applied is None else applied
    compared = await _compare(client, pack)
    if dry_run:
        applied += [one.applied for one in compared]
        return
    token = Token()
    for definition, one in zip(_definitions(client, pack), compared, strict=True):
        try:
            response = await definition.define(dry_run=False, etag=one.etag)
        except ClientError as error:
            place = pack.place(definition.kind, definition.id)
            raise OnefoldError(f"{place}{error.message}") from None
        applied.append(_applied(definition, response))
        token = token.union(token_from_proto(response.token))
    if applied:
        await wait_until_live(client, token)


class _Compared(NamedTuple):
    applied: AppliedDefinition
    #: Of the definition in force.
    etag: str


async def _compare(client: Client, pack: Pack) -> list[_Compared]:
    """Return what applying a pack would do. Raises PackErrors with all mistakes."""
    compared: list[_Compared] = []
    problems = await _missing_segments(client, pack)
    for definition in _definitions(client, pack):
        try:
            response = await definition.define(dry_run=True, etag="")
        except (NotAllowed, RetryableError):
            raise
        except ClientError as error:
            problems.append(f"{pack.place(definition.kind, definition.id)}{error.message}")
        else:
            compared.append(_Compared(_applied(definition, response), response.etag))
    if problems:
        raise PackErrors(problems)
    return compared


async def _missing_segments(client: Client, pack: Pack) -> list[str]:
    """Return an error for each segment of a destination that is not defined anywhere."""
    used = {id_ for each in pack.destinations if not each.retired for id_ in each.segment_ids}
    missing = used - {segment.segment_id for segment in pack.segments}
    if not missing:
        return []
    known = (await client.segment.ListSegments(ListSegmentsRequest())).segments
    missing -= {summary.segment.segment_id for summary in known}
    return [
        f"{pack.place('destination', each.destination_id)}there is no segment {id_!r}: define it "
        "in the same pack or before"
        for each in pack.destinations
        if not each.retired
        for id_ in each.segment_ids
        if id_ in missing
    ]


def _applied(definition: _Definition, response: Any) -> AppliedDefinition:
    # A policy has no separate message.
    message = getattr(response, definition.kind, response)
    return AppliedDefinition(definition.kind, definition.id, message.version, response.changed)


async def wait_until_live(client: Client, token: Token) -> None:
    """Wait until every service has carried out the definitions in the log up to `token`.

    Raises OnefoldError after an hour.
    """
    try:
        async with asyncio.timeout(LIVE_TIMEOUT_S):
            while not await _is_live(client, token):  # noqa: ASYNC110 there is no event to wait for
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise OnefoldError(
            f"the definitions are saved, but not live after {LIVE_TIMEOUT_S:.0f} s: they will be "
            "when the backfill ends; `./onefold status` shows how far each service is"
        ) from None


async def _is_live(client: Client, token: Token) -> bool:
    with suppress(TokenNotReached):
        request = GetPolicyRequest(at_least=token_to_proto(token))
        policy = await client.identity.GetPolicy(request)
        # What identity has published so far; once its policy is live, that is all of it.
        await client.await_token(policy.token)
        segments = (await client.segment.ListSegments(ListSegmentsRequest())).segments
        return policy.live and all(segment.live for segment in segments)
    return False


class _Definition(NamedTuple):
    kind: str
    id: str
    #: Calls the service, with `dry_run` and `etag`.
    define: Callable[..., Awaitable[Any]]


def _definitions(client: Client, pack: Pack) -> Iterator[_Definition]:
    """Yield the definitions of a pack in the order in which they must be made."""

    def call(method: Callable[[Any], Awaitable[Any]], request: Any, **content: Any) -> Any:
        return lambda **more: method(request(**content, **more))

    policy, identity, admin = pack.identity_policy, client.identity, client.admin
    if policy is not None:
        yield _Definition(
            "identity policy", "", call(identity.DefinePolicy, DefinePolicyRequest, policy=policy)
        )
    for source in pack.sources:
        define = call(admin.DefineSource, DefineSourceRequest, source=source)
        yield _Definition("source", source.source_id, define)
    for tag in pack.tags:
        define = call(client.profile.DefineTag, DefineTagRequest, tag=tag)
        yield _Definition("tag", tag.tag_id, define)
    for segment in pack.segments:
        define = call(client.segment.DefineSegment, DefineSegmentRequest, segment=segment)
        yield _Definition("segment", segment.segment_id, define)
    for each in pack.destinations:
        define = call(
            client.activation.DefineDestination, DefineDestinationRequest, destination=each
        )
        yield _Definition("destination", each.destination_id, define)
