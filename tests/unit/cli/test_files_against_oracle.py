"""Reads generated files, and compares each cell with what was written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from oracle.file_oracle import KnownFile, judge, make_file
from properties import PROFILE

from services.cli.files.cells import BadCell
from services.cli.files.mapping import read_mapping
from services.cli.files.rows import RowFile
from services.kernel.errors import InvalidField

SEED = 20261127
FILES = 10_000 if os.environ.get(PROFILE) == "deep" else 600


def read(file: KnownFile, folder: Path) -> dict[int, dict[str, Any] | None] | None:
    """Return the parts of each event by line, None for a rejected line or a rejected file."""
    path = folder / f"f{file.suffix}"
    path.write_bytes(file.raw)
    mapping = read_mapping(file.mapping)
    outcome: dict[int, dict[str, Any] | None] = {}
    try:
        for line in RowFile(path, mapping):
            assert line.number not in outcome, "each line has one outcome"
            outcome[line.number] = None
            if line.row is None:
                continue
            try:
                event = mapping.to_event(line.row, lambda: "default")
            except BadCell:
                continue
            outcome[line.number] = {
                "identifiers": {i.namespace: i.value for i in event.identifiers},
                "properties": json.loads(event.properties or b"{}"),
                "time": event.occurred_at_us,
            }
    except InvalidField:
        return None
    return outcome


def test_every_cell_is_taken_as_meant_or_its_line_is_rejected(tmp_path: Path) -> None:
    wrong = []
    taken = 0
    for number in range(FILES):
        file = make_file(Random(f"{SEED}-{number}"))
        outcome = read(file, tmp_path)
        if problem := judge(file, outcome):
            wrong.append(f"file {number}: {problem}\n{file.mapping}\n{file.raw!r}")
        taken += sum(event is not None for event in (outcome or {}).values())
    assert not wrong, f"{len(wrong)} files\n" + "\n\n".join(wrong[:3])
    assert taken > FILES / 2, "most files have rows without a mistake"


@pytest.mark.parametrize("number", range(40))
def test_no_content_of_a_file_ends_in_another_error(tmp_path: Path, number: int) -> None:
    """Bytes are changed at random: each outcome is a row, a rejection, or an InvalidField."""
    random = Random(f"{SEED}-bytes-{number}")
    for _ in range(FILES // 40):
        file = make_file(random)
        raw = bytearray(file.raw)
        for _ in range(random.randrange(1, 8)):
            at = random.randrange(len(raw) + 1)
            piece = random.choice(
                [b'"', b"\0", b"\r", b"\n", b",", b"\xff\xfe", b"\\", b"\xe5", b"{"]
            )
            raw[at : at + random.randrange(3)] = piece
        file.raw = bytes(raw)
        read(file, tmp_path)
