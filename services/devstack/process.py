"""Processes, our children or not: start them, see whether they live, await their end, end them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from services.devstack.account import Account

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.05
#: All of our environment that reaches an engine: PGOPTIONS or LC_ALL would change its ways.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


def spawn(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    account: Account | None = None,
    death_signal: int = 0,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output added to the file `log` (mode 600).

    `account` is who it runs as (None: as we do), `death_signal` what it gets when the thread that
    called this ends.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    tie = [str(number) for number in (uid, gid, os.getpid(), int(death_signal))]
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), *tie, *map(str, argv)],
            cwd=cwd,
            env={"LC_ALL": "C"}
            | {name: os.environ[name] for name in PASSED_ON if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(descriptors),
            start_new_session=True,
        )


def is_alive(pid: int) -> bool:
    """Say whether the process runs; one that has ended and waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return sys.platform != "linux"
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def works_in(pid: int, folder: Path) -> bool:
    """Say whether the process lives and its working directory is this folder."""
    if not is_alive(pid):
        return False
    if sys.platform == "linux":
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink() == folder
        return False
    listing = subprocess.run(
        ["lsof", "-a", "-p", str(pid), "-d", "cwd", "-Fn"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"n{folder}" in listing.stdout.splitlines()


def workers_in(folder: Path) -> list[int]:
    """List the processes whose working directory is this folder (elsewhere than on Linux none)."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if works_in(pid, folder)] if sys.platform == "linux" else []


async def ended(pid: int) -> None:
    """Return when the process has ended, whoever its parent is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, AttributeError):  # not Linux, or an old kernel
        while is_alive(pid):  # noqa: ASYNC110 nobody tells us
            await asyncio.sleep(POLL_SECONDS)
        return
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def end(pid: int, *steps: tuple[signal.Signals, float]) -> bool:
    """Send each signal in turn and give it its seconds; say whether the process has ended."""
    for number, seconds in steps:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ended(pid)
            return True
    return False
