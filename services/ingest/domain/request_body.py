"""Splits a request body into its calls, each as the bytes that the client sent.

The body is split without decoding the calls. Where that fails because one call is malformed
(Python clients send NaN, JavaScript clients send half a surrogate pair), a lenient parser splits
it, so that one bad call does not refuse the good ones beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from services.ingest.domain.events import Refusal
from services.ingest.domain.json_limits import invalid_json
from services.ingest.domain.timestamps import read_instant

_ABSENT = msgspec.Raw(b"")
_SPACE = " \t\n\r"
#: The mark of UTF-8 that some programs write before their text.
_MARK = b"\xef\xbb\xbf"
#: No event is shorter, bytes; a body of more values than that is no batch of events.
_LEAST_CALL, _FEW_CALLS = 16, 1_000


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The calls of a body, and the fields beside them."""

    #: The calls of a batch; None where `batch` is no list.
    calls: list[bytes] | None
    #: Whether the body has a `batch`; without one the body itself is a call.
    is_batch: bool
    #: Unix microseconds where it could be read, else the value that was sent.
    sent_at: object = None
    #: A JSON object for calls that have none; empty = {}.
    context: bytes = b""
    #: `sentAt` as it was sent; empty = it is absent.
    sent_at_json: bytes = b""

    def around(self, call: bytes) -> bytes:
        """Return a batch of one call of this one, with the fields beside it."""
        beside = ((b"sentAt", self.sent_at_json), (b"context", self.context))
        members = b"".join(b',"%b":%b' % member for member in beside if member[1])
        return b'{"batch":[%b]%b}' % (call, members)


class _Envelope(msgspec.Struct, rename="camel"):
    batch: msgspec.Raw = _ABSENT
    sent_at: msgspec.Raw = _ABSENT
    context: msgspec.Raw = _ABSENT


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_value = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_decoder = json.JSONDecoder(strict=False)


def parse_body(raw: bytes) -> RequestBody | Refusal:
    """Split a body into calls. A refusal concerns the body as a whole."""
    try:
        envelope = _decode_envelope(raw)
        sent_at = _instant(bytes(envelope.sent_at))
    except msgspec.ValidationError:
        return Refusal("NOT_AN_EVENT", "", "the body must be a JSON object")
    except _MALFORMED:
        return _split_leniently(raw) or invalid_json("", raw)
    return RequestBody(
        calls=_calls(envelope.batch) if envelope.batch else None,
        is_batch=bool(envelope.batch),
        sent_at=sent_at,
        context=bytes(envelope.context),
        sent_at_json=bytes(envelope.sent_at),
    )


def without_mark(raw: bytes) -> bytes:
    """Return a body without the mark of UTF-8 before it."""
    return raw.removeprefix(_MARK)


def find_write_key(start: bytes) -> str | None:
    """Return the `writeKey` of a body of which only the start may be known; None without one.

    It is found beside the calls only, and only if it ends before the known part does.
    """
    if b'"writeKey"' not in start:
        return None
    text = without_mark(start).decode("utf-8", "surrogateescape")
    with suppress(ValueError, IndexError, RecursionError):
        for name, value, _ in _members(text):
            if name == "writeKey":
                return value if isinstance(value, str) else None
    return None


def batch_calls(body: RequestBody) -> list[bytes] | Refusal:
    """Return the calls of a batch, at least one."""
    if body.calls is None:
        return Refusal("BATCH_EMPTY", "batch", "the body needs a list `batch` of events")
    count = len(body.calls)
    if count > _FEW_CALLS and sum(map(len, body.calls)) < count * _LEAST_CALL:
        return Refusal("NOT_AN_EVENT", "batch", "the batch must be a list of events")
    return body.calls or Refusal("BATCH_EMPTY", "batch", "the batch is empty: add an event")


def _calls(batch: msgspec.Raw) -> list[bytes] | None:
    try:
        return [bytes(call) for call in _decode_list(batch)]
    except msgspec.ValidationError:
        return None


def _instant(document: bytes) -> object:
    """Read the instant once for all calls; an invalid one stays, so that each call is refused."""
    sent_at = _decode_value(document) if document else None
    sent_us = read_instant("sent_at", sent_at)
    return sent_at if isinstance(sent_us, Refusal) else sent_us


def _split_leniently(raw: bytes) -> RequestBody | None:
    """Split a batch in which some calls are malformed; None where that is impossible."""
    # Bytes that are not UTF-8 become lone surrogates, and are encoded back to the same bytes.
    text = raw.decode("utf-8", "surrogateescape")
    try:
        members = {name: (value, part) for name, value, part in _members(text)}
    except (ValueError, IndexError, RecursionError):
        return None
    batch, part = members.get("batch", (None, ""))
    if not isinstance(batch, list):
        return None
    sent_at = _encode(members.get("sentAt", (None, ""))[1])
    sent_us: object = False  # no instant, such as NaN
    with suppress(*_MALFORMED):
        sent_us = _instant(sent_at)
    return RequestBody(
        calls=[_encode(call) for call in _elements(part)],
        is_batch=True,
        sent_at=sent_us,
        context=_encode(members.get("context", (None, ""))[1]),
        sent_at_json=sent_at,
    )


def _members(text: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the members of a JSON object: name, value, and the value's own text."""
    index = _expect(text, _skip_space(text, 0), "{")
    while text[index] != "}":
        name, index = _decoder.raw_decode(text, index)
        if not isinstance(name, str):
            raise ValueError("a name is missing")
        index = _skip_space(text, _expect(text, _skip_space(text, index), ":"))
        value, end = _decoder.raw_decode(text, index)
        yield name, value, text[index:end]
        index = _next(text, end, "}")
    if text[index + 1 :].strip(_SPACE):
        raise ValueError("the body continues after its end")


def _elements(text: str) -> Iterator[str]:
    """Yield the elements of a JSON list, each as its own text."""
    index = _expect(text, 0, "[")
    while text[index] != "]":
        _, end = _decoder.raw_decode(text, index)
        yield text[index:end]
        index = _next(text, end, "]")


def _next(text: str, index: int, close: str) -> int:
    """Return the index of the next part after a comma, or of the closing sign."""
    index = _skip_space(text, index)
    return index if text[index] == close else _skip_space(text, _expect(text, index, ","))


def _expect(text: str, index: int, sign: str) -> int:
    if text[index] != sign:
        raise ValueError(f"{sign} is missing")
    return _skip_space(text, index + 1) if sign in "{[" else index + 1


def _skip_space(text: str, index: int) -> int:
    while text[index] in _SPACE:
        index += 1
    return index


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
