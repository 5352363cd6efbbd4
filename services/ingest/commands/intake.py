"""Ingests events: admits each, appends the accepted ones, and quarantines the refused ones."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from time import monotonic
from typing import TypeAlias

from services.chassis.runtime.addresses import address_group
from services.ingest.codec.secrets import blank_body
from services.ingest.domain.admission import admit
from services.ingest.domain.arrivals import ArrivalClock, StatementOrder
from services.ingest.domain.definitions import SourceDefinition
from services.ingest.domain.duplicates import DuplicateCounts, SourceKey
from services.ingest.domain.erasure import SUPPRESSED, ErasedPerson
from services.ingest.domain.events import (
    Accepted,
    EventType,
    IncomingEvent,
    IngestResult,
    Producer,
    QuarantinedEvent,
    Refusal,
    Rejection,
    Source,
)
from services.ingest.domain.facts import AppendResult, NewFact
from services.ingest.domain.producer_limits import ProducerLimits, Sent
from services.ingest.log import EventLog
from services.ingest.metrics import IngestMetrics
from services.ingest.store.definitions import SourceDirectory
from services.ingest.store.erasures import BlockedIdentifiers
from services.ingest.store.quarantine import QuarantineStore
from services.kernel.errors import Conflict, InvalidField
from services.kernel.ids import to_hex
from services.kernel.tokens import Token

#: The full name of onefold.type.v1.Event.
EVENT = "onefold.type.v1.Event"
#: The most events of one transaction, and of one call over gRPC.
MAX_EVENTS = 1_000
#: The most rejections that a result lists.
MAX_LISTED = 1_000
#: The events whose order counts where their times are equal: the last trait wins.
_STATEMENTS = frozenset(map(int, (EventType.IDENTIFY, EventType.GROUP)))

_REUSED = Refusal(
    "MESSAGE_ID_REUSED",
    "message_id",
    "another event of the same person has this message id: give each event its own",
)

#: The two facts of a group event: under the leaf of the person, and under that of the account.
PersonAndAccountFact: TypeAlias = tuple[NewFact, NewFact]


class EventIntake:
    """Ingests events for all endpoints. All methods raise StoreUnavailable."""

    def __init__(
        self,
        log: EventLog,
        quarantine: QuarantineStore,
        sources: SourceDirectory,
        limits: ProducerLimits,
        metrics: IngestMetrics,
        duplicates: DuplicateCounts,
        blocked: BlockedIdentifiers | None = None,
    ) -> None:
        self._log = log
        self._quarantine = quarantine
        self._sources = sources
        self._limits = limits
        self._arrivals = ArrivalClock()
        self.metrics = metrics
        self._duplicates = duplicates
        self._blocked = blocked

    async def check_rate(self, producer: Producer, address: str) -> None:
        """Raise RateLimited where a producer may not send anything now."""
        is_public = (await self._source(producer)).is_public
        self._limits.check(producer, address_group(address), monotonic(), is_public=is_public)

    async def ingest(
        self,
        producer: Producer,
        events: Sequence[IncomingEvent],
        sent: Sent,
        received_us: Sequence[int] = (),
    ) -> IngestResult:
        """Ingest a batch of any size, and return after the commit.

        `received_us`: when each event arrived by the log's clock, ascending; empty = now. A large
        batch is committed in parts: if a later one fails, the batch can be sent again as a whole.
        Raises RateLimited where the producer exceeds its rate; then nothing is stored.
        """
        source = await self._source(producer)
        self._count_rate(producer, source, len(events), sent)
        received_us = received_us or self._arrive(len(events))
        result = IngestResult(0, 0, (), Token())
        for start in range(0, len(events), MAX_EVENTS):
            end = start + MAX_EVENTS
            own = events[start:end], received_us[start:end]
            part = await self._ingest_part(producer, source, *own)
            self.metrics.count(producer.endpoint, part)
            result = _followed_by(result, part, start) if start else part
        return result

    async def _ingest_part(
        self,
        producer: Producer,
        source: SourceDefinition,
        events: Sequence[IncomingEvent],
        received_us: Sequence[int],
    ) -> IngestResult:
        batch = self._admit(producer, source, events, received_us, _new_message_id)
        result = await self._append(batch)
        if not batch.refusals:
            return result
        refused = {
            index: (events[index], refusal, received_us[index])
            for index, refusal in sorted(batch.refusals.items())
            if refusal is not SUPPRESSED
        }
        rejections = await self._quarantine_events(producer, refused)
        if len(refused) < len(batch.refusals):
            # Of an erased person nothing is stored, not even in the quarantine.
            suppressed = batch.refusals.keys() - refused.keys()
            rejections += tuple(Rejection(index, SUPPRESSED, b"") for index in suppressed)
            rejections = tuple(sorted(rejections, key=lambda rejection: rejection.index))
        return replace(result, rejected=len(rejections), rejections=rejections)

    def now_us(self) -> int:
        """Return the time by the log's clock, Unix microseconds."""
        return self._log.clock.now_us()

    async def knows_source(self, workspace_id: str, source_id: str) -> bool:
        """Return whether a workspace has a source."""
        return (await self._sources.find(workspace_id, source_id)).version > 0

    def _arrive(self, count: int) -> range:
        return self._arrivals.take(self._log.clock.now_us(), count)

    async def quarantine_body(
        self,
        producer: Producer,
        raw: bytes,
        refusal: Refusal,
        address: str = "",
        received_us: int | None = None,
    ) -> Rejection:
        """Quarantine a request body that holds no event; it counts as one for the rate.

        `received_us`: when it arrived by the log's clock; None = now. Raises RateLimited.
        """
        self._count_rate(producer, await self._source(producer), 1, Sent(len(raw), address))
        received_us = self._arrive(1)[0] if received_us is None else received_us
        raw = blank_body(raw)
        entry = self._entry(producer, "body", raw, raw, refusal, received_us)
        refused_ids = await self._quarantine.save([entry])
        self.metrics.count_rejection(producer.endpoint, refusal.reason)
        return self._rejection(0, entry, refused_ids)

    async def quarantine_events(
        self,
        producer: Producer,
        events: Sequence[IncomingEvent],
        refusal: Refusal,
        received_us: Sequence[int],
    ) -> None:
        """Quarantine events that are refused for one reason, each so that it can be released.

        Those of blocked persons are stored nowhere.
        """
        if (blocked := self._blocked_in(producer)) is not None:
            own = [
                (event, at_us)
                for event, at_us in zip(events, received_us, strict=True)
                if isinstance(event.event, Refusal) or not blocked.is_named_by(event.event)
            ]
            events, received_us = [event for event, _ in own], [at_us for _, at_us in own]
        for start in range(0, len(events), MAX_EVENTS):
            part = range(start, min(start + MAX_EVENTS, len(events)))
            refused = {index: (events[index], refusal, received_us[index]) for index in part}
            rejections = await self._quarantine_events(producer, refused)
            for rejection in rejections:
                self.metrics.count_rejection(producer.endpoint, rejection.refusal.reason)

    async def _quarantine_events(
        self, producer: Producer, refused: Mapping[int, tuple[IncomingEvent, Refusal, int]]
    ) -> tuple[Rejection, ...]:
        """Quarantine refused events, by index, each with its reason and when it arrived."""
        if not refused:
            return ()
        entries = {
            index: self._entry(
                producer, event.format, event.raw(), event.own_bytes(), refusal, received_us
            )
            for index, (event, refusal, received_us) in refused.items()
        }
        refused_ids = await self._quarantine.save(list(entries.values()))
        return tuple(self._rejection(i, entry, refused_ids) for i, entry in entries.items())

    def _count_rate(
        self, producer: Producer, source: SourceDefinition, events: int, sent: Sent
    ) -> None:
        # The key of a public source is no secret.
        sent = Sent(sent.size_bytes, address_group(sent.address))
        self._limits.take(producer, events, sent, monotonic(), is_public=source.is_public)

    def _rejection(
        self, index: int, entry: QuarantinedEvent, refused_ids: Container[bytes]
    ) -> Rejection:
        if entry.quarantine_id not in refused_ids:
            return Rejection(index, entry.refusal, entry.quarantine_id)
        self.metrics.quarantine_refused.inc()
        message = f"{entry.refusal.message} (not stored: the quarantine of the source is full)"
        return Rejection(index, entry.refusal._replace(message=message), b"")

    async def _source(self, producer: Producer) -> SourceDefinition:
        return await self._sources.find(producer.workspace_id, producer.source_id)

    def _entry(
        self,
        producer: Producer,
        format_: str,
        raw: bytes,
        own_bytes: bytes,
        refusal: Refusal,
        received_us: int,
    ) -> QuarantinedEvent:
        """Return a refused event for the quarantine.

        Its id is a function of its own bytes and the reason, so a client that retries does not fill
        the quarantine, although each attempt has another time of sending.
        """
        workspace_id, source_id, _, endpoint, _ = producer
        parts = (source_id, refusal.reason, format_)
        return QuarantinedEvent(
            quarantine_id=self._log.index_key.quarantine_id(workspace_id, parts, own_bytes),
            workspace_id=workspace_id,
            source_id=source_id,
            endpoint=endpoint,
            refusal=refusal,
            format=format_,
            raw=raw,
            received_at_us=received_us,
        )

    async def release(
        self, entry: QuarantinedEvent, event: IncomingEvent | None, producer: Producer
    ) -> IngestResult:
        """Ingest a quarantined event, repaired or as it was sent; safe to repeat.

        It takes place by the time of its arrival, not by that of its release. An event that is
        refused again stays in quarantine as it is, and so does a body (None).
        """
        if event is None:
            return _still_refused(entry, entry.refusal)
        # A function of the entry: an event without a message id, released twice, is one event.
        message_id = f"released-{to_hex(entry.quarantine_id)}"
        source = await self._source(producer)
        received_us = [entry.received_at_us]
        batch = self._admit(producer, source, [event], received_us, lambda: message_id)
        result = await self._append(batch)
        if batch.refusals:
            return _still_refused(entry, batch.refusals[0])
        fact = batch.facts[0] if batch.facts else batch.group_events[0][0]
        await self._quarantine.mark_released(entry, fact.fact_id)
        return result

    def _admit(
        self,
        producer: Producer,
        definition: SourceDefinition,
        events: Sequence[IncomingEvent],
        received_us: Sequence[int],
        new_id: Callable[[], str],
    ) -> _AdmittedBatch:
        """Admit events. `received_us`: when each arrived by the log's clock, ascending; `new_id`
        returns the message id of an event that has none."""
        max_age_us = definition.max_age_us
        source = Source(
            producer.workspace_id,
            producer.source_id,
            self._log.index_key,
            definition.channel,
            producer.region,
            definition.trust,
            definition.limits,
            received_us[0] - max_age_us if max_age_us else 0,
            definition.party,
        )
        batch = _AdmittedBatch(producer)
        order = StatementOrder()
        blocked = self._blocked_in(producer)
        for index, incoming in enumerate(events):
            event = incoming.event
            if isinstance(event, Refusal):
                batch.refusals[index] = event
                continue
            if blocked and blocked.is_named_by(event):
                batch.refusals[index] = SUPPRESSED
                continue
            outcome = admit(event, source, received_us[index], new_id)
            if type(outcome) is Accepted:
                if event.type in _STATEMENTS:
                    outcome = _placed(outcome, order)
                batch.add(index, outcome, incoming)
            elif type(outcome) is Refusal:
                batch.refusals[index] = outcome
        return batch

    def _blocked_in(self, producer: Producer) -> ErasedPerson | None:
        """Return the persons whose events are refused; None = there are none."""
        workspace_id = producer.workspace_id
        ids = self._blocked.of(workspace_id) if self._blocked else None
        if not ids:
            return None
        return ErasedPerson(workspace_id, producer.region, ids, self._log.index_key)

    async def _append(self, batch: _AdmittedBatch) -> IngestResult:
        """Append a batch; events whose message id is reused join its refusals.

        The result has no rejections.
        """
        appends: list[tuple[Sequence[int], Sequence[NewFact], AppendResult]] = []
        if batch.facts:
            appended = await self._log.append(batch.facts)
            appends.append((batch.indices, batch.facts, appended))
        if batch.group_events:
            pairs = list(batch.group_events.values())
            own, result = [fact for fact, _ in pairs], await append_group_events(self._log, pairs)
            appends.append((list(batch.group_events), own, result))
        source = SourceKey(batch.producer.workspace_id, batch.producer.source_id)
        accepted, duplicates, token = 0, 0, Token()
        for indices, facts, result in appends:
            accepted += result.appended
            duplicates += len(result.duplicates)
            repeated = (facts[index].fact_id for index in result.duplicates)
            self._duplicates.add(source, repeated, result.recorded_at_us)
            token = token.union(result.token) if token.offsets else result.token
            batch.refusals.update((indices[index], _REUSED) for index in result.conflicting)
        return IngestResult(
            accepted, duplicates, (), token, unusable_identifiers=batch.unusable_identifiers
        )


