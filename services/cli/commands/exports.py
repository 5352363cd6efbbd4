"""`./onefold export log`: the facts of the log as Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2 import GetHeadRequest, ReadRequest
from typer import Argument

from services.chassis.codec.fields import token_from_proto
from services.chassis.projection.exported_log import FILE_FACTS, LogExport
from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.client.client import Client

#: Facts in one response.
_PAGE = 5_000


def log(
    data: DataDir, folder: Annotated[Path, Argument(help="A new folder for the Parquet files.")]
) -> None:
    """Export every fact of the log as Parquet, for engines such as Spark.

    The files have the personal data of all workspaces: store them as you store the log.
    """
    with output.exit_on_error(), _private_files():
        try:
            export = LogExport(folder)
        except OSError as error:
            output.fail(f"{folder} cannot be written: {error.strerror}")
        facts = sum(run_with_client(data, lambda client: _export(client, export), as_service=True))
    output.out.print(f"{facts:,} facts are exported to {folder}.")


@contextmanager
def _private_files() -> Iterator[None]:
    """Make files for this account alone, as the data folder is."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


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
