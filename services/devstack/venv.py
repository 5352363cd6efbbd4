"""The first run of `./onefold`: make the environment from the locks, then become the command line.

Run as a program by path, by any Python from 3.11 on, with nothing installed:

    python -I services/devstack/venv.py ARGUMENT...

The environment is `.venv` in the checkout, or a folder in the user's cache where the checkout is
not ours to write. What it holds is told by marker files: a start that finds them right costs
nothing, a changed lock is installed on top, and one whose making was cut off is made again.
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
LOCK, TEST_LOCK, LINKAGE_LOCK = (
    "requirements.lock",
    "requirements-test.lock",
    "requirements-linkage.lock",
)
#: Commands that need more than the services do.
MORE = {"test": TEST_LOCK, "bench": TEST_LOCK, "match": LINKAGE_LOCK}
#: In the environment: whose checkout it serves, and that its making or changing goes on.
OWNER, UNFINISHED = "onefold-checkout", "onefold-unfinished"
#: A package in a lock.
PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*(?:\[[^]]*\])?==", re.MULTILINE)
TOLD_LINES = 20


class SetupError(Exception):
    """The environment cannot be made. The text is one line for the user."""


class Interrupted(SetupError):
    """The program that makes it was killed: the environment may be half made."""


def main(argv: Sequence[str]) -> NoReturn:
    """Become the command line, or exit with one line that says why not."""
    if not os.environ.get("HOME", "/"):
        del os.environ["HOME"]  # empty would mean the folder /; without it the user database tells
    locks = [LOCK, *(MORE[command] for command in argv[:1] if command in MORE)]
    try:
        place = ensure(ROOT, locks)
    except (SetupError, OSError) as error:
        print_progress(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        print_progress("interrupted; the next start begins anew")
        sys.exit(130)
    exec_python(place / "bin" / "python", argv)


def exec_python(python: Path, argv: Sequence[str]) -> NoReturn:
    """Run the command line in our place and in the caller's folder, whose files are no modules."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONHOME"}
    environment["PYTHONSAFEPATH"] = "1"
    os.execve(python, [str(python), "-P", "-m", "services.cli", *argv], environment)


def ensure(root: Path, locks: Sequence[str]) -> Path:
    """Give an environment that holds what the locks say. Raises SetupError, OSError."""
    place = choose_folder(root, locks)
    if not is_ready(place, root, locks):
        place.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(place.parent):
            if not is_ready(place, root, locks):
                make(place, root, locks)
    return place


def choose_folder(root: Path, locks: Sequence[str]) -> Path:
    """The checkout's own folder if it is ready or ours to write, else one in the user's cache."""
    beside = root / ".venv"
    ours = os.access(root, os.W_OK) and (not beside.exists() or os.access(beside, os.W_OK))
    if ours or is_ready(beside, root, locks):
        return beside
    name = hashlib.blake2b(os.fsencode(root), digest_size=8).hexdigest()
    return cache_folder() / "onefold" / f"venv-{name}"


def cache_folder() -> Path:
    """The user's cache; a private temporary folder for a user who has no home."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named)
    home = Path("~").expanduser()
    if home.is_dir() and os.access(home, os.W_OK):
        return home / ".cache"
    private = Path(tempfile.gettempdir()) / f"onefold-{os.geteuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.lstat().st_uid != os.geteuid():
        raise SetupError(f"{private} belongs to somebody else: set XDG_CACHE_HOME")
    return private


def is_ready(place: Path, root: Path, locks: Sequence[str]) -> bool:
    """Say whether nothing has to be done."""
    return (
        _has_python(place)
        and not (place / UNFINISHED).exists()
        and _text(place / OWNER) == str(root)
        and all(_text(_marker(place, lock)) == _digest(root / lock) for lock in locks)
    )


def make(place: Path, root: Path, locks: Sequence[str]) -> None:
    """Make the environment, or bring it up to date. Raises SetupError.

    An environment that somebody made by hand is added to, never thrown away.
    """
    ours = _text(place / OWNER)
    if not _has_python(place) or (place / UNFINISHED).exists() or ours not in (None, str(root)):
        _create(place, root)
    for lock in locks:
        if _text(_marker(place, lock)) != _digest(root / lock):
            _install(place, root, lock)
    for packages in place.glob("lib/python*/site-packages"):
        (packages / "onefold.pth").write_text(f"{root}\n{root / 'gen'}\n", encoding="utf-8")
    (place / OWNER).write_text(str(root), encoding="utf-8")
    print_progress("ready")


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the folder against other starts; the system lets go of it when we die."""
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
    """Tell the user; `over` writes over the line before, and nothing where there is no terminal."""
    terminal = sys.stderr.isatty()
    if over and not terminal:
        return
    lead, end = ("\r\x1b[K", "") if over else ("\r\x1b[K" if terminal else "", "\n")
    print(f"{lead}onefold: {text}", end=end, file=sys.stderr, flush=True)


