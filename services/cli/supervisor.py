"""The keeper: the process that holds the stack of a data folder until it is told to stop.

Run as `python -m services.cli.supervisor DATA_DIR`. It tells each step on its standard output, one
JSON object a line, and ends with `{"ready": true}` or `{"error": …}`; then it goes on alone.
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
from services.cli.endpoints import stack_file
from services.devstack.managed_server import ServerError, make_folder
from services.devstack.stack import SERVICES, Stack


def main(argv: list[str]) -> int:
    """Keep the stack; the exit code is 1 where it could not be started."""
    logs.configure("keeper", "info")
    return asyncio.run(keep(Path(argv[0]), settings_given(os.environ)))


#: What names other things than settings of the services, or what the stack itself decides.
_NOT_SETTINGS = frozenset(
    {
        *("ONEFOLD_DATA", "ONEFOLD_KEY", "ONEFOLD_WRITE_KEY", "ONEFOLD_PYTHON"),
        *("ONEFOLD_DATA_DIR", "ONEFOLD_INTERNAL_KEY", "ONEFOLD_HOST"),
        *(f"ONEFOLD_{service.upper()}_URL" for service in SERVICES),
    }
)


def settings_given(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of services that the environment names, such as `ONEFOLD_INGEST_HTTP_PORT`."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("ONEFOLD_") and name not in _NOT_SETTINGS
    }


async def keep(data_dir: Path, settings: Mapping[str, str]) -> int:
    """Start, tell, wait for a signal, stop."""
    make_folder(data_dir)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        with _held(data_dir) as file:
            async with Stack(data_dir, settings=settings, progress=_tell_step) as stack:
                _publish(file, stack)
                _tell({"ready": True})
                await stop.wait()
                _withdraw(file)
    except ServerError as error:
        _tell({"error": str(error)})
        return 1
    return 0


def _held(data_dir: Path) -> IO[str]:
    """The stack's file, locked by us. Raises EngineError where another keeper holds it."""
    file = stack_file(data_dir).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ServerError(
            f"{data_dir} is kept by another onefold: stop it with `onefold down`, "
            "or choose another folder with --data"
        ) from None
    return file


def _publish(file: IO[str], stack: Stack) -> None:
    _withdraw(file)
    json.dump(
        {"services": stack.addresses(), "keeper": {"keeper": {"pid": str(os.getpid())}}}, file
    )
    file.flush()


def _withdraw(file: IO[str]) -> None:
    file.seek(0)
    file.truncate()


def _tell_step(name: str, done: bool) -> None:
    _tell({"step": name, "done": done})


def _tell(told: dict[str, object]) -> None:
    try:
        print(json.dumps(told), flush=True)
    except BrokenPipeError:
        # Whoever started us has left; we stay.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as long as we live


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
