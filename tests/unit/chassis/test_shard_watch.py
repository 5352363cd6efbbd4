"""Tests that a replica sees the shards that it does not work."""

from __future__ import annotations

import pytest

from services.chassis.projection import shard_watch
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.shard_watch import ShardWatch
from services.chassis.runtime.telemetry import Metrics


class Service:
    """Shards 0 and 1 are worked here, 2 by another replica, 3 perhaps by none."""

    def __init__(self) -> None:
        self.is_leased = True
        self.metrics = Metrics("toy")
        self.watch = ShardWatch(self.status, lambda: {0, 1}, self.metrics)

    async def status(self) -> list[tuple[Checkpoint, bool]]:
        at = [Checkpoint(shard, log_time_us=1_000_000) for shard in range(4)]
        return [(one, one.shard < 3 or self.is_leased) for one in at]


async def test_lag_of_shards_of_other_replicas_is_measured_here_too() -> None:
    service = Service()
    await service.watch.look()
    text = service.metrics.registry.collect()
    lags = {s.labels["shard"]: s.value for metric in text for s in metric.samples}
    assert lags.keys() == {"2", "3"}
    assert min(lags.values()) > 1_000_000_000


async def test_shard_that_no_replica_works_for_long_is_stalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service()
    monkeypatch.setattr(shard_watch, "UNLEASED_S", 0.0)
    await service.watch.look()
    assert service.watch.stalled() == {}
    service.is_leased = False
    await service.watch.look()
    assert service.watch.stalled() == {3: "no replica works it"}
    monkeypatch.setattr(shard_watch, "UNLEASED_S", 1_000.0)
    assert service.watch.stalled() == {}, "its lease is changing hands"
    service.is_leased = True
    monkeypatch.setattr(shard_watch, "UNLEASED_S", 0.0)
    await service.watch.look()
    assert service.watch.stalled() == {}
