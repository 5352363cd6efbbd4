"""`./onefold export log` and `export segment`: facts as Parquet, and members as CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2 import GetHeadRequest, ReadRequest
from onefold.profile.v1.profile_service_pb2 import BatchGetProfilesRequest, Profile
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest, ListSegmentsRequest
from onefold.type.v1.token_pb2 import Token
from typer import Argument, Option

from services.chassis.codec.fields import token_from_proto
from services.chassis.projection.exported_log import FILE_FACTS, LogExport
from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.files.csv_rows import unwrap
from services.cli.files.new_files import private_files, replaced
from services.client.api import pages
from services.client.client import Client
from services.kernel.errors import InvalidField, NotFound

#: Facts in one response.
_PAGE = 5_000
#: Members in one response.
_MEMBERS = 1_000
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
#: What a spreadsheet would carry out at the beginning of a cell, also in the width of Chinese.
_FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_CONTROLS = ("\t", "\r", "\n")


def log(
    data: DataDir, folder: Annotated[Path, Argument(help="A new folder for the Parquet files.")]
) -> None:
    """Export every fact of the log as Parquet, for engines such as Spark.

    The files have the personal data of all workspaces: store them as you store the log.
    """
    with output.exit_on_error(), private_files():
        try:
            export = LogExport(folder)
        except OSError as error:
            output.fail(f"{folder} cannot be written: {error.strerror}")
        facts = sum(run_with_client(data, lambda client: _export(client, export), as_service=True))
    output.out.print(f"{facts:,} facts are exported to {folder}.")


class SegmentExport(NamedTuple):
    """The result of an export of a segment."""

    members: int
    #: The members that have none of the identifiers.
    without_identifier: int


def segment(
    data: DataDir,
    segment_id: Annotated[str, Argument(metavar="ID", help="As for `segments members`.")],
    file: Annotated[Path, Argument(help="A .csv file; one of this name is replaced.")],
    identifiers: Annotated[
        list[str],
        Option("--identifier", metavar="NAMESPACE", help="Write a column with this identifier."),
    ],
    traits: Annotated[
        list[str] | None, Option("--trait", metavar="NAME", help="Write a column with this trait.")
    ] = None,
) -> None:
    """Export the members of a segment as CSV, as they are at one state of the log."""
    with output.exit_on_error(), private_files():
        result = run_with_client(
            data, lambda client: export_segment(client, segment_id, file, identifiers, traits or ())
        )
    output.out.print(f"{result.members:,} members are exported to {file}.", soft_wrap=True)
    if result.without_identifier:
        output.out.print(
            f"{result.without_identifier:,} of them have none of the identifiers", soft_wrap=True
        )


async def export_segment(
    client: Client, segment_id: str, file: Path, identifiers: Sequence[str], traits: Sequence[str]
) -> SegmentExport:
    """Write the members of a segment into a CSV file, with one row each.

    Raises OnefoldError, also where the file cannot be written.
    """
    if clash := sorted({*identifiers} & {*traits}):
        raise InvalidField(f"{clash[0]} is the name of two columns", field="trait")
    await _check_segment(client, segment_id)
    members = without = 0
    # Spreadsheets read a file without the mark in the encoding of their country.
    with replaced(file, encoding="utf-8-sig") as opened:
        writer = csv.writer(opened)
        writer.writerow(["profile_id", *identifiers, *traits])
        async for profile in _members(client, segment_id):
            named = {each.namespace: each.value for each in reversed(profile.identifiers)}
            found = {each.name: msgspec.json.decode(each.value) for each in profile.traits}
            cells = [named.get(namespace, "") for namespace in identifiers]
            without += not any(cells)
            members += 1
            cells += [_cell(found.get(name)) for name in traits]
            writer.writerow([profile.profile_id, *map(_inert, cells)])
    return SegmentExport(members, without)


async def _check_segment(client: Client, segment_id: str) -> None:
    """Raise NotFound where there is no such segment, tag or stage: it would have no members."""
    listed = await client.segment.ListSegments(ListSegmentsRequest())
    known = {each.segment.segment_id for each in listed.segments}
    known |= {each.segment_id for each in listed.tags}
    if segment_id not in known and not segment_id.startswith("snapshot:"):
        raise NotFound(f"there is no segment {segment_id}: `./onefold segments` lists them")


async def _members(client: Client, segment_id: str) -> AsyncIterator[Profile]:
    """Yield the profiles of the members as they are when the first page is read."""
    request = ListMembersRequest(segment_id=segment_id, page_size=_MEMBERS)
    token: Token | None = None
    async for page in pages(client.segment.ListMembers, request):
        token = token or page.token
        request.as_of_token.CopyFrom(token)
        ids = [member.profile_id for member in page.members]
        wanted = BatchGetProfilesRequest(profile_ids=ids, at_least=token)
        for profile in (await client.profile.BatchGetProfiles(wanted)).profiles if ids else ():
            yield profile


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def _inert(cell: str) -> str:
    """Return a cell that spreadsheets take for a text or a number; an import reads it exactly."""
    is_formula = cell.startswith(_CONTROLS) or cell.lstrip().startswith(_FORMULAS)
    # An import removes the marks of texts, such as that of '001.
    if _NUMBER.fullmatch(cell) or not (is_formula or unwrap(cell) != cell.strip()):
        return cell
    return '="' + cell.replace('"', '""') + '"'


async def _export(client: Client, export: LogExport) -> tuple[int, ...]:
    head = await client.log.GetHead(GetHeadRequest())
    end = token_from_proto(head.token)
    with output.ProgressBars() as bars:
        task = bars.add_task("exporting the log", total=sum(end.offsets))
        done = 0
        for shard, offset in enumerate(end.offsets):
            facts: list[Fact] = []
            part = 0
            if not offset:
                continue
            request = ReadRequest(shard=shard, end_offset=offset, page_size=_PAGE)
            async for response in client.log.Read(request):
                facts += response.batch.facts
                done += len(response.batch.facts)
                bars.update(task, completed=done, total=sum(end.offsets))
                if len(facts) >= FILE_FACTS:
                    export.write(shard, part, facts)
                    facts, part = [], part + 1
            if facts:
                export.write(shard, part, facts)
    export.finish(end)
    return end.offsets
