"""What identity counts."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

FACTS = Counter("onefold_identity_facts", "Facts attributed to a profile.", ["shard"])
IDENTIFIERS = Counter("onefold_identity_identifiers", "Identifiers seen for the first time.")
MOVES = Counter("onefold_identity_moves", "Identifiers that moved to another profile.")
LOCK_RETRIES = Counter(
    "onefold_identity_lock_retries", "Times that people at stake were merged elsewhere meanwhile."
)
BATCH_FACTS = Histogram(
    "onefold_identity_batch_facts",
    "Facts folded in one transaction.",
    buckets=(1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000),
)
