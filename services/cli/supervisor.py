"""Runs the stack of a data folder in a separate process until a signal stops it.

Run as `python -m services.cli.supervisor DATA_DIR`. It reports the start on its standard output,
one JSON object a line: `{"step": …, "done": …}`, `{"notice": …}`, and at the end `{"ready": true}`
or `{"error": …}`; after that it writes nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from services.chassis.runtime import logs
from services.chassis.runtime.cpu import usable_processors
from services.cli.endpoints import StackState, settings_from, stack_file
from services.devstack.errors import ServerError
from services.devstack.folders import make_folder, open_private
from services.devstack.ports import FIRST_PORT_VARIABLE, resolve_ports
from services.devstack.stack import PROCESSES, Stack

#: A process of ingest takes about 100 MB, and other programs of this machine need memory, too.
MOST_PROCESSES = 2


def main(argv: list[str]) -> int:
    """Run the stack; the exit code is 1 where it cannot be started."""
    logs.configure("supervisor", "info")
    try:
        settings = settings_from(os.environ)
    except ServerError as error:
        _report({"error": str(error)})
        return 1
    first_port = os.environ.get(FIRST_PORT_VARIABLE)
    return asyncio.run(supervise(Path(argv[0]), settings, first_port))


async def supervise(data_dir: Path, settings: Mapping[str, str], first_port: str | None) -> int:
    """Start the stack, run it until SIGTERM or SIGINT, and stop it; return the exit code.

    `first_port`: the first of consecutive ports; None = the default ports, `0` = free ones.
    """
    os.umask(0o077)
    make_folder(data_dir, passable=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        with _lock(data_dir) as file:
            settings, defaults = resolve_ports(settings, first_port)
            stack = Stack(
                data_dir,
                settings={**process_settings(), **settings},
                default_ports=defaults,
                progress=lambda name, done: _report({"step": name, "done": done}),
                console=True,
            )
            async with stack:
                _publish(file, stack)
                for notice in stack.notices:
                    _report({"notice": notice})
                _report({"ready": True})
                await stop.wait()
                _clear(file)
    except ServerError as error:
        _report({"error": str(error)})
        return 1
    return 0


def process_settings() -> dict[str, str]:
    """Return the setting of the number of processes of ingest, for this machine."""
    return {PROCESSES: str(min(MOST_PROCESSES, usable_processors()))}


def _lock(data_dir: Path) -> IO[str]:
    """Open and lock the stack file. Raises ServerError where another supervisor holds it."""
    descriptor = open_private(str(stack_file(data_dir)), os.O_RDWR | os.O_CREAT | os.O_APPEND)
    file = os.fdopen(descriptor, "a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ServerError(
            f"{data_dir} is in use by another onefold: stop it with `./onefold down`, "
            "or choose another folder with --data"
        ) from None
    return file


def _publish(file: IO[str], stack: Stack) -> None:
    _clear(file)
    state: StackState = {"services": stack.endpoints(), "supervisor_pid": os.getpid()}
    json.dump(state, file)
    file.flush()


def _clear(file: IO[str]) -> None:
    file.seek(0)
    file.truncate()


def _report(event: Mapping[str, object]) -> None:
    try:
        print(json.dumps(event), flush=True)
    except BrokenPipeError:
        # The process that started this one has ended; this one continues.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open until this process ends


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
