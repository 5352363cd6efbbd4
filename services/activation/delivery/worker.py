"""Sends the messages of one destination, so that a destination that hangs blocks no other.

An attempt is recorded in the ledger before it is made, and its result afterwards. If the process
dies in between, the effect is shown as unknown; when its lease has expired, the contract of the
channel decides: it is sent again with the same key and payload, and the receiver drops the repeat
by its key; or the provider is queried before; or it stays unconfirmed. At most `max_in_flight`
calls of a destination run beside each other; where a repeat is dropped by its key, more attempts
begin ahead, see `ReadAhead`.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from services.activation.channels import Message, Sender
from services.activation.delivery.admission import Admitted, RunAdmission
from services.activation.delivery.metrics import DeliveryMetrics
from services.activation.delivery.queue_worker import QueueWorker
from services.activation.delivery.render import Renderer, is_profile_away, render_each
from services.activation.domain.contracts import (
    ChannelContract,
    Deduplication,
    Repeat,
    age_of,
    repeat_of,
)
from services.activation.domain.model import DeliveryState, Destination
from services.activation.domain.read_ahead import TOO_LONG_S, ReadAhead
from services.activation.domain.transitions import (
    AttemptResult,
    AttemptStatus,
    RetryPolicy,
    Transition,
    after_attempt,
    requeue,
)
from services.activation.store import effects as store
from services.activation.store import gate as gate_store
from services.activation.store.effects import Attempt, Claim
from services.chassis.postgres.database import Database, transaction
from services.chassis.runtime.backoff import Backoff
from services.kernel.errors import OnefoldError, RetryableError
from services.kernel.ids import to_hex

#: Seconds after which an attempt without a recorded result counts as unknown.
LEASE_S = 60.0
#: Seconds; an attempt that is older when it would be made is requeued instead: the longest timeout
#: of a channel must still fit into the lease.
MAX_ATTEMPT_AGE_S = 30.0
#: Seconds until rendering is retried.
RENDER_RETRY_S = 1.0
#: Seconds for which ended attempts are gathered while others are in flight, to share a commit: as
#: long as none waits for a call, and else.
GATHER_S, GATHER_AHEAD_S = 0.004, 0.1
#: Seconds from one start of attempts to the next one that new effects ask for: those of a busy
#: destination gather, as each start has a high fixed cost.
START_INTERVAL_S = 0.2
RETIRED_REASON = "the destination was retired"
UNCONFIRMED_REASON = "the answer of an earlier attempt was lost"
EXHAUSTED_REASON = "every attempt was interrupted"

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The resources that all workers share."""

    database: Database
    renderer: Renderer
    #: By the type of the destination's channel.
    senders: Mapping[type, Sender]
    retry_policy: RetryPolicy
    metrics: DeliveryMetrics
    #: Calls of one destination beside each other, at most.
    max_in_flight: int
    lease_s: float = LEASE_S
    #: Decides whether messages of runs are sent; None = there are no journeys.
    admission: RunAdmission | None = None


