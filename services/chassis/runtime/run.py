"""Runs a service as a process: settings, logs, event loop, signals, exit code.

A service's `__main__.py` is::

    run(IngestSettings, "services.ingest.service")

That module has `serve(settings)`, an async context manager. It yields `Endpoints` when the service
accepts calls, and drains it at the end. If a task group inside `serve` fails, the process exits
with code 1 and its supervisor restarts it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import structlog
import uvloop
from pydantic import ValidationError

from services.chassis.runtime import logs
from services.chassis.runtime.group_pages import GroupServer
from services.chassis.runtime.own_sockets import raise_file_limit
from services.chassis.runtime.process_group import ProcessGroup
from services.chassis.runtime.process_link import LINK_TO_PARENT
from services.chassis.runtime.secret_files import SecretFileError, files_open_to_others
from services.chassis.runtime.settings import PREFIX, ProcessSettings
from services.chassis.runtime.tls import public_files

log = structlog.get_logger(__name__)

S = TypeVar("S", bound=ProcessSettings)

STOPPED, FAILED, MISCONFIGURED = 0, 1, 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The ports of a running service; 0 = it has no such endpoint."""

    grpc_port: int = 0
    internal_grpc_port: int = 0
    internal_http_port: int = 0
    http_port: int = 0


#: Starts a service; leaving the context drains it.
Serve = Callable[[S], AbstractAsyncContextManager[Endpoints]]


def run(kind: type[S], module: str, *, processes: Callable[[S], int] = lambda _: 1) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then exit: 0 stopped, 1 failed, 2 wrong settings.

    `module` is the name of that with `serve`. A process that only starts others does not import it,
    and takes half of the memory. `processes` returns in how many processes the service runs; this
    one starts them if they are several. A second signal ends the draining at once.
    """
    try:
        settings = kind()
    except ValidationError as error:
        sys.stderr.write(_settings_error(kind, error))
        sys.exit(MISCONFIGURED)
    except SecretFileError as error:
        sys.stderr.write(f"{kind.service}: the settings are wrong\n  {error}\n")
        sys.exit(MISCONFIGURED)
    logs.configure(settings.service, settings.log_level)
    prefixes = (PREFIX, f"{PREFIX}{kind.service.upper()}_")
    if found := files_open_to_others(kind, os.environ, *prefixes):
        log.warning("secret_files_open_to_others", settings=found, remedy="chmod 600")
    os.umask(0o077)
    raise_file_limit()
    count = processes(settings) if LINK_TO_PARENT is None else 1
    served: Serve[S] = _import_serve(module) if count == 1 else partial(_serve_group, count=count)
    sys.exit(uvloop.run(_main(settings, served)))


def _import_serve(module: str) -> Serve[Any]:
    """Return `serve` of a module.

    The garbage collector rests meanwhile: nothing of what is imported is garbage, and it would take
    a seventh of the time.
    """
    gc.disable()
    try:
        serve: Serve[Any] = import_module(module).serve
    finally:
        gc.freeze()
        gc.enable()
    return serve


async def _main(settings: S, serve: Serve[S]) -> int:
    stop = asyncio.Event()
    main = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set() and main is not None:
            main.cancel()
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    serves = asyncio.Event()
    if LINK_TO_PARENT is not None and main is not None:
        # Without its parent nothing would start or stop the process.
        linked = asyncio.create_task(LINK_TO_PARENT.serve(serves))
        linked.add_done_callback(lambda _: main.cancel())
    try:
        await _serve_until(stop, settings, serve, serves)
    except asyncio.CancelledError:
        log.warning("service_killed")
        return FAILED
    except Exception as error:
        log.error("service_failed", exc_info=error)
        return FAILED
    log.info("service_stopped")
    return STOPPED


async def _serve_until(
    stop: asyncio.Event, settings: S, serve: Serve[S], serves: asyncio.Event
) -> None:
    async with serve(settings) as running:
        tune_gc()
        ports = {field.name: getattr(running, field.name) for field in fields(Endpoints)}
        endpoints = {"pid": os.getpid(), **ports}
        if LINK_TO_PARENT is None:
            _write_endpoints(settings, endpoints)
        log.info("service_started", **endpoints)
        serves.set()
        await stop.wait()
        log.info("service_stopping")


@asynccontextmanager
async def _serve_group(settings: ProcessSettings, *, count: int) -> AsyncIterator[Endpoints]:
    """Serve by `count` processes, which this one starts, and by their health and metrics."""
    async with ProcessGroup(settings, count) as group:
        operations = GroupServer(
            group,
            settings.service,
            host=settings.internal_host,
            port=settings.internal_http_port,
            tls=public_files(settings),
        )
        try:
            await group.start()
            async with operations.serving():
                yield Endpoints(**group.ports, internal_http_port=operations.port)
        finally:
            await group.stop()


def tune_gc() -> None:
    """Make the garbage collector run rarely.

    A batch makes hundreds of thousands of small values without cycles and frees them at its end.
    With a threshold of 50,000 and under load, the collector took a quarter of identity's processor
    time and a tenth of ingest's. This threshold lies above the values of the batches in work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)


def _write_endpoints(settings: ProcessSettings, endpoints: Mapping[str, int]) -> None:
    """Write the endpoints file. It is not deleted, as it is valid while its process runs."""
    if settings.data_dir is None:
        return
    file = endpoints_file(settings.data_dir, settings.service)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(endpoints), encoding="utf-8")
    unfinished.replace(file)


def endpoints_file(data_dir: Path, service: str) -> Path:
    """Return the file that holds the `pid` of a service and its ports, the fields of Endpoints."""
    return data_dir / "run" / f"{service}.json"


def _settings_error(kind: type[ProcessSettings], error: ValidationError) -> str:
    """Return one line a setting, without its value, which may be a secret."""
    lines = [f"{kind.service}: the settings are wrong"]
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = PREFIX + "_".join(map(str, detail["loc"])).upper()
        lines.append(f"  {name}: {detail['msg']}")
    return "\n".join(lines) + "\n"
