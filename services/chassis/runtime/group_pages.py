"""Serves health and metrics of a service that runs as several processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.chassis.runtime.http_server import HttpServer
from services.chassis.runtime.process_group import ProcessGroup
from services.chassis.runtime.telemetry import Metrics
from services.chassis.runtime.tls import TlsFiles

#: The value of the label `process` of the process that starts the others.
PARENT = "parent"

#: By number of a process, its report; None where it does not answer.
Reports = Mapping[int, Mapping[str, Any] | None]


class GroupServer(HttpServer):
    """The internal HTTP endpoint of a group: the paths of `OperationsServer`, for all processes.

    The samples of each process have its number as the label `process`.
    """

    def __init__(
        self, group: ProcessGroup, service: str, *, host: str, port: int, tls: TlsFiles | None
    ) -> None:
        self._group = group
        self._metrics = metrics = Metrics(service)
        metrics.processes.set_function(lambda: len(group.serving()))
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._serve_metrics),
        ]
        super().__init__(routes, host=host, port=port, cut_offs=metrics.http_cut_offs, tls=tls)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"service": self._metrics.service, "alive": True})

    async def _readyz(self, _request: Request) -> Response:
        body = merged_readiness(self._metrics.service, await self._reports())
        return JSONResponse(body, status_code=200 if body["ready"] else 503)

    async def _serve_metrics(self, _request: Request) -> Response:
        own = generate_latest(self._metrics.registry) + generate_latest(REGISTRY)
        pages = {PARENT: own.decode()}
        for number, report in (await self._reports()).items():
            if report is not None:
                pages[str(number)] = report["metrics"]
        return Response(merged_metrics(pages), media_type=CONTENT_TYPE_LATEST)

    async def _reports(self) -> Reports:
        members = self._group.serving()
        reports = await asyncio.gather(*(member.report() for member in members.values()))
        # One that has just died gets no connections any more.
        return {
            number: report
            for (number, member), report in zip(members.items(), reports, strict=True)
            if report is not None or self._group.serving().get(number) is member
        }


def merged_readiness(service: str, reports: Reports) -> dict[str, Any]:
    """Return the page /readyz of a group: ready if a process serves, and all that serve are ready.

    A process that starts, or starts again, gets no connections yet.
    """
    checks: dict[str, str] = {} if reports else {"processes": "none of them serves"}
    for number, report in reports.items():
        if report is None:
            checks[f"process {number}"] = "it does not answer"
            continue
        for name, result in report["readiness"]["checks"].items():
            if result != "ok":
                checks[name] = f"process {number}: {result}"
            checks.setdefault(name, result)
    ready = all(result == "ok" for result in checks.values())
    return {"service": service, "ready": ready, "checks": checks, "processes": len(reports)}


def merged_metrics(pages: Mapping[str, str]) -> str:
    """Return one page of metrics, whose samples have the key of their page as label `process`."""
    families: dict[str, list[str]] = {}
    for process, page in pages.items():
        family: list[str] = []
        for line in page.splitlines():
            if line.startswith("#"):
                family = families.setdefault(line.split(" ", 3)[2], [])
                if line not in family:
                    family.append(line)
            else:
                family.append(_labelled(line, process))
    return "".join(f"{line}\n" for family in families.values() for line in family)


def _labelled(sample: str, process: str) -> str:
    name, space, value = sample.partition(" ")
    plain, brace, labels = name.partition("{")
    if brace:
        return f'{plain}{{process="{process}",{labels}{space}{value}'
    return f'{name}{{process="{process}"}} {value}'
