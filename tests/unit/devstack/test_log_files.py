"""Tests that log files stay bounded while processes append to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from services.devstack.log_files import rotate


def test_rotation_keeps_the_descriptor_of_the_process_that_appends(tmp_path: Path) -> None:
    file = tmp_path / "ingest.log"
    with file.open("a") as appending:
        appending.write("x" * 100)
        appending.flush()
        assert rotate(file, max_bytes=50)
        appending.write("later\n")
    assert file.read_text() == "later\n"
    assert (tmp_path / "ingest.log.1").read_text() == "x" * 100


def test_small_or_missing_file_is_not_rotated(tmp_path: Path) -> None:
    file = tmp_path / "ingest.log"
    assert not rotate(file)
    file.write_text("short")
    assert not rotate(file)
    assert file.read_text() == "short"


def test_file_is_emptied_where_there_is_no_room_for_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    file = tmp_path / "ingest.log"
    file.write_text("x" * 100)
    assert rotate(file, max_bytes=50)
    assert file.read_text() == ""
