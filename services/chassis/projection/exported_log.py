"""The exported log: a folder of Parquet files with one fact a row, which any engine can read.

<folder>/_manifest.json                   what the folder contains; written last
<folder>/shard=3/part-000000.parquet      facts of one shard, in the order of the log
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from onefold.log.v1.log_pb2 import Fact

from services.kernel.errors import InvalidField
from services.kernel.tokens import Token

MANIFEST = "_manifest.json"
VERSION = 1
#: Facts in one file.
FILE_FACTS = 100_000
#: The columns, which are fields of `Fact`, and their types in Parquet. The folder has the shard.
COLUMNS = {
    "offset": "int64",
    "workspace_id": "string",
    "fact_id": "binary",
    "kind": "string",
    "leaf_id": "binary",
    "occurred_at_us": "int64",
    "recorded_at_us": "int64",
    "source_id": "string",
    "actor": "string",
    "payload": "binary",
}


class ExportManifest(msgspec.Struct, frozen=True):
    """What an exported log contains."""

    version: int
    #: The offset after the last fact of each shard, and the log's clock there, Unix microseconds.
    offsets: tuple[int, ...]
    times_us: tuple[int, ...]

    @property
    def end(self) -> Token:
        """The state of the log that the export includes."""
        return Token(self.offsets)


def read_manifest(folder: Path) -> ExportManifest:
    """Return the manifest of an exported log. Raises InvalidField where there is none."""
    with suppress(OSError, msgspec.DecodeError):
        found = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=ExportManifest)
        if found.version == VERSION:
            return found
    raise InvalidField(
        f"{folder} is no whole export of the log; write one with `./onefold export log FOLDER`",
        field="log",
    )


def facts_of(columns: Iterable[Sequence[Any]]) -> Iterator[Fact]:
    """Yield the facts of some rows, given as their shards and the columns of COLUMNS."""
    names = ("shard", *COLUMNS)
    for row in zip(*columns, strict=True):
        yield Fact(**dict(zip(names, row, strict=True)))


class LogExport:
    """Writes an exported log into an empty folder."""

    def __init__(self, folder: Path) -> None:
        """Raises InvalidField where the folder has files, or pyarrow is not installed."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise InvalidField(
                "Parquet needs the package pyarrow: install Onefold with the extra `parquet`"
            ) from None
        if folder.exists() and any(folder.iterdir()):
            raise InvalidField(f"{folder} is not empty; name a new folder", field="folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._times_us: dict[int, int] = {}
        self._arrow, self._parquet = pyarrow, parquet
        self._schema = pyarrow.schema(
            [(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()]
        )

    def write(self, shard: int, part: int, facts: Sequence[Fact]) -> None:
        """Write one file of a shard; the files of each come in the order of the log."""
        self._times_us[shard] = facts[-1].recorded_at_us
        columns = [[getattr(fact, name) for fact in facts] for name in COLUMNS]
        table = self._arrow.table(columns, schema=self._schema)
        folder = self._folder / f"shard={shard}"
        folder.mkdir(exist_ok=True)
        # The statistics of a column would repeat contents, and nothing is searched by them.
        file = folder / f"part-{part:06d}.parquet"
        self._parquet.write_table(table, file, compression="zstd", write_statistics=False)

    def finish(self, end: Token) -> None:
        """Write the manifest: from now on the export is whole."""
        times_us = tuple(self._times_us.get(shard, 0) for shard in range(len(end.offsets)))
        manifest = ExportManifest(VERSION, end.offsets, times_us)
        (self._folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