def _create(place: Path, root: Path) -> None:
    if not importlib.util.find_spec("ensurepip"):
        raise SetupError(
            f"the Python at {sys.executable} cannot make environments: install its venv module "
            "(Debian, Ubuntu: python3-venv), or name another in ONEFOLD_PYTHON"
        )
    print_progress(f"first run: making {place}")
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    (place / OWNER).write_text(str(root), encoding="utf-8")
    (place / UNFINISHED).touch()
    # Our own Python may be the one in the environment that was thrown away just now.
    python = getattr(sys, "_base_executable", sys.executable)
    _run([python, "-I", "-m", "venv", str(place)], f"{place} could not be made", root)
    (place / UNFINISHED).unlink()


def _install(place: Path, root: Path, lock: str) -> None:
    """Have pip install the lock; a refusal of pip leaves the environment as it was."""
    total = len(PINNED.findall((root / lock).read_text(encoding="utf-8")))
    print_progress(f"installing the {total} packages of {lock} (some minutes the first time)")
    ours = (place / OWNER).exists()
    if ours:
        (place / UNFINISHED).touch()
    # A lock names all that is needed: there is nothing to resolve. And what is imported is compiled
    # when it is; all of it would take as long as the rest.
    options = ["--require-hashes", "--no-deps", "--no-compile"]
    options += ["--no-input", "--disable-pip-version-check"]
    pip = [str(place / "bin" / "python"), "-I", "-m", "pip", "install", *options, "-r", lock]
    try:
        _run(pip, f"pip could not install {lock} (is a package index in reach?)", root, total)
    except Interrupted:
        raise
    except SetupError:
        (place / UNFINISHED).unlink(missing_ok=True)
        raise
    _marker(place, lock).write_text(_digest(root / lock), encoding="utf-8")
    (place / UNFINISHED).unlink(missing_ok=True)


def _run(argv: list[str], failure: str, cwd: Path, total: int = 0) -> None:
    """Run a program, showing which package it is at. Raises SetupError with the telling line."""
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
            lines = [*lines[-TOLD_LINES:], line.strip()]
            if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
                seen += 1
                print_progress(f"{seen}/{total} {found[1]}", over=True)
            elif line.startswith("Installing collected packages"):
                print_progress(f"unpacking {total} packages", over=True)
    if process.returncode != 0:
        why = [line for line in lines if line.startswith(("ERROR", "Error"))] or lines
        kind = SetupError if process.returncode > 0 else Interrupted
        raise kind(f"{failure}: {(why or ['it said nothing'])[-1]}")


def _has_python(place: Path) -> bool:
    return os.access(place / "bin" / "python", os.X_OK)


def _marker(place: Path, lock: str) -> Path:
    return place / f"onefold-{lock}"


def _digest(lock: Path) -> str:
    try:
        return hashlib.blake2b(lock.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise SetupError(f"{lock} cannot be read: is this a whole checkout?") from error


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return None


if __name__ == "__main__":
    main(sys.argv[1:])
