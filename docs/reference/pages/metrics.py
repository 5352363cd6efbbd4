"""Generates the page of metrics from the registries that the services fill when they start."""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from services.activation.delivery.metrics import DeliveryMetrics
from services.activation.projection.decisions import latency_of_decisions
from services.activation.projection.journeys.upkeep import JourneyMetrics
from services.chassis.runtime.telemetry import Metrics
from services.identity.projection import metrics as identity
from services.ingest.metrics import IngestMetrics
from services.profile.projection import metrics as profile
from services.profile.queries.latency import LookupLatency

#: Stands for the name of a service while the registry of what all services have is filled.
_ANY = "any_service"

HEAD = """\
# Metrics

Generated from the code by `python docs/reference/generate.py`; do not edit.

Every service serves its metrics in the text format of Prometheus at `/metrics` of its internal HTTP
endpoint. `<service>` is the name of the service. Counters end in `_total`; histograms have
`_bucket`, `_sum` and `_count`. Metrics of the process itself are named `process_` and `python_`.
A service in several processes, as ingest is by default, has the label `process` beside those
listed.
See [how to observe a system](../how-to/observe.md).

| name | kind | labels | meaning |
|---|---|---|---|
"""


class MetricRow(NamedTuple):
    """One metric of the page."""

    name: str
    kind: str
    labels: str
    meaning: str


class _ListedRegistry(CollectorRegistry):
    """A registry that lists what was registered."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[MetricWrapperBase] = []

    def register(self, collector: Collector) -> None:
        super().register(collector)
        if isinstance(collector, MetricWrapperBase):
            self.metrics.append(collector)


def page() -> str:
    """Return the text of the page."""
    lines = (f"| `{m.name}` | {m.kind} | {m.labels} | {m.meaning} |" for m in rows())
    return HEAD + "\n".join(lines) + "\n"


def rows() -> list[MetricRow]:
    """Return the metrics of all services by name; what every service has stands once."""
    shared = [_row(found, _ANY, "<service>") for found in _shared()]
    names = {row.name for row in shared}
    own = [
        _row(found)
        for service, metrics in _of_services().items()
        for found in metrics
        if _row(found, service, "<service>").name not in names
    ]
    return sorted([*shared, *own])


def _shared() -> list[MetricWrapperBase]:
    metrics, registry = _metrics(_ANY)
    for name, value in vars(Metrics).items():
        if isinstance(value, cached_property):
            getattr(metrics, name)
    return registry.metrics


def _of_services() -> dict[str, list[MetricWrapperBase]]:
    """Return what single services register, by service."""
    ingest, of_ingest = _metrics("ingest")
    activation, of_activation = _metrics("activation")
    IngestMetrics(ingest)
    DeliveryMetrics(activation)
    JourneyMetrics(activation)
    latency_of_decisions(activation, limit_s=0)
    lookups, of_lookups = _metrics("profile")
    LookupLatency(lookups, limit_s=0)
    return {
        "ingest": of_ingest.metrics,
        "activation": of_activation.metrics,
        "identity": _of_module(identity),
        "profile": [*_of_module(profile), *of_lookups.metrics],
    }


def _metrics(service: str) -> tuple[Metrics, _ListedRegistry]:
    metrics, registry = Metrics(service), _ListedRegistry()
    metrics.registry = registry
    return metrics, registry


def _of_module(module: ModuleType) -> list[MetricWrapperBase]:
    return [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]


def _row(found: MetricWrapperBase, service: str = "", shown: str = "") -> MetricRow:
    (metric,) = found.describe()
    name = metric.name.replace(f"onefold_{service}_", f"onefold_{shown}_", 1)
    suffix = "_total" if metric.type == "counter" else ""
    # The library has no public name for the labels of a metric without values.
    labels = ", ".join(f"`{label}`" for label in found._labelnames)
    return MetricRow(name + suffix, metric.type, labels, metric.documentation)
