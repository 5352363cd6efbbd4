"""Where the processors' time and the memory go: by process, from /proc."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from bench.harness import say
from services.devstack.stack import Stack

_TICK = os.sysconf("SC_CLK_TCK")
_BACKENDS = "SELECT pid, application_name, backend_type FROM pg_stat_activity"

#: Seconds of processor time by (what, process).
Times = Mapping[tuple[str, int], float]


async def times(stack: Stack, others: Mapping[str, int]) -> Times:
    """The time that every process of a system has used so far. `others`: more of them, by name."""
    pids = {(name, service.pid) for name, service in stack.services.items()}
    pids |= {("nats", stack.nats.pid), *others.items()}
    conn = await asyncpg.connect(stack.postgres.admin_dsn)
    try:
        for pid, name, kind in await conn.fetch(_BACKENDS):
            what = name.removeprefix("onefold:") if kind == "client backend" else kind
            pids.add((f"postgres: {what}", pid))
    finally:
        await conn.close()
    found = {(what, pid): _of(pid) for what, pid in pids}
    # Of workers that came and went between two looks.
    found["postgres: ended", stack.postgres.pid] = _of(stack.postgres.pid, ended=True)
    return found


def by_name(before: Times, after: Times) -> dict[str, float]:
    """Seconds used in between, by what the processes are."""
    used: Counter[str] = Counter()
    for (what, pid), seconds in after.items():
        used[what] += seconds - before.get((what, pid), 0.0)
    return dict(used)


def tell(used: Mapping[str, float], events: int, seconds: float) -> None:
    """Says how many microseconds an event cost in each process."""
    say(f"{'process':<36} {'us/event':>9} {'share of a core':>16}")
    for what, spent in sorted(used.items(), key=lambda pair: -pair[1]):
        if spent / events > 5e-8:
            say(f"{what:<36} {spent / events * 1e6:9.1f} {spent / seconds:15.0%}")
    total = sum(used.values())
    say(f"{'all':<36} {total / events * 1e6:9.1f} {total / seconds:15.0%}")


def _of(pid: int, *, ended: bool = False) -> float:
    """Seconds of user and system time of a process, or of its children that have ended."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = line.rpartition(")")[2].split()
    first = 13 if ended else 11
    return sum(map(int, fields[first : first + 2])) / _TICK


def forget_peak(pid: int) -> None:
    """From here on `peak` tells of what comes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak(pid: int) -> int:
    """The most memory that a process had resident at any time, bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
