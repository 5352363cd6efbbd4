"""Starts and ends processes, and waits for their end, whether they are our children or not."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from services.devstack.account import OsAccount

_LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.05
#: The variables that a server inherits: others, such as PGOPTIONS or LC_ALL, would change it.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


def spawn(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    account: OsAccount | None = None,
    death_signal: int = 0,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a new session, its output appended to the file `log` (mode 600).

    `env` is its environment (None = the variables in PASSED_ON); `account` is the account it runs
    as (None = our own); `death_signal` is sent to it when the thread that called this ends.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    arguments = [str(number) for number in (uid, gid, os.getpid(), int(death_signal))]
    if env is None:
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        env = {"LC_ALL": "C"} | passed
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), *arguments, *map(str, argv)],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(descriptors),
            start_new_session=True,
        )


def is_alive(pid: int) -> bool:
    """Return whether the process runs; one that has ended and is not reaped does not."""
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
    """Return whether the process runs and its working directory is this folder."""
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
    """Return the processes whose working directory is this folder; none if this is not Linux."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if works_in(pid, folder)] if sys.platform == "linux" else []


async def ended(pid: int) -> None:
    """Return when the process has ended, also one that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, AttributeError):  # not Linux, or an old kernel
        while is_alive(pid):  # noqa: ASYNC110 there is no event to wait for
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
    """Send each signal in turn and wait its seconds; return whether the process has ended."""
    for number, seconds in steps:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ended(pid)
            return True
    return False
