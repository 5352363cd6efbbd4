"""Tests that ids lead back to no value without the index key, and how repeats are recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b, sha256
from pathlib import Path

import asyncpg
import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.type.v1.errors_pb2 import ERROR_REASON_MESSAGE_ID_REUSED
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from service_fixtures import MakeSettings

from services.chassis.access.index_key import IndexKeyMismatch
from services.identity.service import serve as serve_identity
from services.identity.settings import IdentitySettings
from services.ingest.service import serve as serve_ingest
from services.ingest.settings import IngestSettings
from tests.index_key import INDEX_KEY

#: A million numbers, the planted ones among them.
RANGE = 1_000_000
PLANTED = [7, 123_456, 999_999]
#: From a number to what its id may be.
Guess = Callable[[str], bytes]


def number(index: int) -> str:
    """Return one of a million Chinese mobile numbers."""
    return f"+8613912{index:06d}"


def plain_hash(value: str, *, person: bytes, key: bytes, text: str) -> bytes:
    """Return BLAKE2b-128 of a value inside a text, as anyone can compute it."""
    data = text.format(value).encode()
    return blake2b(data, digest_size=16, person=person, key=key).digest()


async def dump(dsn: str) -> list[bytes]:
    """Return every value of every column of every table."""
    conn = await asyncpg.connect(dsn)
    try:
        tables = await conn.fetch(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        values: list[bytes] = []
        for schema, table in tables:
            for row in await conn.fetch(f'SELECT * FROM "{schema}"."{table}"'):
                values += [each if type(each) is bytes else str(each).encode() for each in row]
    finally:
        await conn.close()
    return values


def found(guesses: Iterable[Guess], ids: frozenset[bytes], numbers: range) -> set[int]:
    """Return the numbers of a range that lead to an id."""
    return {index for guess in guesses for index in numbers if guess(number(index)) in ids}


async def test_copy_of_the_database_without_the_key_links_no_id_to_a_number(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    names = ("ingest", "identity", "profile")
    async with whole_system(make_settings, internal_key, tmp_path, *names) as system:
        for index in PLANTED:
            await system.send("bought", f"phone:{number(index)}", f"user_id:u{index}")
        await system.drain()
    values = await dump(make_settings(IngestSettings).postgres_dsn.get_secret_value())
    ids = frozenset(each for each in values if len(each) == 16)
    # Everything in the copy that may be a key, and every way in which ids were or are derived.
    keys = {b"", *(each for each in values if len(each) == 16 and each == INDEX_KEY.check)}
    texts = ("default\0phone\0{}\0", "phone\0{}")
    guesses: list[Guess] = [
        partial(plain_hash, person=person, key=key, text=text)
        for text, person in zip(texts, (b"", b"identifier"), strict=True)
        for key in keys
    ]
    guesses.append(lambda value: sha256(value.encode()).digest()[:16])
    assert len(ids) > 20
    assert len(keys) == 2
    assert not found(guesses, ids, range(RANGE))
    # The same search with the key finds them, so it looks for the right thing.
    keyed = partial(INDEX_KEY.identifier_id, "default", "phone")
    assert found([keyed], ids, range(RANGE)) == set(PLANTED)


@pytest.mark.parametrize(
    ("kind", "serve"), [(IngestSettings, serve_ingest), (IdentitySettings, serve_identity)]
)
async def test_service_with_another_key_than_its_tables_refuses_to_start(
    kind: type, serve: Callable[..., object], make_settings: MakeSettings
) -> None:
    fields = {"ingest_url": "127.0.0.1:1"} if kind is IdentitySettings else {}
    async with serve(make_settings(kind, **fields)):  # type: ignore[attr-defined]
        pass
    other = make_settings(kind, **fields, index_key=f"2.{'6b' * 32}")
    with pytest.raises(IndexKeyMismatch, match="ONEFOLD_INDEX_KEY"):
        async with serve(other):  # type: ignore[attr-defined]
            pass


async def test_repeat_in_another_dress_is_a_duplicate_and_other_content_is_refused(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    async with whole_system(make_settings, internal_key, tmp_path, "ingest") as system:
        first = await _send(system, b'{"a":1,"city":"\xe5\x8c\x97\xe4\xba\xac"}')
        again = await _send(system, b'{ "city": "\\u5317\\u4eac",\n "a": 1.0 }', reverse=True)
        other = await _send(system, b'{"a":2,"city":"\xe5\x8c\x97\xe4\xba\xac"}')
    assert (first.accepted, first.duplicates) == (1, 0)
    assert (again.accepted, again.duplicates, len(again.rejections)) == (0, 1, 0)
    assert [each.reason for each in other.rejections] == [ERROR_REASON_MESSAGE_ID_REUSED]


async def _send(
    system: WholeSystem, properties: bytes, *, reverse: bool = False
) -> IngestEventsResponse:
    names = ("user_id:u1", "phone:13800000000")
    event = Event(
        type=EVENT_TYPE_TRACK,
        name="bought",
        message_id="m-1",
        identifiers=[identifier(each) for each in (reversed(names) if reverse else names)],
        properties=properties,
    )
    request = IngestEventsRequest(events=[event])
    response: IngestEventsResponse = await system.source.ingest.IngestEvents(request)
    return response
