"""What a NATS message says: how its key, its place and its events are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from services.ingest.api.http_body import inflate
from services.ingest.codec.events import CallOffer, EventOffer, read_events
from services.ingest.commands.intake import MAX_EVENTS
from services.ingest.domain.model import RawEvent, Refusal
from services.ingest.domain.request_body import read_batch, read_body
from services.kernel.errors import NotAllowed, OnefoldError

MAX_BYTES = 4 << 20
_PROTOBUF = frozenset(
    {"application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"}
)


class Letter(NamedTuple):
    """What the bus brought, without the bus."""

    subject: str
    #: Names in lower case.
    headers: Mapping[str, str]
    data: bytes


def check_place(subject: str, workspace_id: str, source_id: str) -> None:
    """Raises NotAllowed where a key is used for another source than the subject names."""
    if subject.split(".")[2:] != [workspace_id, source_id]:
        raise NotAllowed("the subject must end with the workspace and the source of the key")


def read_letter(letter: Letter) -> Sequence[CallOffer | EventOffer] | Refusal:
    """The events of a letter; a refusal concerns the letter as a whole."""
    content = letter.headers.get("content-type", "").partition(";")[0].strip().lower()
    read = read_events if content in _PROTOBUF else _json
    offers = read(letter.data)
    if isinstance(offers, Refusal):
        return offers
    if not offers:
        return Refusal("BATCH_EMPTY", "", "the message holds no event")
    if len(offers) > MAX_EVENTS:
        return Refusal("PROPERTIES_TOO_LARGE", "", f"a message has at most {MAX_EVENTS} events")
    _lend_id(letter.headers.get("nats-msg-id", ""), offers)
    return offers


def _json(data: bytes) -> Sequence[CallOffer] | Refusal:
    try:
        raw = inflate(data, "", MAX_BYTES)
    except OnefoldError as error:
        return Refusal("JSON_INVALID", "", error.message)
    body = read_body(raw)
    if isinstance(body, Refusal):
        return body
    if not body.is_batch:
        return [CallOffer(raw)]
    calls = read_batch(body)
    return calls if isinstance(calls, Refusal) else [CallOffer(call, None, body) for call in calls]


def _lend_id(message_id: str, offers: Sequence[CallOffer | EventOffer]) -> None:
    """Give events without an id the one of their letter: the same letter is the same events."""
    if not message_id:
        return
    for place, offer in enumerate(offers):
        if isinstance(offer.event, RawEvent) and not offer.event.message_id:
            own = message_id if len(offers) == 1 else f"{message_id}-{place}"
            offer.event = offer.event._replace(message_id=own)


def answer_json(told: Mapping[str, object]) -> bytes:
    """An answer for the bus."""
    return msgspec.json.encode(told)
