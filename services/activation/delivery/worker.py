"""One courier for each destination, so that none waits for another that hangs.

An attempt is begun in the ledger before it is made, and its end recorded after it. What lies
between when the process dies is shown as unknown, and made again with the same key and body when
its lease has run out; receivers drop the repeat by its key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.activation.channels import Message, Sender
from services.activation.delivery.render import Renderer
from services.activation.domain.circuit_breaker import Pace, paced
from services.activation.domain.model import Destination, State
from services.activation.domain.transitions import (
    Next,
    Outcome,
    Retries,
    Verdict,
    after_attempt,
    put_back,
)
from services.activation.metrics import DeliveryMetrics
from services.activation.store import postgres as store
from services.activation.store.postgres import Attempt, Claim, Place
from services.chassis.postgres.database import Database, acquire, transaction
from services.kernel.errors import OnefoldError, RetryableError
from services.kernel.ids import to_hex

#: How long an attempt may take before it counts as unknown, seconds.
LEASE_S = 60.0
#: An attempt that could not be made for so long since it was begun is not made any more, seconds:
#: what a channel takes at most must still fit into the lease.
STALE_S = 30.0
#: How long an effect rests whose message could not be made, seconds.
UNREADY_S = 1.0
RETIRED = "the destination was retired"
ENDLESS = "its attempts never came to an end"
#: How long ends are gathered, where others are still on their way, before they are recorded, s.
GATHER_S = 0.004
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What couriers work with."""

    database: Database
    renderer: Renderer
    #: By the type of the destination's channel.
    senders: dict[type, Sender]
    retries: Retries
    metrics: DeliveryMetrics
    lease_s: float = LEASE_S


