"""`./onefold audit`: lists what each key did and read, and verifies that no entry was changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from onefold.audit.v1.audit_service_pb2 import AuditEntry, ListAuditEntriesRequest
from onefold.ingest.v1.admin_service_pb2 import GetCallerRequest
from onefold.ingest.v1.ingest_facts_pb2 import Role
from onefold.type.v1.options_pb2 import FieldClass
from typer import Option

from services import SERVICES
from services.chassis.audit.grpc import entry_from_proto
from services.chassis.audit.log import chain_of
from services.cli import output
from services.cli.context import DataDir, Limit, run_with_client
from services.cli.values import word_of
from services.client.client import Client
from services.kernel.audit_chain import ChainEnd, ChainVerifier
from services.kernel.errors import InvalidField

audit = typer.Typer(no_args_is_help=True, help="What each key did and read.")

_PAGE = 1_000
CheckpointFile = Annotated[
    Path | None,
    Option(
        "--checkpoints",
        help="A file of ends of chains, stored outside of the database: `verify` compares with it "
        "and adds the ends of now.",
    ),
]


@audit.command("list")
def list_entries(
    data: DataDir,
    limit: Limit = 50,
    profile: Annotated[str, Option(help="Only entries about this profile.")] = "",
    by: Annotated[str, Option(help="Only entries of the key with this id.")] = "",
    reads: Annotated[bool, Option("--reads", help="Only reads of personal data.")] = False,
) -> None:
    """List what each key did and read at every service, the latest first."""
    request = ListAuditEntriesRequest(
        page_size=limit, profile_id=profile, key_id=by, reads_only=reads
    )

    async def load(client: Client) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        for service in SERVICES:
            found += (await client.audit(service).ListAuditEntries(request)).entries
        return sorted(found, key=lambda entry: entry.at_us, reverse=True)[:limit]

    rows = [_row(entry) for entry in run_with_client(data, load)]
    columns = ("time", "key", "role", "method", "outcome", "about", "read", "shown", "reason")
    output.print_table(columns, rows)


def _row(entry: AuditEntry) -> tuple[str, ...]:
    people = len(entry.profile_ids)
    about = entry.target or (entry.profile_ids[0] if people == 1 else f"{people} profiles")
    read = f"{entry.count}: {', '.join(entry.names)}" if entry.count else ""
    return (
        output.format_time(entry.at_us),
        entry.key_id,
        word_of(Role, "ROLE_", entry.role),
        entry.method.rpartition("/")[2],
        entry.outcome,
        about if people or entry.target else "",
        read,
        word_of(FieldClass, "FIELD_CLASS_", entry.visible) if entry.visible else "",
        entry.reason,
    )


@audit.command()
def verify(data: DataDir, checkpoints: CheckpointFile = None) -> None:
    """Verify every entry of the workspace; exit with an error where one was changed or removed."""
    with output.exit_on_error():
        known = _load(checkpoints) if checkpoints is not None else {}

    async def work(client: Client) -> dict[str, ChainVerifier]:
        workspace = (await client.admin.GetCaller(GetCallerRequest())).workspace_id
        chains = [(service, chain_of(service, workspace)) for service in SERVICES]
        return {
            chain: await verify_chain(client, service, chain, known.get(chain, ()))
            for service, chain in chains
        }

    verified = run_with_client(data, work)
    rows = [
        (chain, str(each.last.number), "; ".join(each.problems[:3]) or "whole")
        for chain, each in verified.items()
    ]
    output.print_table(("chain", "entries", "result"), rows)
    if any(each.problems for each in verified.values()):
        output.err.print("error: the audit was changed. Compare with a backup of the database.")
        raise typer.Exit(1)
    if checkpoints is not None:
        with output.exit_on_error():
            _append(checkpoints, {chain: each.last for chain, each in verified.items()})


async def verify_chain(
    client: Client, service: str, chain: str, checkpoints: tuple[ChainEnd, ...] = ()
) -> ChainVerifier:
    """Read the audit of one service from its first entry to its end, and verify it."""
    verifier, number = ChainVerifier(chain, checkpoints), 1
    while True:
        request = ListAuditEntriesRequest(page_size=_PAGE, from_number=number)
        response = await client.audit(service).ListAuditEntries(request)
        verifier.add(map(entry_from_proto, response.entries))
        number = max([number, *(entry.number + 1 for entry in response.entries)])
        if len(response.entries) < _PAGE:
            break
    verifier.end(ChainEnd(response.head_number, response.head_hash))
    return verifier


def _load(file: Path) -> dict[str, tuple[ChainEnd, ...]]:
    """Return the checkpoints of a file by chain; one that does not exist has none."""
    found: dict[str, tuple[ChainEnd, ...]] = {}
    try:
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        for line in lines:
            row = json.loads(line)
            each = ChainEnd(int(row["number"]), bytes.fromhex(row["hash"]))
            found[row["chain"]] = (*found.get(row["chain"], ()), each)
    except (OSError, ValueError, KeyError, TypeError):
        message = f"{file} is no file of checkpoints: name the file that `audit verify` has written"
        raise InvalidField(message, field="--checkpoints") from None
    return found


def _append(file: Path, ends: dict[str, ChainEnd]) -> None:
    rows = [
        {"chain": chain, "number": end.number, "hash": end.hash.hex()}
        for chain, end in ends.items()
        if end.number
    ]
    try:
        with file.open("a", encoding="utf-8") as opened:
            opened.writelines(json.dumps(row) + "\n" for row in rows)
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}"
        raise InvalidField(message, field="--checkpoints") from None
