"""Counts what identity does, beyond what every projection counts."""

from __future__ import annotations

from prometheus_client import Counter

NEW_IDENTIFIERS = Counter(
    "onefold_identity_new_identifiers", "Identifiers that were seen for the first time."
)
REASSIGNMENTS = Counter(
    "onefold_identity_reassignments", "Identifiers that moved to another profile."
)
LOCK_RETRIES = Counter("onefold_identity_lock_retries", "Lock retries caused by concurrent merges.")
FULL_RESOLUTIONS = Counter(
    "onefold_identity_full_resolutions",
    "Times that whole profiles and their neighbours were loaded and resolved again.",
)