def _placed(accepted: Accepted, order: StatementOrder) -> Accepted:
    occurred_us = order.place(accepted.occurred_at_us)
    if occurred_us == accepted.occurred_at_us:
        return accepted
    return accepted._replace(occurred_at_us=occurred_us)


def _followed_by(result: IngestResult, part: IngestResult, start: int) -> IngestResult:
    """Return the result of a batch with that of its next part, which begins at index `start`."""
    room = MAX_LISTED - len(result.rejections)
    listed = (replace(r, index=start + r.index) for r in part.rejections[:room])
    return IngestResult(
        result.accepted + part.accepted,
        result.duplicates + part.duplicates,
        (*result.rejections, *listed),
        result.token.union(part.token),
        result.rejected + part.rejected,
        result.unusable_identifiers + part.unusable_identifiers,
    )


@dataclass(slots=True)
class _AdmittedBatch:
    """The facts of the accepted events of a batch, and the refusals of the others."""

    producer: Producer
    facts: list[NewFact] = field(default_factory=list)
    #: The index in the batch of each of `facts`.
    indices: list[int] = field(default_factory=list)
    #: By index in the batch.
    group_events: dict[int, PersonAndAccountFact] = field(default_factory=dict)
    refusals: dict[int, Refusal] = field(default_factory=dict)
    #: The identifiers of accepted events that identify no one.
    unusable_identifiers: int = 0

    def add(self, index: int, accepted: Accepted, incoming: IncomingEvent) -> None:
        workspace_id, source_id, key_id, _, _ = self.producer
        fact_id, leaf_id, _, occurred_us, _, _, tag, copy, _, unusable, *_ = accepted
        self.unusable_identifiers += unusable
        payload = incoming.payload(accepted)
        # fmt: off
        # At half the cost of NewFact(...), and this runs once an event.
        fact = tuple.__new__(NewFact, (
            workspace_id, fact_id, EVENT, leaf_id, occurred_us, source_id, key_id, payload, tag,
        ))
        # fmt: on
        if copy is None:
            self.facts.append(fact)
            self.indices.append(index)
            return
        payload = incoming.account_payload(accepted)
        account_fact = fact._replace(fact_id=copy.fact_id, leaf_id=copy.leaf_id, payload=payload)
        self.group_events[index] = (fact, account_fact)


