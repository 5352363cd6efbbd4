"""Files of the data folder are for its owner alone, whatever the umask is."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.devstack.errors import ServerError
from services.devstack.folders import (
    FORMAT,
    close_to_others,
    load_or_create_secrets,
    load_secrets,
    make_folder,
    open_private,
)
from services.devstack.ports import PortChooser


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with open(tmp_path / "log", "ab", opener=open_private) as file:
        file.write(b"x")
    PortChooser({}, {}).choose(tmp_path / "ports.json", "nats")
    load_or_create_secrets(tmp_path / "secrets.json", "internal")
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}


def test_folder_is_passable_for_other_accounts_only_where_root_owns_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "logs")
    make_folder(tmp_path / "a", passable=True)
    assert mode(tmp_path / "a" / "logs") == 0o700
    assert mode(tmp_path / "a") == (0o711 if os.geteuid() == 0 else 0o700)


def test_existing_files_and_folders_are_closed_to_others(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    for folder in (data / "run", data / "cluster", data / "empty"):
        folder.mkdir(parents=True)
    files = [data / "stack.json", data / "run" / "ingest.json", data / "cluster" / "base", outside]
    for file in files:
        file.write_text("x", encoding="utf-8")
        file.chmod(0o666)
    (data / "run" / "link").symlink_to(outside)
    program = data / "program"
    program.write_text("x", encoding="utf-8")
    program.chmod(0o755)
    close_to_others(data, skipped=("cluster",))
    assert [mode(file) for file in files] == [0o600, 0o600, 0o666, 0o666]
    assert (mode(data / "run"), mode(data / "empty"), mode(program)) == (0o700, 0o700, 0o700)


def test_secrets_of_a_folder_are_made_once(tmp_path: Path) -> None:
    made = load_secrets(tmp_path)
    assert set(made) == {"internal", "index", "seal", "bus"}
    assert len(set(made.values())) == 4
    assert load_secrets(tmp_path) == made


@pytest.mark.parametrize(
    ("state", "age"), [({}, "an older"), ({"format": FORMAT + 1, "x": "index"}, "a newer")]
)
def test_folder_of_another_format_is_refused_by_its_number(
    tmp_path: Path, state: dict[str, object], age: str
) -> None:
    load_secrets(tmp_path)
    file = tmp_path / "secrets.json"
    saved = json.loads(file.read_text(encoding="ascii"))
    del saved["format"]
    file.write_text(json.dumps(saved | state), encoding="ascii")
    with pytest.raises(ServerError, match=f"made by {age} version .* choose another data folder"):
        load_secrets(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', '{"format": "x"}', "null", "é"])
def test_damaged_file_of_secrets_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text, encoding="utf-8")
    with pytest.raises(ServerError, match="cannot be read as passwords"):
        load_secrets(tmp_path)
