"""Makes the environment of `./onefold` from the locks on its first run, then runs the command line.

Run as a program by path, by any Python from 3.11 on, with nothing installed:

    python -I services/devstack/venv.py ARGUMENT...

The environment is `.venv` in the checkout, or a folder in the user's cache where the checkout is
not writable. Marker files name its contents: a start that finds them up to date costs nothing, a
changed lock is installed into it, and an incomplete environment is made again.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
LOCK, TEST_LOCK = "requirements.lock", "requirements-test.lock"
#: Commands that need more packages than the services.
MORE = {"test": TEST_LOCK, "bench": TEST_LOCK, "match": "requirements-linkage.lock"}
#: The locks of `export log`, which writes Parquet, and of `rebuild --engine spark`.
PARQUET_LOCK, SPARK_LOCK = "requirements-linkage.lock", "requirements-spark.lock"
#: Markers in the environment: its checkout, and that it is being made or changed.
OWNER, UNFINISHED = "onefold-checkout", "onefold-unfinished"
#: A package in a lock.
PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*(?:\[[^]]*\])?==", re.MULTILINE)
LAST_LINES = 20
#: The page with the help of all commands.
REFERENCE = "docs/reference/commands.md"


class SetupError(Exception):
    """The environment cannot be made. The text is one line for the user."""


class Interrupted(SetupError):
    """The program that makes the environment was killed: it may be incomplete."""


def main(argv: Sequence[str]) -> NoReturn:
    """Run the command line in this process, or exit with one line that explains why not."""
    if not os.environ.get("HOME", "/"):
        del os.environ["HOME"]  # empty would mean /; without it the user database is used
    is_help = "--help" in argv
    locks = [LOCK] if is_help else locks_of(argv)
    try:
        if is_help and (text := help_without_environment(ROOT, argv)):
            print(text.encode("ascii", "backslashreplace").decode())
            sys.exit(0)
        folder = ensure(ROOT, locks)
    except (SetupError, OSError) as error:
        print_progress(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        print_progress("interrupted: the next start continues")
        sys.exit(130)
    python = str(folder / "bin" / "python")
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONHOME"}
    # In the caller's folder, without importing modules from there.
    environment["PYTHONSAFEPATH"] = "1"
    os.execve(python, [python, "-P", "-m", "services.cli", *argv], environment)


def locks_of(argv: Sequence[str]) -> list[str]:
    """Return the locks of the packages that a command needs."""
    locks = [LOCK, *(MORE[command] for command in argv[:1] if command in MORE)]
    if list(argv[:2]) == ["export", "log"]:
        locks.append(PARQUET_LOCK)
    elif list(argv[:1]) == ["rebuild"] and not {"spark", "--engine=spark"}.isdisjoint(argv):
        locks.append(SPARK_LOCK)
    return locks


def help_without_environment(root: Path, argv: Sequence[str]) -> str:
    """Return the help of a command from the reference; empty where the command itself can run.

    Help installs nothing: it is what a user reads before.
    """
    if is_ready(choose_folder(root, [LOCK]), root, [LOCK]):
        return ""
    page = _text(root / REFERENCE)
    if page is None:
        return ""
    helps = dict(re.findall(r"^## ([^\n]+)\n+```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    named = " ".join(word for word in argv if not word.startswith("-"))
    while named and not any(f"{name} ".startswith(f"{named} ") for name in helps):
        named = named.rpartition(" ")[0]
    if named in helps:
        return str(helps[named]).rstrip()
    below = [f"  ./onefold {name}" for name in helps if f"{name} ".startswith(f"{named} ".lstrip())]
    return "\n".join(
        ["Usage: ./onefold COMMAND; --help after a command shows its options.", *below]
    )


def ensure(root: Path, locks: Sequence[str]) -> Path:
    """Return an environment with the packages of the locks. Raises SetupError, OSError."""
    folder = choose_folder(root, locks)
    if not is_ready(folder, root, locks):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder.parent):
            if not is_ready(folder, root, locks):
                make(folder, root, locks)
    return folder


def choose_folder(root: Path, locks: Sequence[str]) -> Path:
    """Return the checkout's folder if it is ready or writable, else one in the user's cache."""
    beside = root / ".venv"
    writable = os.access(root, os.W_OK) and (not beside.exists() or os.access(beside, os.W_OK))
    if writable or is_ready(beside, root, locks):
        return beside
    name = hashlib.blake2b(os.fsencode(root), digest_size=8).hexdigest()
    return cache_folder() / "onefold" / f"venv-{name}"


def cache_folder() -> Path:
    """Return the user's cache; a private temporary folder for a user without a home."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    home = Path("~").expanduser()
    if home.is_dir() and os.access(home, os.W_OK):
        return home / ".cache"
    private = Path(tempfile.gettempdir()) / f"onefold-{os.geteuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.lstat().st_uid != os.geteuid():
        raise SetupError(f"{private} belongs to another user: set XDG_CACHE_HOME")
    return private


