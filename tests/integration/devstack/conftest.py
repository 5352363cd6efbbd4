"""Runs programs as an ordinary user: our own, or an unprivileged one when the tests run as root."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from services.devstack.account import OsAccount, can_enter

ROOT = Path(__file__).resolve().parents[3]
#: The folder of the installed packages.
PACKAGES = Path(asyncpg.__file__).parents[1]


@dataclass(frozen=True)
class OrdinaryUser:
    """Runs programs without root's rights."""

    account: OsAccount | None
    #: A Python of our version that this user may run.
    python: Path
    #: A folder of this user's own.
    home: Path

    def run(
        self, argv: Sequence[str | Path], environment: Mapping[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(word) for word in argv],
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            cwd="/",
            env={"HOME": str(self.home), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="onefold-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ordinary(open_folder: Path) -> OrdinaryUser:
    home = open_folder / "home"
    home.mkdir()
    if os.geteuid() != 0:
        return OrdinaryUser(None, Path(sys.executable), home)
    entry = pwd.getpwnam("nobody")
    account = OsAccount(entry.pw_uid, entry.pw_gid)
    os.chown(home, account.uid, account.gid)
    if not (can_enter(PACKAGES, account) and can_enter(ROOT, account)):
        pytest.skip("the checkout or its environment is closed to ordinary users")
    return OrdinaryUser(account, _python_for(account), home)


def _python_for(account: OsAccount) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (Path(sys.executable), Path("/usr/bin", version), Path("/usr/local/bin", version)):
        if path.exists() and can_enter(path.resolve().parent, account):
            return path
    pytest.skip(f"no {version} that an ordinary user may run")
