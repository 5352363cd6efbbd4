"""What profile counts beside what every projection does."""

from __future__ import annotations

from prometheus_client import Counter

LOOKS = Counter("onefold_profile_looks", "Times that a profile was looked at.")
CHANGES = Counter("onefold_profile_changes", "Times that a profile stood otherwise than before.")
REREAD = Counter("onefold_profile_reread_facts", "Events read again to back-fill a definition.")
LOCK_RETRIES = Counter(
    "onefold_profile_lock_retries", "Times that people at stake changed hands meanwhile."
)
