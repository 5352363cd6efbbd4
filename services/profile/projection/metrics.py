"""Defines the counters of profile, in addition to those of every projection."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.chassis.runtime.telemetry import LATENCY

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
EVENT_TO_PROFILE = Histogram(
    "onefold_profile_event_to_profile_seconds",
    "From recording a fact in the log to its being visible in the profile; of the oldest fact of"
    " each transaction.",
    buckets=LATENCY,
)
LATE_FACTS = Counter(
    "onefold_profile_late_facts",
    "Facts that became visible in profiles later than the declared limit.",
)
PROFILE_LIMIT = Gauge(
    "onefold_profile_visible_within_seconds",
    "The declared limit from recording a fact to its being visible in the profile.",
)
