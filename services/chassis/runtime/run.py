"""How a service lives: settings, logs, loop, signals, exit code.

A service's `__main__.py` is::

    run(IngestSettings, serve)

where `serve(settings)` is an async context manager that yields what runs, such as `Endpoints`, when it
takes calls, and drains when it is left. What `serve` runs in task groups is part of its life: where
it fails, the service ends with code 1, and its supervisor starts it anew.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

import structlog
import uvloop
from pydantic import ValidationError

from services.chassis.runtime import logs
from services.chassis.runtime.settings import PREFIX, ServiceSettings

log = structlog.get_logger(__name__)

S = TypeVar("S", bound=ServiceSettings)

STOPPED, FAILED, MISCONFIGURED = 0, 1, 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class RunningService(Protocol):
    """A service that runs; a port is 0 where it has no such door."""

    @property
    def grpc_port(self) -> int:
        """Where its gRPC door listens."""
        ...

    @property
    def http_port(self) -> int:
        """Where its HTTP door listens."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The least that a running service tells."""

    grpc_port: int = 0
    http_port: int = 0


#: Starts a service, and drains it when it is left.
Serve = Callable[[S], AbstractAsyncContextManager[RunningService]]


def run(kind: type[S], serve: Serve[S]) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then exit: 0 stopped, 1 failed, 2 settings are wrong.

    A second signal cuts the draining off.
    """
    try:
        settings = kind()  # type: ignore[call-arg]  # the environment gives the arguments
    except ValidationError as error:
        sys.stderr.write(_settings_error(kind, error))
        sys.exit(MISCONFIGURED)
    logs.configure(settings.service, settings.log_level)
    sys.exit(uvloop.run(_main(settings, serve)))


async def _main(settings: S, serve: Serve[S]) -> int:
    stop = asyncio.Event()
    life = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def be_told() -> None:
        if stop.is_set() and life is not None:
            life.cancel()
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, be_told)
    try:
        await _serve_until(stop, settings, serve)
    except asyncio.CancelledError:
        log.warning("service_cut_off")
        return FAILED
    except Exception as error:
        log.error("service_failed", exc_info=error)
        return FAILED
    log.info("service_stopped")
    return STOPPED


async def _serve_until(stop: asyncio.Event, settings: S, serve: Serve[S]) -> None:
    async with serve(settings) as running:
        _tune_gc()
        doors = Endpoints(running.grpc_port, running.http_port)
        _write_endpoints(settings, doors)
        log.info("service_started", pid=os.getpid(), **asdict(doors))
        await stop.wait()
        log.info("service_stopping")


def _tune_gc() -> None:
    """A batch makes hundreds of thousands of small values and no circles, and lets go of them at
    its end: the collector is to look only where more than the batches in work has gathered.

    Measured under load with 50,000: a quarter of the processor time of identity, a tenth of ingest.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)


def _write_endpoints(settings: ServiceSettings, doors: Endpoints) -> None:
    """Tell where we listen. The file stays behind: it is true while the process in it lives."""
    if settings.data_dir is None:
        return
    file = endpoints_file(settings.data_dir, settings.service)
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps({"pid": os.getpid(), **asdict(doors)}), encoding="utf-8")
    half.replace(file)


def endpoints_file(data_dir: Path, service: str) -> Path:
    """Where a service tells its process and ports: `{"pid", "grpc_port", "http_port"}`."""
    return data_dir / "run" / f"{service}.json"


def _settings_error(kind: type[ServiceSettings], error: ValidationError) -> str:
    """One line a setting; it names no value, as that may be a secret."""
    lines = [f"{kind.service}: the settings are wrong"]
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        name = PREFIX + "_".join(map(str, fault["loc"])).upper()
        lines.append(f"  {name}: {fault['msg']}")
    return "\n".join(lines) + "\n"