def is_ready(folder: Path, root: Path, locks: Sequence[str]) -> bool:
    """Return whether the environment is complete and up to date."""
    return (
        _has_python(folder)
        and not (folder / UNFINISHED).exists()
        and _owner(folder) == os.fsencode(root)
        and all(_text(_marker(folder, lock)) == _digest(root / lock) for lock in locks)
    )


def make(folder: Path, root: Path, locks: Sequence[str]) -> None:
    """Make the environment, or bring it up to date. Raises SetupError.

    Packages are added to an environment that was made by hand; it is never deleted.
    """
    owner = _owner(folder)
    if (
        not _has_python(folder)
        or (folder / UNFINISHED).exists()
        or owner not in (None, os.fsencode(root))
    ):
        _create(folder, root)
    for lock in locks:
        if _text(_marker(folder, lock)) != _digest(root / lock):
            _install(folder, root, lock)
    for packages in folder.glob("lib/python*/site-packages"):
        (packages / "onefold.pth").write_text(path_file(root), encoding="ascii")
    (folder / OWNER).write_bytes(os.fsencode(root))
    print_progress("ready")


def path_file(root: Path) -> str:
    """Return the content of the file by which the environment finds the checkout, in ASCII.

    Python reads that file in the encoding of the locale, which may be ASCII, whatever the path is.
    """
    paths = [os.fsencode(root), os.fsencode(root / "gen")]
    return f"import os, sys; sys.path += map(os.fsdecode, {paths!r})\n"


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Lock the folder against other starts; the system unlocks it when this process dies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print_progress("waiting for another onefold that sets up the same environment")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def print_progress(text: str, *, over: bool = False) -> None:
    """Print a line; `over` replaces the line before, and prints only to a terminal."""
    terminal = sys.stderr.isatty()
    if over and not terminal:
        return
    lead, end = ("\r\x1b[K", "") if over else ("\r\x1b[K" if terminal else "", "\n")
    print(f"{lead}onefold: {text}", end=end, file=sys.stderr, flush=True)


def _create(folder: Path, root: Path) -> None:
    if not importlib.util.find_spec("ensurepip"):
        raise SetupError(
            f"the Python at {sys.executable} cannot make environments: install its venv module "
            "(Debian, Ubuntu: python3-venv), or name another in ONEFOLD_PYTHON"
        )
    print_progress(f"first run: making {folder}")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / OWNER).write_bytes(os.fsencode(root))
    (folder / UNFINISHED).touch()
    # This Python may be the one in the environment that has just been deleted.
    python = getattr(sys, "_base_executable", sys.executable)
    _run([python, "-I", "-m", "venv", str(folder)], f"{folder} could not be made", root)
    (folder / UNFINISHED).unlink()


def _install(folder: Path, root: Path, lock: str) -> None:
    """Install the lock with pip; where pip fails at the start, the environment is unchanged."""
    total = len(PINNED.findall((root / lock).read_text(encoding="utf-8")))
    print_progress(f"installing the {total} packages of {lock} (some minutes the first time)")
    if (folder / OWNER).exists():
        (folder / UNFINISHED).touch()
    # A lock names every package, so there is nothing to resolve. Modules are compiled when they are
    # imported; compiling all of them would take as long as the rest.
    options = ["--require-hashes", "--no-deps", "--no-compile"]
    options += ["--no-input", "--disable-pip-version-check"]
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", *options, "-r", lock]
    try:
        _run(pip, f"pip could not install {lock} (is a package index in reach?)", root, total)
    except Interrupted:
        raise
    except SetupError:
        (folder / UNFINISHED).unlink(missing_ok=True)
        raise
    _marker(folder, lock).write_text(_digest(root / lock), encoding="utf-8")
    (folder / UNFINISHED).unlink(missing_ok=True)


def _run(argv: list[str], failure: str, cwd: Path, total: int = 0) -> None:
    """Run a program, and show its current package. Raises SetupError with its error line."""
    environment = os.environ | {"PIP_USER": "0"}
    lines: list[str] = []
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 it is a pipe
        seen = 0
        for line in process.stdout:
            lines = [*lines[-LAST_LINES:], line.strip()]
            if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
                seen += 1
                print_progress(f"{seen}/{total} {found[1]}", over=True)
            elif line.startswith("Installing collected packages"):
                print_progress(f"unpacking {total} packages", over=True)
    if process.returncode != 0:
        why = [line for line in lines if line.startswith(("ERROR", "Error"))] or lines
        kind = SetupError if process.returncode > 0 else Interrupted
        raise kind(f"{failure}: {(why or ['it printed nothing'])[-1]}")


def _has_python(folder: Path) -> bool:
    return os.access(folder / "bin" / "python", os.X_OK)


def _marker(folder: Path, lock: str) -> Path:
    return folder / f"onefold-{lock}"


def _digest(lock: Path) -> str:
    try:
        return hashlib.blake2b(lock.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise SetupError(f"{lock} cannot be read: is this a whole checkout?") from error


def _owner(folder: Path) -> bytes | None:
    """Return the path of the checkout for which an environment was made."""
    try:
        return (folder / OWNER).read_bytes()
    except OSError:
        return None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return None


if __name__ == "__main__":
    main(sys.argv[1:])
