"""The commands of the README as a newcomer types them, in a checkout where much could go wrong."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.devstack.account import OsAccount, can_enter
from services.devstack.binaries import find_nats
from services.devstack.folders import ROOT
from services.devstack.ports import FIRST_PORT_VARIABLE
from services.devstack.venv import LOCK, OWNER, path_file
from services.devstack.venv import _digest as digest
from services.devstack.venv import _marker as marker

MIN_LINES = 50
#: Sets the loopback interface up in a network of its own, and runs a command as a user.
_ALONE = """
import fcntl, os, socket, struct, sys
uid, gid, *command = sys.argv[1:]
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(command[0], command)
"""
COPIED = ("services", "gen", "packs", "docs", "onefold", LOCK)
PACKAGES = Path(sysconfig.get_path("purelib"))


@dataclass
class Newcomer:
    """An ordinary user without a home, in the C locale, before a copy of the checkout."""

    checkout: Path
    #: None where the tests do not run as root, or where such a user may not read the packages.
    account: OsAccount | None
    environment: dict[str, str] = field(
        default_factory=lambda: {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            FIRST_PORT_VARIABLE: "0",
            "COLUMNS": "160",
        }
    )

    def __call__(
        self, *arguments: str, has_network: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; it succeeds."""
        command = ["./onefold", *arguments]
        account = self.account
        if account and not has_network:
            alone = ("unshare", "--net", sys.executable, "-c", _ALONE)
            command = [*alone, str(account.uid), str(account.gid), *command]
            account = None
        run = subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environment,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert run.returncode == 0, run.stdout[-4_000:] + run.stderr[-4_000:]
        assert not re.search("error|warning|traceback", run.stderr, re.IGNORECASE), run.stderr
        return run


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Newcomer]:
    folder = Path(tempfile.mkdtemp(prefix="onefold-test-"))
    folder.chmod(0o755)
    checkout = folder / "我的 项目" / "onefold"
    checkout.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("node_modules")
            shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, checkout / name)
    make_environment(checkout)
    account = ordinary_account()
    if account:
        subprocess.run(["chown", "-R", f"{account.uid}:{account.gid}", folder], check=True)
    user = Newcomer(checkout, account)
    yield user
    user("down")
    shutil.rmtree(folder)


def make_environment(checkout: Path) -> None:
    """Make an environment that is up to date, of the packages that the tests run with."""
    folder = checkout / ".venv"
    venv.create(folder, symlinks=True)
    (folder / OWNER).write_bytes(os.fsencode(checkout))
    marker(folder, LOCK).write_text(digest(checkout / LOCK), encoding="utf-8")
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "onefold.pth").write_text(f"{PACKAGES}\n{path_file(checkout)}", encoding="ascii")
    (folder / "bin" / "nats-server").symlink_to(find_nats())


def ordinary_account() -> OsAccount | None:
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    account = OsAccount(entry.pw_uid, entry.pw_gid)
    is_open = can_enter(PACKAGES, account) and can_enter(Path(sys.executable).resolve(), account)
    return account if is_open else None


def test_commands_of_the_readme_succeed_for_a_newcomer(newcomer: Newcomer) -> None:
    run = newcomer("demo", "--visitors", "300")
    assert "All figures are as expected." in run.stdout
    assert "precision 1.0000, recall 1.0000" in run.stdout
    assert "high-intent-trial" in run.stdout
    assert len(run.stdout.splitlines()) > MIN_LINES


@pytest.mark.timeout(600)
def test_demo_of_the_shop_succeeds_without_a_network(newcomer: Newcomer) -> None:
    if newcomer.account is None:
        pytest.skip("a network of its own needs root, and another user for the demo")
    planted = newcomer("demo", "retail", "--visitors", "57", has_network=False)
    assert "All figures are as expected." in planted.stdout
    assert "57 customers were planted; 57 profiles" in planted.stdout
    assert "stage:lifecycle=沉默客户" in planted.stdout


@pytest.mark.timeout(600)
def test_demo_that_is_left_running_has_a_console(newcomer: Newcomer) -> None:
    left = newcomer("demo", "saas", "--visitors", "57", "--keep", "--data", "data")
    assert "All figures are as expected." in left.stdout
    [link] = re.findall(r"people: (http://127\.0\.0\.1:\d+)/console/#once=", left.stdout)
    with urllib.request.urlopen(f"{link}/console/") as page:
        assert page.status == 200
    assert "Onefold was already running." in newcomer("up").stdout
    again = newcomer("demo", "saas", "--keep", "--data", "data").stdout
    assert "The data of a demo are in data already." in again
    shown = newcomer("status").stdout
    assert len([line for line in shown.splitlines() if "grpc" in line]) == 5
    assert "Stopped." in newcomer("down").stdout
