"""The body of a request: a batch of calls, or one call, each left as it came.

A body is cut without being built. Where that fails because one call in it is malformed (Python
writes NaN, JavaScript writes half a surrogate pair), it is cut by a more patient reader, so that
one bad call does not take the good ones with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from services.ingest.domain.json_limits import malformed
from services.ingest.domain.model import Refusal
from services.ingest.domain.timestamps import read_instant

_NOTHING = msgspec.Raw(b"")
_SPACE = " \t\n\r"


@dataclass(frozen=True, slots=True)
class Body:
    """What a body says beside its calls, and its calls."""

    #: The calls of a batch; None where `batch` is no list.
    calls: list[bytes] | None
    #: Whether there is a `batch` at all; where not, the body is one call.
    is_batch: bool
    #: Unix microseconds where it could be read, else what was sent.
    sent_at: object = None
    write_key: object = None
    #: A JSON object for calls that bring none; empty = {}.
    context: bytes = b""


class _Outer(msgspec.Struct, rename="camel"):
    batch: msgspec.Raw = _NOTHING
    sent_at: Any = None
    write_key: Any = None
    context: msgspec.Raw = _NOTHING


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decoder = json.JSONDecoder(strict=False)


def read_body(raw: bytes) -> Body | Refusal:
    """The outer shape of a body; a refusal concerns the body as a whole."""
    try:
        outer = _decode_outer(raw)
    except msgspec.ValidationError:
        return Refusal("NOT_AN_EVENT", "", "the body must be a JSON object")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _cut_patiently(raw) or malformed("", raw)
    calls = _calls(outer.batch) if outer.batch else None
    return Body(
        *(calls, bool(outer.batch), _instant(outer.sent_at)),
        *(outer.write_key, bytes(outer.context)),
    )


def read_batch(body: Body) -> list[bytes] | Refusal:
    """The calls of a batch, at least one."""
    if body.calls is None:
        return Refusal("BATCH_EMPTY", "batch", "the body needs a list `batch` of events")
    return body.calls or Refusal("BATCH_EMPTY", "batch", "the batch holds no event")


def _calls(batch: msgspec.Raw) -> list[bytes] | None:
    try:
        return [bytes(call) for call in _decode_list(batch)]
    except msgspec.ValidationError:
        return None


def _instant(sent_at: object) -> object:
    """Read once for all calls; what cannot be read is left for each of them to be refused for."""
    sent_us = read_instant("sent_at", sent_at)
    return sent_at if isinstance(sent_us, Refusal) else sent_us


def _cut_patiently(raw: bytes) -> Body | None:
    """The body of a batch, of whose calls some are malformed; None where it cannot be cut."""
    # Bytes that are no UTF-8 come through as half pairs, and go back to what they were.
    text = raw.decode("utf-8", "surrogateescape")
    try:
        members = {name: (value, part) for name, value, part in _members(text)}
    except (ValueError, IndexError, RecursionError):
        return None
    batch, part = members.get("batch", (None, ""))
    if not isinstance(batch, list):
        return None
    calls = [_encode(call) for call in _elements(part)]
    context = members.get("context", (None, ""))[1]
    return Body(
        *(calls, True, _instant(members.get("sentAt", (None, ""))[0])),
        *(members.get("writeKey", (None, ""))[0], _encode(context)),
    )


def _members(text: str) -> Iterator[tuple[str, Any, str]]:
    """The members of the object that a text is: name, value, and the value's own text."""
    at = _expect(text, _skip(text, 0), "{")
    while text[at] != "}":
        name, at = _decoder.raw_decode(text, at)
        if not isinstance(name, str):
            raise ValueError("a name is missing")
        at = _skip(text, _expect(text, _skip(text, at), ":"))
        value, end = _decoder.raw_decode(text, at)
        yield name, value, text[at:end]
        at = _next(text, end, "}")
    if text[at + 1 :].strip(_SPACE):
        raise ValueError("there is more after the end")


def _elements(text: str) -> Iterator[str]:
    """The elements of the list that a text is, each as it stands there."""
    at = _expect(text, 0, "[")
    while text[at] != "]":
        _, end = _decoder.raw_decode(text, at)
        yield text[at:end]
        at = _next(text, end, "]")


def _next(text: str, at: int, close: str) -> int:
    """Where the next part begins, behind a comma; or where the whole is closed."""
    at = _skip(text, at)
    return at if text[at] == close else _skip(text, _expect(text, at, ","))


def _expect(text: str, at: int, sign: str) -> int:
    if text[at] != sign:
        raise ValueError(f"{sign} is missing")
    return _skip(text, at + 1) if sign in "{[" else at + 1


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
