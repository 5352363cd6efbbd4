"""Ingests events: admits each, appends the accepted ones, and quarantines the refused ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.ingest.commands.group_events import (
    FactLog,
    PersonAndAccountFact,
    append_group_events,
)
from services.ingest.domain.admission import admit
from services.ingest.domain.events import (
    Accepted,
    IncomingEvent,
    IngestResult,
    Producer,
    QuarantinedEvent,
    RawEvent,
    Refusal,
    Rejection,
    Source,
)
from services.ingest.domain.facts import AppendResult, NewFact
from services.ingest.log.log_clock import LogClock
from services.ingest.store.definitions import SourceDirectory
from services.ingest.store.quarantine import QuarantineStore
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, hash_id
from services.kernel.tokens import Token

#: The full name of onefold.type.v1.Event.
EVENT = "onefold.type.v1.Event"
MAX_EVENTS = 1_000

_REUSED = Refusal(
    "MESSAGE_ID_REUSED",
    "message_id",
    "another event of the same person has this message id: give each event its own",
)


class EventIntake:
    """Ingests batches of events for all endpoints."""

    def __init__(
        self, log: FactLog, quarantine: QuarantineStore, sources: SourceDirectory, clock: LogClock
    ) -> None:
        self._log = log
        self._quarantine = quarantine
        self._sources = sources
        self._clock = clock

    async def ingest(self, producer: Producer, events: Sequence[IncomingEvent]) -> IngestResult:
        """Ingest a batch of any size, and return after the commit. Raises StoreUnavailable."""
        batch = await self.admit(producer, events, _new_message_id)
        result = await self.append(batch)
        if not batch.refusals:
            return result
        entries = {
            index: quarantined(
                producer, events[index].format, events[index].raw(), refusal, batch.now_us
            )
            for index, refusal in sorted(batch.refusals.items())
        }
        await self._quarantine.save(list(entries.values()))
        rejections = [
            Rejection(index, entry.refusal, entry.quarantine_id) for index, entry in entries.items()
        ]
        return replace(result, rejections=tuple(rejections))

    async def admit(
        self,
        producer: Producer,
        events: Sequence[IncomingEvent],
        new_id: Callable[[], str],
    ) -> AdmittedBatch:
        """Admit events. `new_id` returns the message id of an event that has none."""
        now_us = self._clock.now_us()
        workspace_id, source_id = producer.workspace_id, producer.source_id
        channel = await self._sources.default_channel(workspace_id, source_id)
        source = Source(workspace_id, source_id, channel, producer.region)
        batch = AdmittedBatch(producer, now_us)
        for index, incoming in enumerate(events):
            event = incoming.event
            outcome = admit(event, source, now_us, new_id) if type(event) is RawEvent else event
            if type(outcome) is Accepted:
                batch.add(index, outcome, incoming)
            elif type(outcome) is Refusal:
                batch.refusals[index] = outcome
        return batch

    async def append(self, batch: AdmittedBatch) -> IngestResult:
        """Append a batch; events whose message id is reused join its refusals.

        The result has no rejections. Raises StoreUnavailable.
        """
        appends: list[tuple[Sequence[int], AppendResult]] = []
        if batch.facts:
            appends.append((batch.indices, await self._log.append(batch.facts)))
        if batch.group_events:
            pairs = list(batch.group_events.values())
            appends.append((list(batch.group_events), await append_group_events(self._log, pairs)))
        accepted, duplicates, token = 0, 0, Token()
        for indices, result in appends:
            self._clock.observe(result.recorded_at_us)
            accepted += result.appended
            duplicates += len(result.duplicates)
            token = token.union(result.token)
            batch.refusals.update((indices[index], _REUSED) for index in result.conflicting)
        return IngestResult(accepted, duplicates, (), token)


class AdmittedBatch:
    """The facts of the accepted events of a batch, and the refusals of the others."""

    def __init__(self, producer: Producer, now_us: int) -> None:
        self._producer = producer
        #: The log's clock at the admission, Unix microseconds.
        self.now_us = now_us
        self.facts: list[NewFact] = []
        #: The index in the batch of each of `facts`.
        self.indices: list[int] = []
        #: By index in the batch.
        self.group_events: dict[int, PersonAndAccountFact] = {}
        self.refusals: dict[int, Refusal] = {}

    def add(self, index: int, accepted: Accepted, incoming: IncomingEvent) -> None:
        """Add an accepted event."""
        workspace_id, source_id, key_id, _, _ = self._producer
        fact_id, leaf_id, _, occurred_us, _, _, copy = accepted
        payload = incoming.payload(accepted)
        fact = NewFact(
            workspace_id, fact_id, EVENT, leaf_id, occurred_us, source_id, key_id, payload
        )
        if copy is None:
            self.facts.append(fact)
            self.indices.append(index)
            return
        payload = incoming.account_payload(accepted)
        account_fact = fact._replace(fact_id=copy.fact_id, leaf_id=copy.leaf_id, payload=payload)
        self.group_events[index] = (fact, account_fact)

    def fact_id(self, index: int) -> FactId:
        """Return the id of the fact that an accepted event becomes; a group event's person's."""
        pair = self.group_events.get(index)
        return (pair[0] if pair else self.facts[self.indices.index(index)]).fact_id


def check_batch_size(count: int) -> None:
    """Raise InvalidField where a batch is empty or too large."""
    if not count:
        error = InvalidField("the batch is empty: add an event", field="events")
        error.reason = "BATCH_EMPTY"
        raise error
    if count > MAX_EVENTS:
        raise InvalidField(f"a batch has at most {MAX_EVENTS} events: split it", field="events")


def quarantined(
    producer: Producer, format_: str, raw: bytes, refusal: Refusal, now_us: int
) -> QuarantinedEvent:
    """Return a refused event for the quarantine.

    Its id is a function of the bytes and the reason, so a client that retries does not fill the
    quarantine.
    """
    workspace_id, source_id, _, endpoint, _ = producer
    return QuarantinedEvent(
        quarantine_id=hash_id(workspace_id, source_id, refusal.reason, format_, raw),
        workspace_id=workspace_id,
        source_id=source_id,
        endpoint=endpoint,
        refusal=refusal,
        format=format_,
        raw=raw,
        received_at_us=now_us,
    )


def _new_message_id() -> str:
    return secrets.token_hex(16)
