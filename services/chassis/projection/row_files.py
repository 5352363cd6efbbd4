"""Rows of a new state that an engine outside of the services has computed, as files.

<folder>/manifest.json            which facts the rows follow from; written last
<folder>/TABLE/part-00000.rows    frames: the size (4 bytes, big-endian) and rows as MessagePack
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token

MANIFEST = "manifest.json"
VERSION = 1
#: Rows in one frame.
FRAME = 5_000
_SIZE = struct.Struct(">I")


class RowsManifest(msgspec.Struct, frozen=True):
    """Which facts the rows of a folder follow from."""

    version: int
    service: str
    #: The offset after the last fact of each shard, and the log's clock there, Unix microseconds.
    offsets: tuple[int, ...]
    times_us: tuple[int, ...]
    #: The offsets that were left out, by shard.
    left_out: dict[int, list[int]]

    @property
    def end(self) -> Token:
        """The state of the log that the rows include."""
        return Token(self.offsets)

    def check_left_out(self, expected: Mapping[int, Iterable[int]]) -> None:
        """Raise Conflict where other facts are left out now."""
        for shard in range(len(self.offsets)):
            if sorted(self.left_out.get(shard, ())) != sorted(expected.get(shard, ())):
                raise Conflict(
                    f"the state of {self.service} leaves out other facts of shard {shard} than the"
                    " rows; compute them again"
                )


def write_rows(folder: Path, table: str, part: int, rows: Iterable[Any]) -> int:
    """Write one file, which replaces one that an earlier attempt left, and return the rows."""
    target = folder / table / f"part-{part:05d}.rows"
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    encode, rest, count = msgspec.msgpack.Encoder().encode, iter(rows), 0
    with unfinished.open("wb") as file:
        while frame := list(islice(rest, FRAME)):
            raw = encode(frame)
            file.write(_SIZE.pack(len(raw)) + raw)
            count += len(frame)
    unfinished.replace(target)
    return count


def read_rows(folder: Path, table: str) -> Iterator[list[Any]]:
    """Yield the rows of a table, at most FRAME at a time; none where it has no file."""
    decode = msgspec.msgpack.Decoder().decode
    for file in sorted((folder / table).glob("part-*.rows")):
        with file.open("rb") as opened:
            while size := opened.read(_SIZE.size):
                yield decode(opened.read(_SIZE.unpack(size)[0]))


def write_manifest(folder: Path, manifest: RowsManifest) -> None:
    """Write the manifest: from now on the rows are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def read_manifest(folder: Path, service: str) -> RowsManifest:
    """Return the manifest of a service's rows. Raises InvalidField where there is none."""
    with suppress(OSError, msgspec.DecodeError):
        found = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=RowsManifest)
        if found.version == VERSION and found.service == service:
            return found
    raise InvalidField(
        f"{service} finds no whole rows of its own in {folder}: the folder must be on storage that"
        " the engine and the service share",
        field="rows",
    )