async def append_group_events(log: EventLog, pairs: Sequence[PersonAndAccountFact]) -> AppendResult:
    """Append events of two facts each, both or none; the result counts events.

    An event is new where one of its facts is, and conflicting where one of them is in the log with
    other content: then neither is appended. Raises StoreUnavailable.
    """
    # Each pair is an atomic call; the log commits concurrent calls as one group.
    calls = (log.append(pair, atomic=True) for pair in pairs)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    results: dict[int, AppendResult] = {}
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, AppendResult):
            results[index] = outcome
        elif not isinstance(outcome, Conflict):
            raise outcome
    duplicates = frozenset(index for index, result in results.items() if not result.appended)
    return AppendResult(
        appended=len(results) - len(duplicates),
        duplicates=duplicates,
        conflicting=frozenset(range(len(pairs))) - results.keys(),
        token=reduce(Token.union, (result.token for result in results.values()), Token()),
        recorded_at_us=max((result.recorded_at_us for result in results.values()), default=0),
    )


def check_batch_size(count: int) -> None:
    """Raise InvalidField where a batch is empty or too large."""
    if not count:
        error = InvalidField("the batch is empty: add an event", field="events")
        error.reason = "BATCH_EMPTY"
        raise error
    if count > MAX_EVENTS:
        raise InvalidField(f"a batch has at most {MAX_EVENTS} events: split it", field="events")


def _still_refused(entry: QuarantinedEvent, refusal: Refusal) -> IngestResult:
    return IngestResult(0, 0, (Rejection(0, refusal, entry.quarantine_id),), Token(), rejected=1)


def _new_message_id() -> str:
    return secrets.token_hex(16)
