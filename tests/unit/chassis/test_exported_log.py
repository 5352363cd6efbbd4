"""Tests the exported log, and rows of an engine, as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from onefold.log.v1.log_pb2 import Fact
from pyarrow import parquet

from services.chassis.projection.exported_log import COLUMNS, LogExport, facts_of, read_manifest
from services.chassis.projection.row_files import (
    FRAME,
    VERSION,
    RowsManifest,
    read_rows,
    write_manifest,
    write_rows,
)
from services.chassis.projection.row_files import read_manifest as read_rows_manifest
from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token


def fact(shard: int, offset: int) -> Fact:
    return Fact(
        shard=shard,
        offset=offset,
        workspace_id="school",
        fact_id=bytes([shard, offset] * 8),
        kind="onefold.type.v1.Event",
        leaf_id=b"leaf" * 4 if offset % 2 else b"",
        occurred_at_us=-offset,
        recorded_at_us=1_000 + offset,
        source_id="网站",
        actor="key",
        payload=bytes([offset]) * offset,
    )


def test_exported_facts_are_read_from_parquet_as_they_were(tmp_path: Path) -> None:
    export, facts = LogExport(tmp_path / "log"), [[fact(s, n) for n in range(7)] for s in range(2)]
    for shard, some in enumerate(facts):
        export.write(shard, 0, some[:4])
        export.write(shard, 1, some[4:])
    with pytest.raises(InvalidField, match="no whole export"):
        read_manifest(tmp_path / "log")
    export.finish(Token((7, 7)))
    table = parquet.read_table(tmp_path / "log").select(["shard", *COLUMNS])
    found = facts_of(column.to_pylist() for column in table.columns)
    assert sorted(found, key=lambda f: (f.shard, f.offset)) == [f for some in facts for f in some]
    manifest = read_manifest(tmp_path / "log")
    assert (manifest.end, manifest.times_us) == (Token((7, 7)), (1_006, 1_006))


def test_export_into_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(InvalidField, match="is not empty"):
        LogExport(tmp_path)


def test_rows_are_read_as_they_were_written_and_a_repeated_part_replaces_itself(
    tmp_path: Path,
) -> None:
    rows = [[b"id", "text", n, None] for n in range(FRAME + 3)]
    assert write_rows(tmp_path, "edge", 0, rows[:1]) == 1
    assert write_rows(tmp_path, "edge", 0, rows) == len(rows)
    write_rows(tmp_path, "edge", 1, [])
    frames = list(read_rows(tmp_path, "edge"))
    assert [len(frame) for frame in frames] == [FRAME, 3]
    assert [row for frame in frames for row in frame] == rows
    assert list(read_rows(tmp_path, "decision")) == []


def test_rows_of_another_service_or_with_other_facts_left_out_are_refused(tmp_path: Path) -> None:
    manifest = RowsManifest(VERSION, "profile", (3, 3), (1, 1), {1: [2, 1]})
    write_manifest(tmp_path, manifest)
    assert read_rows_manifest(tmp_path, "profile") == manifest
    with pytest.raises(InvalidField, match="no whole rows"):
        read_rows_manifest(tmp_path, "identity")
    manifest.check_left_out({1: {1, 2}})
    for left_out in ({}, {1: {1}}, {0: {0}, 1: {1, 2}}):
        with pytest.raises(Conflict, match="leaves out other facts"):
            manifest.check_left_out(left_out)
