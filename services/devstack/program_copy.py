"""Copies of a program's tree, for an account that cannot enter the folder where it is installed.

A virtual environment in root's home is closed to everybody else, and homes are not opened for our
convenience.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from services.devstack.account import Account, can_enter

#: Where copies may stand, the best first.
HOMES = (
    Path("/var/lib/onefold"),
    Path("/var/tmp/onefold"),  # noqa: S108 used only where root made it and owns it
    Path("/tmp/onefold"),  # noqa: S108 the same
)
NOT_NEEDED = ("include", "__pycache__", "doc", "man")


def copy_for_all(tree: Path, account: Account | None) -> Path:
    """Copy the tree, once, to where the account can read it, and give the copy's path.

    A wheel's `<package>.libs` comes along at its place. Raises LookupError in words for the user.
    """
    for home in HOMES:
        try:
            if _is_ours(home) and can_enter(home, account):
                return _copied(tree, home / _edition(tree)) / tree.parent.name / tree.name
        except OSError:
            continue
    raise LookupError(
        f"{tree} is closed to the account that PostgreSQL runs as, "
        f"and no copy of it could be made in {HOMES[0]}"
    )


def _is_ours(home: Path) -> bool:
    """Make the folder and say whether it is ours: in /tmp anybody may have made it first."""
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


def _copied(tree: Path, place: Path) -> Path:
    """Whole or not at all: made beside and renamed, so that two starts at once agree."""
    if place.exists():
        return place
    half = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
    try:
        package = tree.parent
        shutil.copytree(
            tree, half / package.name / tree.name, ignore=shutil.ignore_patterns(*NOT_NEEDED)
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name)
        _open_for_reading(half)
        try:
            half.rename(place)
        except OSError:
            if not place.exists():
                raise
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return place


def _open_for_reading(root: Path) -> None:
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)  # noqa: S103 programs are for all to read
        for file in files:
            path = Path(folder, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
