"""Tests the forms of messages at the gateway."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from onefold.profile.v1.profile_service_pb2 import BatchGetProfilesRequest

from services.console.gateway.errors import CallFailed
from services.console.gateway.forms import LARGE, PLAIN, read_message, write_message

SMALL = b'{"profileIds": []}'
LONG = b'{"profileIds": [%s]}' % b",".join([b'"%s"' % (b"a" * 32)] * (LARGE // 32))


class RecordingForm:
    """Plain JSON that records which threads read and write."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def read(self, body: bytes, kind: Any) -> bytes:
        self.threads.append(threading.get_ident())
        return PLAIN.read(body, kind)

    def write(self, message: bytes, kind: Any) -> bytes:
        self.threads.append(threading.get_ident())
        return PLAIN.write(message, kind)


async def test_large_messages_are_read_and_written_in_another_thread() -> None:
    form, own = RecordingForm(), threading.get_ident()
    small = await read_message(form, SMALL, BatchGetProfilesRequest)
    await write_message(form, small, BatchGetProfilesRequest)
    assert form.threads == [own, own]
    large = await read_message(form, LONG, BatchGetProfilesRequest)
    written = await write_message(form, large, BatchGetProfilesRequest)
    assert own not in form.threads[2:]
    assert len(BatchGetProfilesRequest.FromString(large).profile_ids) == LARGE // 32
    assert await read_message(form, written, BatchGetProfilesRequest) == large


async def test_mistake_in_a_large_message_is_reported_as_in_a_small_one() -> None:
    for body in (SMALL[:-1], LONG[:-1]):
        with pytest.raises(CallFailed, match="not valid JSON"):
            await read_message(PLAIN, body, BatchGetProfilesRequest)
