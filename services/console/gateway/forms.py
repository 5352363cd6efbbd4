"""Reads requests and writes responses in the forms that callers send and accept."""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

from google.protobuf import json_format

from services.chassis.codec.plain_json import write_plain
from services.console.gateway.errors import invalid, to_json
from services.console.gateway.methods import MessageClass
from services.console.gateway.plain_json import read_plain

#: Bytes of a message that takes some ten milliseconds as JSON: other calls must not wait for it.
LARGE = 64 << 10


class MessageForm(Protocol):
    """A form of messages."""

    def read(self, body: bytes, kind: MessageClass) -> bytes:
        """Return the message in the form of Protobuf. Raises CallFailed."""

    def write(self, message: bytes, kind: MessageClass) -> bytes:
        """Return a message of Protobuf in this form."""


class ProtobufForm:
    """The binary form of Protobuf: the bytes are passed on unread."""

    def read(self, body: bytes, kind: MessageClass) -> bytes:
        return body

    def write(self, message: bytes, kind: MessageClass) -> bytes:
        return message


class ProtoJsonForm:
    """The JSON form of Protobuf, as the clients of Connect send it."""

    def read(self, body: bytes, kind: MessageClass) -> bytes:
        message = kind()
        try:
            json_format.Parse(body.decode(), message)
        except json_format.ParseError as error:
            raise invalid(f"the request is no {kind.DESCRIPTOR.name} in JSON: {error}") from None
        except (RecursionError, ValueError, SystemError):
            raise invalid("the request is nested too deeply, or has half a character") from None
        return message.SerializeToString()

    def write(self, message: bytes, kind: MessageClass) -> bytes:
        text = json_format.MessageToJson(kind.FromString(message), indent=None, ensure_ascii=False)
        return text.encode()


class PlainForm:
    """Plain JSON; see `plain_json`."""

    def read(self, body: bytes, kind: MessageClass) -> bytes:
        try:
            document = json.loads(body) if body.strip() else {}
        except json.JSONDecodeError as error:
            raise invalid(f"the request is not valid JSON: {error}") from None
        except (RecursionError, ValueError):
            raise invalid("the request is not valid JSON that can be read") from None
        if not isinstance(document, dict):
            raise invalid("the request must be a JSON object")
        return read_plain(document, kind).SerializeToString()

    def write(self, message: bytes, kind: MessageClass) -> bytes:
        return to_json(write_plain(kind.FromString(message)))


async def read_message(form: MessageForm, body: bytes, kind: MessageClass) -> bytes:
    """Read a message in a form; a large one in a thread, so that other calls go on.

    Raises CallFailed.
    """
    if len(body) < LARGE:
        return form.read(body, kind)
    return await asyncio.to_thread(form.read, body, kind)


async def write_message(form: MessageForm, message: bytes, kind: MessageClass) -> bytes:
    """Write a message in a form; a large one in a thread, so that other calls go on."""
    if len(message) < LARGE:
        return form.write(message, kind)
    return await asyncio.to_thread(form.write, message, kind)


PROTOBUF, PROTO_JSON, PLAIN = ProtobufForm(), ProtoJsonForm(), PlainForm()
