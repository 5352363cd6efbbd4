"""Tests the admin key of a first start."""

from __future__ import annotations

import stat
from pathlib import Path

from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Role
from services.ingest.commands.bootstrap import load_or_create_admin_key


def test_admin_key_is_created_once_in_a_private_file(tmp_path: Path) -> None:
    key = load_or_create_admin_key(tmp_path / "data")
    file = tmp_path / "data" / "admin.key"
    assert key == file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_or_create_admin_key(tmp_path / "data") == key
    assert [f.name for f in (tmp_path / "data").iterdir()] == ["admin.key"]


def test_admin_key_without_a_data_folder_is_none() -> None:
    assert load_or_create_admin_key(None) is None


def test_roles_have_the_numbers_of_the_api_contract() -> None:
    assert (Role.SOURCE, Role.READER, Role.SERVICE, Role.ADMIN) == (1, 2, 3, 4)
    assert len(hash_key("k")) == 32