class Courier:
    """Makes the attempts that are due for one destination.

    Work goes in turns: record what ended, begin what is due, in one transaction. What was begun
    runs beside the turns, so an attempt that hangs holds up no turn.
    """

    def __init__(self, destination: Destination, tools: Tools) -> None:
        #: The version that attempts are begun with from now on.
        self.destination = destination
        self._tools = tools
        self._place = Place(destination.workspace_id, destination.destination_id)
        self._pace = Pace()
        #: Attempts begun whose end is not recorded.
        self._open = 0
        self._ends: list[tuple[Attempt, Next]] = []
        self._news = asyncio.Event()
        #: Whether something may be due. Set before `_news`, cleared before the look.
        self._look = True
        self._stopping = False

    def wake(self) -> None:
        """Something may be due."""
        self._look = True
        self._news.set()

    def stop(self) -> None:
        """Begin nothing more; `run` ends when what is open has ended."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Work until stopped. What goes wrong is told and tried again."""
        failures = 0
        async with asyncio.TaskGroup() as attempts:
            while not self._is_over():
                self._news.clear()
                try:
                    more = await self._turn(attempts)
                except Exception as error:
                    _tell(self._place, error)
                    await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                    failures += 1
                else:
                    failures = 0
                    if not (more or self._is_over()):
                        await self._news.wait()

    def _is_over(self) -> bool:
        return self._stopping and not self._open

    async def _turn(self, attempts: asyncio.TaskGroup) -> bool:
        """Record what ended and begin what is due; whether there may be more to do at once."""
        if self._ends and len(self._ends) < self._open:
            await asyncio.sleep(GATHER_S)
        ends, self._ends = self._ends, []
        room = self._room()
        look = self._look and room > 0
        if not ends and not look:
            return False
        if look:
            self._look = False
        try:
            freed, claim = await self._save(ends, room if look else 0)
        except BaseException:
            # Nothing is forgotten: what was recorded after all is not recorded twice.
            self._ends, self._look = ends + self._ends, True
            raise
        self._open += len(claim.begun) - len(ends)
        self._look |= claim.more or freed
        if claim.begun:
            attempts.create_task(self._carry(claim.begun, self.destination))
        self._look_when_due(ends)
        return bool(self._ends) or (self._look and self._room() > 0)

    async def _save(self, ends: Sequence[tuple[Attempt, Next]], room: int) -> tuple[bool, Claim]:
        """Record ends and begin attempts: one commit for both, as it is what costs most."""
        lease_s, freed, claim = self._tools.lease_s, False, Claim()
        opened = transaction if ends and room else acquire
        async with opened(self._tools.database.pool) as conn:
            if ends:
                freed = await store.end_attempts(conn, ends)
            if room and self.destination.retired:
                await store.give_up(conn, self._place, RETIRED)
            elif room:
                claim = await store.claim(conn, self._place, room, lease_s=lease_s, wait_s=lease_s)
        return freed, claim

    def _room(self) -> int:
        """How many attempts may be begun now."""
        if self._stopping:
            return 0
        left = self._pace.not_before - _now()
        if left > 0:
            # Longer rests end when the dispatcher looks.
            if left < 1.0:
                asyncio.get_running_loop().call_later(left, self._news.set)
            return 0
        return self._pace.width - self._open

    def _look_when_due(self, ends: Sequence[tuple[Attempt, Next]]) -> None:
        """What is due again before the dispatcher looks is looked at in time."""
        pauses = [end.pause for _, end in ends if end.state is State.PENDING]
        if pauses and (soonest := min(pauses)) < 1.0:
            asyncio.get_running_loop().call_later(soonest, self.wake)

    async def _carry(self, begun: Sequence[Attempt], destination: Destination) -> None:
        """Make attempts that were begun, those first whose message is there."""
        began, most = _now(), self._tools.retries.attempts
        # Whatever ends this process each time it is sent must not do so for ever.
        endless = [a for a in begun if a.lost and a.attempts > most]
        self._end(endless, Next(State.DEAD, ENDLESS))
        rest = begun if not endless else [a for a in begun if a not in endless]
        async with asyncio.TaskGroup() as group:
            for attempt in rest:
                if attempt.body is not None:
                    group.create_task(self._attempt(destination, attempt, attempt.body, began))
            fresh = [attempt for attempt in rest if attempt.body is None]
            for attempt, body in await self._make_bodies(destination, fresh):
                group.create_task(self._attempt(destination, attempt, body, began))

    async def _make_bodies(
        self, destination: Destination, fresh: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes]]:
        """The message of each attempt, kept; what cannot be made now is put back."""
        if not fresh:
            return []
        try:
            made = await self._tools.renderer.render(destination, fresh)
            async with acquire(self._tools.database.pool) as conn:
                kept = await store.keep_bodies(conn, made)
        except Exception as error:
            _tell(self._place, error)
            reason = error.reason if isinstance(error, OnefoldError) else type(error).__name__
            self._end(fresh, put_back(f"the message could not be made: {reason}", UNREADY_S))
            return []
        lost = [attempt for attempt in fresh if attempt.effect_id not in kept]
        self._end(lost, put_back("another replica took it over", 0.0))
        return [(attempt, body) for attempt, body in made if attempt.effect_id in kept]

    async def _attempt(
        self, destination: Destination, attempt: Attempt, body: bytes, began: float
    ) -> None:
        if _now() - began > min(STALE_S, self._tools.lease_s / 2):
            self._end([attempt], put_back("it was begun too long ago", 0.0))
            return
        message = Message(to_hex(attempt.effect_id), body, attempt.attempts)
        with self._tools.metrics.attempt(destination) as watched:
            outcome = watched.outcome = await self._send(destination, message)
        retries, now = self._tools.retries, _now()
        self._pace = paced(self._pace, outcome, now, retries)
        jitter = random.random()  # noqa: S311 - so that retries do not come in step
        self._end([attempt], after_attempt(outcome, attempt.attempts, retries, jitter))

    async def _send(self, destination: Destination, message: Message) -> Outcome:
        sender = self._tools.senders[type(destination.channel)]
        try:
            return await sender.send(destination, message)
        except Exception as error:
            log.exception("attempt_broken", destination=destination.destination_id)
            return Outcome(Verdict.FAILED, type(error).__name__)

    def _end(self, attempts: Sequence[Attempt], end: Next) -> None:
        self._ends += [(attempt, end) for attempt in attempts]
        self._news.set()


def _tell(place: Place, error: Exception) -> None:
    names = {"workspace": place.workspace_id, "destination": place.destination_id}
    if isinstance(error, RetryableError):
        log.warning("sending_delayed", reason=error.reason, **names)
    else:
        log.error("sending_failed", exc_info=error, **names)


def _now() -> float:
    return asyncio.get_running_loop().time()
