"""What the log tells those who watch it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.chassis.runtime.telemetry import LATENCY, SIZES

FACTS = Counter("onefold_ingest_log_facts", "Rows written; a fact without a leaf is one a shard.")
GROUP = Histogram("onefold_ingest_log_group_facts", "Facts that shared a commit.", buckets=SIZES)
COMMIT = Histogram("onefold_ingest_log_commit_seconds", "How long commits took.", buckets=LATENCY)
END = Gauge("onefold_ingest_log_end", "Where a shard ends, as known to this replica.", ["shard"])
RELAYED = Gauge(
    "onefold_ingest_log_relayed", "Where the bus ends; 0 where another replica relays.", ["shard"]
)
