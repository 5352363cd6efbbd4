"""PostgreSQL runs as an account of its own, never as root or as an account of other programs."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.devstack import account
from services.devstack.account import ACCOUNT, ACCOUNT_VARIABLE, OsAccount, unprivileged_account
from services.devstack.errors import ServerError

SHARED = OsAccount(65534, 65534)


class Accounts:
    """The accounts of a machine, and a program that adds one."""

    def __init__(self, **ids: int) -> None:
        self.ids = {"root": 0, "nobody": 65534, **ids}
        self.added: list[str] = []
        #: How often adding fails, because another process holds the lock.
        self.locked = 0

    def find(self, name: str) -> Any:
        if name not in self.ids:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=self.ids[name], pw_gid=self.ids[name])

    def add(self, argv: list[str], **_options: object) -> Any:
        if self.locked:
            self.locked -= 1
            return SimpleNamespace(returncode=1)
        self.added.append(argv[-1])
        self.ids[argv[-1]] = 999
        return SimpleNamespace(returncode=0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    accounts = Accounts()
    monkeypatch.delenv(ACCOUNT_VARIABLE, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", accounts.find)
    monkeypatch.setattr(subprocess, "run", accounts.add)
    monkeypatch.setattr(account.shutil, "which", lambda *_a, **_k: "/usr/sbin/useradd")
    monkeypatch.setattr(account, "_ADD_PAUSE_S", 0.0)
    return accounts


def owned_by(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    status = SimpleNamespace(st_uid=uid, st_gid=uid)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "stat", lambda _: status)


def test_ordinary_user_stays_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert unprivileged_account(tmp_path) is None


def test_missing_account_is_made_once(machine: Accounts, tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    assert unprivileged_account(folder) == OsAccount(999, 999)
    assert unprivileged_account(folder) == OsAccount(999, 999)
    assert machine.added == [ACCOUNT]


def test_account_is_made_although_another_process_holds_the_lock(
    machine: Accounts, tmp_path: Path
) -> None:
    machine.locked = 3
    assert unprivileged_account(tmp_path / "cluster") == OsAccount(999, 999)


def test_account_that_cannot_be_made_is_an_error_with_the_next_step(
    machine: Accounts, tmp_path: Path
) -> None:
    machine.locked = 1_000
    with pytest.raises(ServerError, match="useradd --system onefold") as caught:
        unprivileged_account(tmp_path / "cluster")
    assert ACCOUNT_VARIABLE in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nobody", "root", "missing"])
def test_account_of_other_programs_root_or_none_is_refused(
    name: str, machine: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ACCOUNT_VARIABLE, name)
    with pytest.raises(ServerError, match=f"cannot run as {name}"):
        unprivileged_account(tmp_path / "cluster")
    assert not machine.added


def test_named_account_is_used(
    machine: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ids["database"] = 77
    monkeypatch.setenv(ACCOUNT_VARIABLE, "database")
    assert unprivileged_account(tmp_path / "cluster") == OsAccount(77, 77)


def test_owner_of_an_existing_database_stays_its_owner(
    machine: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned_by(monkeypatch, 77)
    assert unprivileged_account(tmp_path / "cluster") == OsAccount(77, 77)
    assert not machine.added


def test_existing_database_of_a_shared_account_is_refused(
    machine: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned_by(monkeypatch, SHARED.uid)
    with pytest.raises(ServerError, match="chown -R onefold"):
        unprivileged_account(tmp_path / "cluster")
