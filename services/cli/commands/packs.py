"""`onefold apply`: defines everything in a pack, and waits until the definitions are live."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from onefold.activation.v1.activation_service_pb2 import DefineDestinationRequest
from onefold.identity.v1.identity_service_pb2 import DefinePolicyRequest, GetPolicyRequest
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest
from onefold.profile.v1.profile_service_pb2 import DefineTagRequest
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsRequest
from typer import Option

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.cli import output
from services.cli.context import DataDir, read_secret_option, run_with_client
from services.cli.definitions import Pack, read_pack
from services.client.client import Client
from services.kernel.errors import OnefoldError, TokenNotReached
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
    with output.exit_on_error():
        pack = read_pack(file, {**os.environ, **given}, in_arguments)
    applied = run_with_client(data, lambda client: apply_pack(client, pack, dry_run=dry_run))
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
    client: Client, pack: Pack, *, dry_run: bool = False
) -> list[AppliedDefinition]:
    """Define everything in a pack, and wait until it is live. `dry_run`: only compare.

    Raises OnefoldError where a service refuses a definition; those before it stay.
    """
    applied = []
    token = Token()
    for kind, definition_id, call in _define_calls(client, pack, dry_run):
        response = await call
        definition = getattr(response, kind, response)  # a policy has no separate message
        applied.append(AppliedDefinition(kind, definition_id, definition.version, response.changed))
        token = token.union(token_from_proto(response.token))
    if applied and not dry_run:
        await wait_until_live(client, token)
    return applied


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
            "when the backfill ends; `onefold status` shows how far each service is"
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


def _define_calls(
    client: Client, pack: Pack, dry_run: bool
) -> Iterator[tuple[str, str, Awaitable[Any]]]:
    """Yield kind, id and call of each definition, in the order in which they must be defined."""
    if pack.identity_policy is not None:
        policy_request = DefinePolicyRequest(policy=pack.identity_policy, dry_run=dry_run)
        yield "identity policy", "", client.identity.DefinePolicy(policy_request)
    for source in pack.sources:
        source_request = DefineSourceRequest(source=source, dry_run=dry_run)
        yield "source", source.source_id, client.admin.DefineSource(source_request)
    for tag in pack.tags:
        tag_request = DefineTagRequest(tag=tag, dry_run=dry_run)
        yield "tag", tag.tag_id, client.profile.DefineTag(tag_request)
    for segment in pack.segments:
        segment_request = DefineSegmentRequest(segment=segment, dry_run=dry_run)
        yield "segment", segment.segment_id, client.segment.DefineSegment(segment_request)
    for each in pack.destinations:
        request = DefineDestinationRequest(destination=each, dry_run=dry_run)
        yield "destination", each.destination_id, client.activation.DefineDestination(request)
