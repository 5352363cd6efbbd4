"""Defines the counters of profile, in addition to those of every projection."""

from __future__ import annotations

from prometheus_client import Counter

EVALUATIONS = Counter("onefold_profile_evaluations", "Evaluations of profiles.")
EVALUATION_CHANGES = Counter("onefold_profile_evaluation_changes", "Evaluations that changed.")
BACKFILLED_EVENTS = Counter(
    "onefold_profile_backfilled_events", "Old events read again for new definitions."
)
OVER_TRAIT_LIMIT = Counter(
    "onefold_profile_leaves_over_trait_limit",
    "Folded leaves that were given more names of traits than are kept.",
)
LOCK_RETRIES = Counter(
    "onefold_profile_lock_retries", "Transactions retried because of concurrent merges."
)