class DestinationWorker(QueueWorker):
    """Makes the attempts that are due for one destination.

    Each cycle records the results of ended attempts and starts attempts at due effects, in one
    transaction. Attempts run beside the cycles, so an attempt that hangs delays no cycle.
    """

    def __init__(self, destination: Destination, context: DeliveryContext) -> None:
        super().__init__(destination)
        self._context = context
        #: Attempts that were started and whose result is not recorded.
        self._in_flight = 0
        self._calls = asyncio.Semaphore(context.max_in_flight)
        self._ahead = ReadAhead()
        self._ended: list[tuple[Attempt, Transition]] = []
        #: When an effect may be due, on the clock of the event loop.
        self._next_due = 0.0
        #: When attempts were started last, on the same clock.
        self._started_at = -math.inf

    def wake(self, delay_s: float = 0.0) -> None:
        """Check for due effects in `delay_s` seconds, or a little later."""
        due = max(_now() + delay_s, self._started_at + START_INTERVAL_S)
        self._next_due = min(self._next_due, due)
        super().wake()

    async def run(self) -> None:
        """Deliver effects until stopped. Errors are logged and retried."""
        backoff = Backoff()
        async with asyncio.TaskGroup() as attempts:
            while not self._is_done():
                self._wakeup.clear()
                try:
                    await self._cycle(attempts)
                except Exception as error:
                    self._log_failure(error)
                    await asyncio.sleep(backoff.next_s())
                else:
                    backoff.reset()
                    if self._is_done():
                        return
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(self._next_start()):
                            await self._wakeup.wait()

    def _is_done(self) -> bool:
        return self._is_stopping and not self._in_flight

    def _next_start(self) -> float | None:
        """Return when the next attempt may start; None = not before an attempt ends or a wake."""
        if self._is_stopping or self._free() <= self._most_ahead() // 2:
            return None
        start = max(self._next_due, self._breaker.open_until)
        return start if math.isfinite(start) else None

    def _free(self) -> int:
        """Return how many attempts may be started in the transaction that records ended ones."""
        limit = self._breaker.concurrency(self._context.max_in_flight)
        return limit + self._most_ahead() - (self._in_flight - len(self._ended))

    def _most_ahead(self) -> int:
        """Return how many attempts may wait for a call.

        There are none where what is lost may not be repeated, as all of them would be lost in a
        crash, and where the pace of the destination decides.
        """
        contract = self.destination.channel.contract
        is_keyed = contract.deduplication is Deduplication.KEYED
        return self._ahead.size if is_keyed and contract.pace is None else 0

    async def _cycle(self, attempts: asyncio.TaskGroup) -> None:
        """Record ended attempts and start due ones."""
        if self._ended and len(self._ended) < self._in_flight:
            waiting = self._in_flight - len(self._ended) - self._context.max_in_flight
            await asyncio.sleep(GATHER_AHEAD_S if waiting > 0 else GATHER_S)
        start = self._next_start()
        may_start = start is not None and start <= _now()
        limit = self._free() if may_start else 0
        if not self._ended and not limit:
            return
        ended, self._ended = self._ended, []
        due, self._next_due = self._next_due, math.inf if limit else self._next_due
        try:
            was_unblocked, claim = await self._save(ended, limit)
        except BaseException:
            # Everything is done again; results that were saved after all are ignored then.
            self._ended, self._next_due = ended + self._ended, min(due, self._next_due)
            raise
        self._in_flight += len(claim.attempts) - len(ended)
        retries = [t.delay for _, t in ended if t.state is DeliveryState.PENDING]
        if was_unblocked or claim.has_more or claim.wait_s:
            retries.append(claim.wait_s)
        if retries:
            self._next_due = min(self._next_due, _now() + min(retries))
        if claim.attempts:
            self._started_at = _now()
            attempts.create_task(self._run_attempts(claim.attempts, self.destination))

    async def _save(
        self, ended: Sequence[tuple[Attempt, Transition]], limit: int
    ) -> tuple[bool, Claim]:
        """Record transitions and claim effects in one transaction, as the commit costs most.

        Return whether blocked effects became due, and the claim.
        """
        lease_s = self._context.lease_s
        was_unblocked, claim = False, Claim()
        async with transaction(self._context.database.pool) as conn:
            if ended:
                was_unblocked = await store.end_attempts(conn, ended)
                if dead := [attempt.effect_id for attempt, t in ended if t.address_dead]:
                    await gate_store.save_dead_addresses(conn, dead)
            if limit and self.destination.retired:
                await conn.execute(store.Q.cancel_open, *self._key, RETIRED_REASON)
            elif limit:
                contract = self.destination.channel.contract
                # Providers are slower than webhooks, and what is lost may not be repeated.
                is_keyed = contract.deduplication is Deduplication.KEYED
                own_lease_s = lease_s if is_keyed else 2 * lease_s
                times = {"lease_s": own_lease_s, "blocked_recheck_s": lease_s}
                pace = contract.pace
                if pace is None:
                    claim = await store.claim(conn, self._key, limit, **times)
                else:
                    claim = await store.claim_at_pace(conn, self._key, limit, pace, **times)
        return was_unblocked, claim

    async def _run_attempts(self, started: Sequence[Attempt], destination: Destination) -> None:
        """Make attempts; those that have a payload do not wait for the others to be rendered."""
        started_at, max_attempts = _now(), self._context.retry_policy.max_attempts
        # A message that crashes the process each time it is sent must not be sent for ever.
        exhausted = [a for a in started if a.interrupted and a.number > max_attempts]
        self._end(exhausted, Transition(_lost_state(destination), EXHAUSTED_REASON))
        remaining = [a for a in started if a not in exhausted] if exhausted else started
        at_once = [attempt for attempt in remaining if attempt.run is None]
        async with asyncio.TaskGroup() as group:
            for attempt in at_once:
                if (payload := attempt.payload) is not None:
                    group.create_task(self._attempt(destination, attempt, payload, started_at))
            unrendered = [attempt for attempt in at_once if attempt.payload is None]
            for attempt, payload in await self._render(destination, unrendered):
                group.create_task(self._attempt(destination, attempt, payload, started_at))
            of_runs = [attempt for attempt in remaining if attempt.run is not None]
            for attempt, payload in await self._admit(destination, of_runs):
                group.create_task(self._attempt(destination, attempt, payload, started_at))

    async def _render(
        self, destination: Destination, attempts: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes]]:
        """Render and save the payloads; an attempt for which that fails is made later.

        It counts, unless the profiles of all attempts are unavailable together.
        """
        if not attempts:
            return []
        rendered, refused, errors = await render_each(self._context.renderer, destination, attempts)
        for attempt, error in errors:
            self._log_failure(error)
            reason = f"rendering failed: {_reason(error)}"
            if not rendered and is_profile_away(error):
                self._end([attempt], requeue(reason, RENDER_RETRY_S))
            else:
                failed = AttemptResult(AttemptStatus.FAILED, reason)
                self._end([attempt], self._after(destination, failed, attempt))
        for attempt, refusal in refused:
            suppressed = Transition(DeliveryState.SUPPRESSED, refusal.reason, counts=False)
            self._end([attempt], suppressed)
        if not rendered:
            return []
        try:
            # Before an attempt can write anything.
            position = await self._sender(destination).position(destination)
            async with transaction(self._context.database.pool) as conn:
                saved = await store.save_payloads(conn, rendered, position)
        except Exception as error:
            self._log_failure(error)
            unsaved = [attempt for attempt, _ in rendered]
            self._end(unsaved, requeue(f"saving failed: {_reason(error)}", RENDER_RETRY_S))
            return []
        lost = [attempt for attempt, _ in rendered if attempt.effect_id not in saved]
        self._end(lost, requeue("another replica took it over", 0.0))
        return [
            (replace(attempt, channel_position=position), payload)
            for attempt, payload in rendered
            if attempt.effect_id in saved
        ]

    async def _admit(
        self, destination: Destination, attempts: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes]]:
        """Return the attempts at messages of runs that the gate lets begin, with their messages.

        Where it fails for all together each is tried alone, so that one holds back no other.
        """
        if not attempts:
            return []
        try:
            position = await self._sender(destination).position(destination)
            admitted = await self._ask_gate(destination, attempts, position)
        except Exception as error:
            self._log_failure(error)
            if isinstance(error, RetryableError):
                self._end(attempts, requeue(f"not begun: {_reason(error)}", RENDER_RETRY_S))
                return []
            if len(attempts) > 1:
                return [each for a in attempts for each in await self._admit(destination, [a])]
            failed = AttemptResult(AttemptStatus.FAILED, f"not begun: {_reason(error)}")
            self._end(attempts, self._after(destination, failed, attempts[0]))
            return []
        for attempt, transition in admitted.ended:
            self._end([attempt], transition)
        return [(_at_position(each.attempt, position), each.payload) for each in admitted.begun]

    async def _ask_gate(
        self, destination: Destination, attempts: Sequence[Attempt], position: bytes
    ) -> Admitted:
        admission = self._context.admission
        if admission is None:
            raise LookupError("runs have effects where there are no journeys")
        return await admission.admit(destination, attempts, position)

    async def _attempt(
        self, destination: Destination, attempt: Attempt, payload: bytes, started_at: float
    ) -> None:
        since, has_waited = _now(), self._calls.locked()
        if not await self._wait_for_call():
            self._end([attempt], requeue("the calls before it take too long", 0.0))
            return
        try:
            waited_s = _now() - since
            if _now() - started_at > min(MAX_ATTEMPT_AGE_S, self._context.lease_s / 2):
                self._end([attempt], requeue("the attempt started too long ago", 0.0))
            elif has_waited and not self._breaker.is_closed(_now()):
                self._end([attempt], requeue("the destination is down", 0.0))
            else:
                delivered = await self._call(destination, attempt, payload)
                self._ahead = self._ahead.after_attempt(waited_s, delivered=delivered)
        finally:
            self._calls.release()

    async def _wait_for_call(self) -> bool:
        """Wait until one more call may run; return False where that takes too long."""
        try:
            async with asyncio.timeout(TOO_LONG_S):
                return await self._calls.acquire()
        except TimeoutError:
            self._ahead = ReadAhead()
            return False

    async def _call(self, destination: Destination, attempt: Attempt, payload: bytes) -> bool:
        """Make an attempt; return whether the receiver has accepted the message now."""
        position = attempt.channel_position
        message = Message(to_hex(attempt.effect_id), payload, attempt.number, position)
        if attempt.unanswered and await self._ends_unanswered(destination, attempt, message):
            return False
        result, start = None, time.perf_counter()
        try:
            result = await self._guarded(self._sender(destination).send(destination, message))
        finally:
            seconds = time.perf_counter() - start
            self._context.metrics.count_attempt(destination, result, seconds)
        if attempt.run is None and result.status is AttemptStatus.DELIVERED:
            self._context.metrics.sent.measure([attempt.changed_at_us])
        policy = self._context.retry_policy
        self._breaker = self._breaker.after_attempt(result, _now(), policy)
        if result.status is AttemptStatus.CREDENTIALS:
            self._log.warning("destination_paused", reason=result.reason)
        self._end([attempt], self._after(destination, result, attempt))
        return result.status is AttemptStatus.DELIVERED

    async def _ends_unanswered(
        self, destination: Destination, attempt: Attempt, message: Message
    ) -> bool:
        """Return whether an earlier attempt without an answer decides, so that none is made."""
        repeat = repeat_of(
            _contract_of(destination, attempt), age_of(message.position, time.time())
        )
        if repeat is Repeat.LEAVE:
            self._end([attempt], Transition(DeliveryState.UNCONFIRMED, UNCONFIRMED_REASON))
        if repeat is not Repeat.QUERY:
            return repeat is Repeat.LEAVE
        found = await self._guarded(self._sender(destination).find(destination, message))
        if found is not None:
            self._end([attempt], self._after(destination, found, attempt))
        return found is not None

    def _after(
        self, destination: Destination, result: AttemptResult, attempt: Attempt
    ) -> Transition:
        return after_attempt(
            result,
            attempt.number,
            self._context.retry_policy,
            random.random(),  # noqa: S311 - spreads retries, no secret
            _contract_of(destination, attempt),
            unanswered=attempt.unanswered,
        )

    def _sender(self, destination: Destination) -> Sender:
        return self._context.senders[type(destination.channel)]

    async def _guarded(self, sending: Awaitable[R]) -> R | AttemptResult:
        """Return the result of a sender; a crash of it may have sent the message."""
        try:
            return await sending
        except Exception as error:
            self._log.exception("attempt_crashed")
            return AttemptResult(AttemptStatus.LOST, type(error).__name__)

    def _end(self, attempts: Sequence[Attempt], transition: Transition) -> None:
        self._ended += [(attempt, transition) for attempt in attempts]
        self._wakeup.set()

    def _log_failure(self, error: Exception) -> None:
        if isinstance(error, RetryableError):
            self._log.warning("delivery_delayed", reason=error.reason)
        else:
            self._log.error("delivery_failed", exc_info=error)


def _reason(error: Exception) -> str:
    """Return the reason of an error, without its message, which may be personal."""
    return error.reason if isinstance(error, OnefoldError) else type(error).__name__


def _at_position(attempt: Attempt, position: bytes) -> Attempt:
    """Return a first attempt with the position that was taken before it.

    One that may have been made before the ledger was lost has none: its age is not known.
    """
    is_first = attempt.payload is None and not attempt.unanswered
    if not is_first or attempt.channel_position == position:
        return attempt
    return replace(attempt, channel_position=position)


def _contract_of(destination: Destination, attempt: Attempt) -> ChannelContract:
    """Return the contract of a channel; a message that repeats is sent as if it had a key."""
    contract = destination.channel.contract
    if attempt.repeats and contract.deduplication is not Deduplication.QUERYABLE:
        return replace(contract, deduplication=Deduplication.KEYED)
    return contract


def _lost_state(destination: Destination) -> DeliveryState:
    """Return the end of an effect whose attempts all have no answer."""
    is_keyed = destination.channel.contract.deduplication is Deduplication.KEYED
    return DeliveryState.DEAD if is_keyed else DeliveryState.UNCONFIRMED


def _now() -> float:
    return asyncio.get_running_loop().time()
