"""What identity counts beside what every projection does."""

from __future__ import annotations

from prometheus_client import Counter

IDENTIFIERS = Counter("onefold_identity_identifiers", "Identifiers seen for the first time.")
MOVES = Counter("onefold_identity_moves", "Identifiers that moved to another profile.")
LOCK_RETRIES = Counter(
    "onefold_identity_lock_retries", "Times that people at stake were merged elsewhere meanwhile."
)
AREAS = Counter(
    "onefold_identity_areas", "Times that people had to be looked at whole, with their neighbours."
)
