"""Makes messages as an attacker publishes them who sees all messages and lacks the bus key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nats.aio.msg import Msg
from toy.words import WordFact, encode

from services.chassis.messaging.envelope import Envelope, MessageAuthenticator

FORGED = WordFact("w0", "leaf0", "forged")
_OTHER = MessageAuthenticator("the bus key of another installation")


class Forgery(NamedTuple):
    """A message that no service has published."""

    subject: str
    headers: Mapping[str, str]
    payload: bytes


def forgeries(seen: Sequence[Msg], subject: str, at: int) -> Iterator[Forgery]:
    """Yield messages of `subject` whose ranges lie before, at and after the offset `at`.

    `seen`: honest messages, of which parts are used.
    """
    ranges = [(at, at + 1), (at, at + 10), (0, at + 10), (at + 5, at + 50), (0, 10**18)]
    for first, end in ranges:
        payload = encode([FORGED] * min(end - first, 100))
        covered = {"Onefold-Range": f"{first}-{end}"}
        yield Forgery(subject, covered, payload)
        yield Forgery(subject, {**covered, "Onefold-Upstream-Only": "1"}, b"")
        for mac in ("", "0" * 64, "\u00e9" * 8, "x" * 5_000):
            yield Forgery(subject, {**covered, "Onefold-Mac": mac}, payload)
        yield Forgery(subject, _OTHER.headers(subject, Envelope(first, end), payload), payload)
    for text in ("", "-", "5-5", "7-3", "a-b", "-1-5", "0x0-0x9", "\u0660-\u0669", "1" * 6_000):
        yield Forgery(subject, {"Onefold-Range": text}, b"garbage")
    yield Forgery(subject, {}, b"")
    yield Forgery(subject, {"Status": "100"}, b"")
    yield Forgery(subject, {"Status": "409", "Nats-Pending-Messages": "9" * 5_000}, b"")
    for msg in seen[-3:]:
        honest = {k: v for k, v in (msg.headers or {}).items() if k != "Nats-Msg-Id"}
        moved = honest | {"Onefold-Range": f"{at}-{at + 10}"}
        yield Forgery(subject, moved, msg.data)
        yield Forgery(subject, honest, encode([FORGED] * 10))
        yield Forgery(subject, honest | {"Onefold-Upstream-Only": "1"}, msg.data)
        yield Forgery(subject, honest | {"Onefold-Range": f"{at}-{at + 1}"}, encode([FORGED]))
