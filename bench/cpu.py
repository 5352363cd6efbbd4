"""Measures processor time and memory by process, from /proc."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import asyncpg

from bench.harness import print_progress
from services.devstack.stack import Stack

_TICK = os.sysconf("SC_CLK_TCK")
_BACKENDS = "SELECT pid, application_name, backend_type FROM pg_stat_activity"

#: Seconds of processor time by (name, process).
Times = Mapping[tuple[str, int], float]


async def times(stack: Stack, others: Mapping[str, int]) -> Times:
    """Return the time used by every process of a system, and by `others`, named by their keys."""
    pids = {
        (name, pid)
        for name, service in stack.services.items()
        for pid in (service.pid, *_children(service.pid))
    }
    pids |= {("nats", stack.nats.pid), *others.items()}
    conn = await asyncpg.connect(stack.postgres.admin_dsn)
    try:
        for pid, name, kind in await conn.fetch(_BACKENDS):
            role = name.removeprefix("onefold:") if kind == "client backend" else kind
            pids.add((f"postgres: {role}", pid))
    finally:
        await conn.close()
    found = {(name, pid): _seconds(pid) for name, pid in pids}
    # The time of backends that ended between two calls.
    found["postgres: ended", stack.postgres.pid] = _seconds(stack.postgres.pid, ended=True)
    return found


def by_name(before: Times, after: Times) -> dict[str, float]:
    """Return the seconds used in between, by name."""
    used: Counter[str] = Counter()
    for (name, pid), seconds in after.items():
        used[name] += seconds - before.get((name, pid), 0.0)
    return dict(used)


def print_costs(used: Mapping[str, float], events: int, seconds: float) -> None:
    """Print the microseconds of processor time per event in each process."""
    print_progress(f"{'process':<36} {'us/event':>9} {'share of a core':>16}")
    for name, spent in sorted(used.items(), key=lambda pair: -pair[1]):
        if spent / events > 5e-8:
            print_progress(f"{name:<36} {spent / events * 1e6:9.1f} {spent / seconds:15.0%}")
    total = sum(used.values())
    print_progress(f"{'all':<36} {total / events * 1e6:9.1f} {total / seconds:15.0%}")


def family_seconds(pid: int) -> float:
    """Return the time used by all that descend from a process, and by its children that ended."""
    return _seconds(pid, ended=True) + sum(map(_seconds, family(pid)))


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    return [pid, *(each for child in _children(pid) for each in family(child))]


def proportional_memory(pids: Iterable[int]) -> int:
    """Return the memory of processes in bytes; pages that some share are divided among them."""
    found = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found * 1024


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started and that run."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return list(map(int, children.split()))
    return []


def _seconds(pid: int, *, ended: bool = False) -> float:
    """Return user and system time of a process, or of its children that have ended."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = line.rpartition(")")[2].split()
    first = 13 if ended else 11
    return sum(map(int, fields[first : first + 2])) / _TICK


def reset_peak(pid: int) -> None:
    """Reset the figure that `peak` returns."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak(pid: int) -> int:
    """Return the most resident memory of a process since `reset_peak`, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
