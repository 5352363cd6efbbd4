"""The pages of a service in several processes: one readiness, and metrics by process."""

from __future__ import annotations

import pytest
from metrics_page import parse_metrics
from prometheus_client import generate_latest

from services.chassis.runtime.group_pages import merged_metrics, merged_readiness
from services.chassis.runtime.telemetry import Metrics

OK = {"readiness": {"checks": {"postgres": "ok"}}, "metrics": ""}
BROKEN = {"readiness": {"checks": {"postgres": "StoreUnavailable"}}, "metrics": ""}


def test_group_is_ready_while_another_process_starts() -> None:
    body = merged_readiness("ingest", {1: OK})
    assert body == {
        "service": "ingest",
        "ready": True,
        "checks": {"postgres": "ok"},
        "processes": 1,
    }


@pytest.mark.parametrize(
    ("reports", "checks"),
    [
        ({}, {"processes": "none of them serves"}),
        ({1: OK, 2: BROKEN}, {"postgres": "process 2: StoreUnavailable"}),
        ({1: BROKEN, 2: OK}, {"postgres": "process 1: StoreUnavailable"}),
        ({1: OK, 2: None}, {"postgres": "ok", "process 2": "it does not answer"}),
    ],
)
def test_group_is_not_ready_where_a_process_that_serves_is_not(
    reports: dict[int, dict[str, object] | None], checks: dict[str, str]
) -> None:
    body = merged_readiness("ingest", reports)
    assert (body["ready"], body["checks"]) == (False, checks)


def page_of(process: int) -> str:
    metrics = Metrics("ingest")
    metrics.counter("plain", "Without labels.").inc(process)
    metrics.counter("labelled", "With labels.", ["reason"]).labels('a "b" {c}').inc(process)
    metrics.histogram("seconds", "A distribution.", buckets=(0.1, 1.0)).observe(process)
    return generate_latest(metrics.registry).decode()


def test_metrics_of_a_group_have_the_number_of_their_process() -> None:
    page = merged_metrics({"1": page_of(1), "2": page_of(2)})
    families = parse_metrics(page)
    assert {
        sample.labels["process"]: sample.value
        for sample in families["onefold_ingest_plain"].samples
    } == {"1": 1.0, "2": 2.0}
    labelled = families["onefold_ingest_labelled"].samples
    assert {(s.labels["process"], s.labels["reason"]) for s in labelled} == {
        ("1", 'a "b" {c}'),
        ("2", 'a "b" {c}'),
    }
    sums = [s for s in families["onefold_ingest_seconds"].samples if s.name.endswith("_sum")]
    assert sorted(sample.value for sample in sums) == [1.0, 2.0]


def test_family_that_one_process_has_alone_is_on_the_page() -> None:
    extra = "# HELP a A.\n# TYPE a gauge\na 1.0\n"
    families = parse_metrics(merged_metrics({"1": page_of(1), "2": page_of(2) + extra}))
    assert [sample.labels for sample in families["a"].samples] == [{"process": "2"}]
