"""`./onefold facts`: facts that services cannot fold, retried, parked and taken back."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer
from onefold.log.v1.log_pb2 import Fact, FactParked, FactUnparked
from onefold.log.v1.log_service_pb2 import AppendRequest
from onefold.projection.v1 import projection_service_pb2 as pb
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.client.client import PROJECTIONS, Client
from services.kernel.errors import InvalidField

facts = typer.Typer(no_args_is_help=True, help="Facts that services cannot fold.")

#: The services whose state can be rebuilt without a fact that it includes.
_COUNT_IN_OFFSETS = ("identity", "profile")
MAX_REASON = 500

Place = Annotated[str, Argument(help="SHARD:OFFSET, as `./onefold facts list` shows it.")]
Services = Annotated[
    list[str], Option("--service", help="identity, profile, segment or activation; repeatable.")
]
Reason = Annotated[str, Option("--reason", help="Why; without personal data.")]


class FactAddress(NamedTuple):
    """Where a fact is."""

    shard: int
    offset: int


@facts.command("list")
def list_facts(data: DataDir) -> None:
    """List the facts that the state of each service lacks, with the error, and no content."""
    run_with_client(data, _list, as_service=True)


@facts.command()
def retry(
    data: DataDir,
    services: Services,
    place: Annotated[str, Argument(help="SHARD:OFFSET; without it all failed facts.")] = "",
) -> None:
    """Fold failed facts now, in the place of at their next attempt."""
    at = parse_address(place) if place else None
    due = run_with_client(
        data, lambda client: _retry(client, _checked(services), at), as_service=True
    )
    output.out.print(
        f"{due:,} facts are due now; `./onefold facts list` shows those that fail again."
    )


@facts.command()
def park(
    data: DataDir,
    place: Place,
    services: Services,
    reason: Reason,
    folded: Annotated[
        bool,
        Option(
            "--folded",
            help="Park a fact that identity or profile has folded; it stays in their state until "
            "`./onefold rebuild SERVICE --resync`.",
        ),
    ] = False,
) -> None:
    """Take a failed fact out of the state of services, and of every rebuild, until `unpark`."""
    at, names = parse_address(place), _checked(services)
    message = _message(FactParked, at, names, reason)
    run_with_client(
        data, lambda client: park_fact(client, at, names, message, folded=folded), as_service=True
    )
    output.out.print(f"Parked {place} in {', '.join(names)}.")
    if folded:
        output.out.print(f"Next: `./onefold rebuild {names[0]} --resync`.")


@facts.command()
def unpark(data: DataDir, place: Place, services: Services, reason: Reason) -> None:
    """Fold a parked fact after all."""
    at, names = parse_address(place), _checked(services)
    message = _message(FactUnparked, at, names, reason)
    run_with_client(data, lambda client: unpark_fact(client, at, names, message), as_service=True)
    output.out.print(f"{place} is folded again in {', '.join(names)}, or listed as failed.")


def parse_address(place: str) -> FactAddress:
    """Return the address of SHARD:OFFSET; another text ends the command."""
    found = re.fullmatch(r"(\d{1,4}):(\d{1,18})", place)
    if found is None:
        output.fail(f"{place!r} is no place of a fact: write SHARD:OFFSET, such as 2:1041")
    return FactAddress(int(found[1]), int(found[2]))


def _checked(services: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(services))
    if not names or not set(names) <= set(PROJECTIONS):
        output.fail(f"--service is one of {', '.join(PROJECTIONS)}")
    return names


def _message(
    kind: type[FactParked] | type[FactUnparked],
    at: FactAddress,
    services: Sequence[str],
    reason: str,
) -> FactParked | FactUnparked:
    if not reason.strip() or len(reason) > MAX_REASON:
        output.fail(f"--reason needs 1 to {MAX_REASON} characters")
    return kind(shard=at.shard, offset=at.offset, services=services, reason=reason)


async def _list(client: Client) -> None:
    rows = []
    for service in PROJECTIONS:
        for fact in await failed_facts(client, service):
            state = "parked" if fact.parked else "failed"
            if fact.folded:
                state = "parked, folded until a resync"
            retry_at = output.format_time(fact.next_retry_us) if fact.next_retry_us else ""
            place = f"{fact.shard}:{fact.offset}"
            why = fact.reason if fact.parked else fact.error
            row = (service, place, fact.workspace_id, state, str(fact.attempts), retry_at, why)
            rows.append(row)
    if not rows:
        output.out.print("Every service has folded all facts.")
        return
    columns = ("service", "fact", "workspace", "state", "attempts", "next attempt", "why")
    output.print_table(columns, rows)


async def failed_facts(client: Client, service: str) -> Sequence[pb.FailedFact]:
    """Return the facts that the state of a service lacks. Raises OnefoldError."""
    response = await client.projection(service).ListFailedFacts(pb.ListFailedFactsRequest())
    return response.facts


async def _retry(client: Client, services: Sequence[str], at: FactAddress | None) -> int:
    place = pb.FactPlace(shard=at.shard, offset=at.offset) if at else None
    due = 0
    for service in services:
        request = pb.RetryFailedFactsRequest(place=place)
        due += (await client.projection(service).RetryFailedFacts(request)).due
    return due


async def park_fact(
    client: Client,
    at: FactAddress,
    services: Sequence[str],
    message: FactParked | FactUnparked,
    *,
    folded: bool,
) -> None:
    """Park a fact that the services have not folded, or one that they have, with `folded`.

    Raises InvalidField where a service has folded it, or has not reached it.
    """
    workspace_id = ""
    for service in services:
        found = await _find(client, service, at)
        if found is None and not (folded and service in _COUNT_IN_OFFSETS):
            raise InvalidField(_not_failed(service, at), field="place")
        workspace_id = workspace_id or (found.workspace_id if found else "")
    await _append(client, workspace_id or "default", services, message)


def _not_failed(service: str, at: FactAddress) -> str:
    place = f"{at.shard}:{at.offset}"
    if service not in _COUNT_IN_OFFSETS:
        return f"{service} has no failed fact {place}; see `./onefold facts list`"
    return (
        f"{service} has folded {place}, or has not reached it; to take a folded fact out, park it"
        f" with --folded, then run `./onefold rebuild {service} --resync`"
    )


async def unpark_fact(
    client: Client, at: FactAddress, services: Sequence[str], message: FactParked | FactUnparked
) -> None:
    """Take a parked fact back. Raises InvalidField where a service has not parked it."""
    workspace_id = ""
    for service in services:
        found = await _find(client, service, at)
        if found is None or not found.parked:
            raise InvalidField(
                f"{service} has no parked fact {at.shard}:{at.offset}; see `./onefold facts list`",
                field="place",
            )
        workspace_id = found.workspace_id
    await _append(client, workspace_id, services, message)


async def _find(client: Client, service: str, at: FactAddress) -> pb.FailedFact | None:
    listed = await failed_facts(client, service)
    return next((fact for fact in listed if (fact.shard, fact.offset) == at), None)


async def _append(
    client: Client, workspace_id: str, services: Sequence[str], message: FactParked | FactUnparked
) -> None:
    """Append a decision, and wait until the services have folded it."""
    fact = Fact(
        workspace_id=workspace_id,
        # A decision may be made, undone and made again.
        fact_id=secrets.token_bytes(16),
        kind=message.DESCRIPTOR.full_name,
        actor="operator",
        payload=message.SerializeToString(),
    )
    response = await client.log.Append(AppendRequest(facts=[fact]))
    for service in services:
        request = pb.AwaitTokenRequest(token=response.token)
        await client.projection(service).AwaitToken(request)
