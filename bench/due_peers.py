"""Lets jobs come due in other systems, as a process of its own that prints what they cost.

python -m bench.due_peers procrastinate|dbos DSN NUMBER

A job does nothing, where a run of a journey plans a message. procrastinate has rows of jobs, of
which a worker takes one at a time; DBOS has workflows that sleep and then take one step.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

#: Jobs beside each other.
CONCURRENCY = 32
#: Seconds in which all are put in before they are due.
LEAD_S = 20.0


async def procrastinate_jobs(dsn: str, number: int) -> float:
    """Run jobs that are due; return the seconds of this process that they took."""
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))

    @app.task(name="due")
    async def due(of: int) -> None:
        """Do nothing."""

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        at = datetime.now(UTC) + timedelta(seconds=1)
        await due.configure(schedule_at=at).batch_defer_async(*({"of": n} for n in range(number)))
        await asyncio.sleep(2)
        used = time.process_time()
        await app.run_worker_async(
            wait=False, concurrency=CONCURRENCY, install_signal_handlers=False, listen_notify=False
        )
        return time.process_time() - used


async def dbos_workflows(dsn: str, number: int) -> float:
    """Let workflows wake; return the seconds of this process from then on."""
    from dbos import DBOS

    DBOS(config={"name": "bench", "system_database_url": dsn, "run_admin_server": False})

    @DBOS.step()
    async def order(of: int) -> None:
        """Do nothing."""

    @DBOS.workflow()
    async def wait(of: int, due_at: float) -> None:
        await DBOS.sleep_async(max(0.0, due_at - time.time()))
        await order(of)

    DBOS.launch()
    try:
        due_at = time.time() + LEAD_S + number / 50
        handles = [await DBOS.start_workflow_async(wait, n, due_at) for n in range(number)]
        await asyncio.sleep(max(0.0, due_at - 1 - time.time()))
        used = time.process_time()
        for handle in handles:
            await handle.get_result()
        return time.process_time() - used
    finally:
        DBOS.destroy()


PEERS: dict[str, Callable[[str, int], Awaitable[float]]] = {
    "procrastinate": procrastinate_jobs,
    "dbos": dbos_workflows,
}


def main() -> None:
    """Print the seconds as JSON; nothing where the peer is not installed."""
    name, dsn, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        seconds: float | None = asyncio.run(PEERS[name](dsn, number))  # type: ignore[arg-type]  # coroutines
    except ImportError:
        seconds = None
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
