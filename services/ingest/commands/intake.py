"""Taking events in: admit each, append what is good, keep what is not, and answer after both."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.ingest.commands.group_events import Pair, append_pairs
from services.ingest.domain.admission import admit
from services.ingest.domain.facts import Appended, NewFact
from services.ingest.domain.model import Accepted, Copy, RawEvent, Refusal, Source
from services.ingest.ports import Channels, Clock, Entry, Log, Offer, Quarantine
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import hash_id, to_hex
from services.kernel.tokens import Token

#: The full name of onefold.type.v1.Event.
EVENT = "onefold.type.v1.Event"
MAX_EVENTS = 1_000

_REUSED = Refusal(
    "MESSAGE_ID_REUSED",
    "message_id",
    "the message id was used before for another event of the same person: give each its own",
)


class Sender(NamedTuple):
    """Who hands events in, and where."""

    workspace_id: str
    source_id: str
    key_id: str
    #: grpc, http, nats or file.
    door: str
    #: The default region of the workspace.
    region: str


class Rejection(NamedTuple):
    """One event that was refused and kept."""

    #: Its index in the batch.
    place: int
    refusal: Refusal
    quarantine_id: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch."""

    accepted: int
    duplicates: int
    #: In the order of the batch.
    rejections: tuple[Rejection, ...]
    token: Token


class Intake:
    """The use cases of the doors."""

    def __init__(self, log: Log, quarantine: Quarantine, channels: Channels, clock: Clock) -> None:
        self._log = log
        self._quarantine = quarantine
        self._channels = channels
        self._clock = clock

    async def take(self, sender: Sender, offers: Sequence[Offer]) -> Taken:
        """Take a batch of any size; what is answered is committed. Raises StoreUnavailable."""
        now_us = self._clock.now_us()
        source = await self._source(sender)
        admitted = _Admitted(sender)
        refused: dict[int, Refusal] = {}
        for index, offer in enumerate(offers):
            event = offer.event
            outcome = admit(event, source, now_us, _fresh) if type(event) is RawEvent else event
            if type(outcome) is Accepted:
                admitted.add(index, outcome, offer)
            elif type(outcome) is Refusal:
                refused[index] = outcome
        taken, reused = await self._append(admitted)
        refused |= reused
        if not refused:
            return taken
        return replace(taken, rejections=await self._keep(sender, offers, refused, now_us))

    async def refuse_body(self, sender: Sender, raw: bytes, refusal: Refusal) -> bytes:
        """Keep a whole body that holds no event; answers its quarantine id."""
        entry = _entry(sender, "body", raw, refusal, self._clock.now_us())
        await self._quarantine.keep([entry])
        return entry.quarantine_id

    async def release(self, entry: Entry, offer: Offer, sender: Sender) -> Taken:
        """Take an entry of the quarantine, repaired or as it was; any number of times.

        `sender` is who releases it, to where it was sent.

        What is refused again stays where it is.
        """
        if isinstance(offer.event, Refusal):
            return _still_refused(entry, offer.event)
        source = await self._source(sender)
        # Released twice, an event without an id of its own must be the same event.
        own_id = f"released-{to_hex(entry.quarantine_id)}"
        outcome = admit(offer.event, source, self._clock.now_us(), lambda: own_id)
        if isinstance(outcome, Refusal):
            return _still_refused(entry, outcome)
        admitted = _Admitted(sender)
        admitted.add(0, outcome, offer)
        taken, reused = await self._append(admitted)
        if reused:
            return _still_refused(entry, _REUSED)
        await self._quarantine.release(entry.quarantine_id, outcome.fact_id)
        return taken

    async def find(self, workspace_id: str, quarantine_id: bytes) -> Entry:
        """An entry of the quarantine. Raises NotFound."""
        entry = await self._quarantine.find(workspace_id, quarantine_id)
        if entry is None:
            raise NotFound("there is no such entry in the quarantine")
        return entry

    async def _source(self, sender: Sender) -> Source:
        workspace_id, source_id = sender.workspace_id, sender.source_id
        channel = await self._channels.channel_of(workspace_id, source_id)
        return Source(workspace_id, source_id, channel, sender.region)

    async def _append(self, admitted: _Admitted) -> tuple[Taken, dict[int, Refusal]]:
        """What became of what was admitted; and, by place, what is refused as it came before."""
        answers: list[tuple[Sequence[int], Appended]] = []
        if admitted.facts:
            answers.append((admitted.places, await self._log.append(admitted.facts)))
        if admitted.pairs:
            pairs = list(admitted.pairs.values())
            answers.append((list(admitted.pairs), await append_pairs(self._log, pairs)))
        new, known, token, reused = 0, 0, Token(), set[int]()
        for places, appended in answers:
            self._clock.learn(appended.recorded_at_us)
            new, known = new + appended.appended, known + len(appended.duplicates)
            token = token.union(appended.token)
            reused.update(places[index] for index in appended.reused)
        return Taken(new, known, (), token), dict.fromkeys(reused, _REUSED)

    async def _keep(
        self, sender: Sender, offers: Sequence[Offer], refused: dict[int, Refusal], now_us: int
    ) -> tuple[Rejection, ...]:
        kept = [
            (index, _entry(sender, offers[index].form, offers[index].raw(), refused[index], now_us))
            for index in sorted(refused)
        ]
        await self._quarantine.keep([entry for _, entry in kept])
        return tuple(Rejection(i, entry.refusal, entry.quarantine_id) for i, entry in kept)


def check_size(count: int) -> None:
    """Raises InvalidField where a batch is empty or too long."""
    if not count:
        error = InvalidField("the batch holds no event", field="events")
        error.reason = "BATCH_EMPTY"
        raise error
    if count > MAX_EVENTS:
        raise InvalidField(f"a batch has at most {MAX_EVENTS} events: split it", field="events")


class _Admitted:
    """Facts of events that were admitted, by where these stand in their batch."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.facts: list[NewFact] = []
        self.places: list[int] = []
        self.pairs: dict[int, Pair] = {}

    def add(self, place: int, accepted: Accepted, offer: Offer) -> None:
        fact = _fact(self._sender, accepted, offer.payload(accepted))
        if accepted.copy is None:
            self.facts.append(fact)
            self.places.append(place)
        else:
            self.pairs[place] = _pair(fact, accepted.copy, offer.copy_payload(accepted))


def _fresh() -> str:
    return secrets.token_hex(16)


def _fact(sender: Sender, accepted: Accepted, payload: bytes) -> NewFact:
    workspace_id, source_id, key_id, *_ = sender
    fact_id, leaf_id, _, occurred_us, *_ = accepted
    return NewFact(workspace_id, fact_id, EVENT, leaf_id, occurred_us, source_id, key_id, payload)


def _pair(fact: NewFact, copy: Copy, payload: bytes) -> Pair:
    return fact, fact._replace(fact_id=copy.fact_id, leaf_id=copy.leaf_id, payload=payload)


def _entry(sender: Sender, form: str, raw: bytes, refusal: Refusal, now_us: int) -> Entry:
    # A function of what came, so that a client that tries again does not fill the quarantine.
    quarantine_id = hash_id(sender.workspace_id, sender.source_id, refusal.reason, form, raw)
    return Entry(
        quarantine_id,
        sender.workspace_id,
        sender.source_id,
        sender.door,
        refusal,
        form,
        raw,
        now_us,
    )


def _still_refused(entry: Entry, refusal: Refusal) -> Taken:
    return Taken(0, 0, (Rejection(0, refusal, entry.quarantine_id),), Token())
