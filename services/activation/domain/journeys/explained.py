"""Explains of each entry of a person why it has begun a run, or why not."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import KnownPerson, look_at
from services.activation.domain.journeys.persons import EntryRefusal
from services.activation.domain.journeys.run import RunEntry


class EntryReason(Enum):
    """Why an entry has begun a run, or why not; the names are those of the API."""

    BEGUN = "begun"
    LEARNT_TOO_LATE = "learnt too late"
    ALREADY_RUN = "already run"
    TOO_SOON = "too soon after the last run"
    INSIDE = "inside"
    CONDITION = "the condition of the entry was false"
    UNDECIDED = "undecided"
    NO_KEY = "the property of `per` is missing"
    #: The journey was not defined, was retired or stopped.
    NOT_LIVE = "not live"
    #: Not every shard has passed its instant.
    NOT_PASSED = "not passed"


class ExplainedEntry(NamedTuple):
    """An entry, and what has become of it."""

    entry: RunEntry
    reason: EntryReason
    #: The run that it has begun or begun again; empty = none.
    run_id: bytes = b""


def explain_entries(
    person: KnownPerson, history: JourneyHistory, known_us: int
) -> list[ExplainedEntry]:
    """Return the entries of a person in a journey, the earliest first."""
    version = history.at(known_us)
    look = look_at(person, history, known_us)
    refusals = {entry.fact_id: refusal for entry, refusal in look.refusals}
    records = [*person.records.values(), *(run.record for run in look.runs)]
    begun = {
        entry.fact_id: record.run_id for record in records for entry in (record.first, record.start)
    }
    subjects = (version or history.versions[0]).program.entries
    entries = [fact.entry for fact in person.facts if not set(subjects).isdisjoint(fact.subjects)]
    known = {entry.fact_id for entry in entries}
    entries += [r.first for r in person.records.values() if r.first.fact_id not in known]
    found = []
    for entry in sorted(entries, key=lambda each: each.order):
        run_id = begun.get(entry.fact_id, b"")
        refusal = refusals.get(entry.fact_id)
        if run_id:
            reason = EntryReason.BEGUN
        elif max(entry.recorded_at_us, entry.occurred_at_us) > known_us:
            reason = EntryReason.NOT_PASSED
        elif look.questions:
            reason = EntryReason.UNDECIDED
        elif refusal is not None:
            reason = _REASONS[refusal]
        else:
            # Inside of a run whose entry goes before it, or of a journey that was not live.
            is_live = version is not None and history.accepts(entry)
            reason = EntryReason.INSIDE if is_live else EntryReason.NOT_LIVE
        found.append(ExplainedEntry(entry, reason, run_id))
    return found


_REASONS = {refusal: EntryReason[refusal.name] for refusal in EntryRefusal}
