"""Tests lines of JSON in a file: each is whole, is written once, and is on disk."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
from integration.activation.ledger_fixture import Ledger, change, destination

from services.activation.channels import Message, written_lines
from services.activation.channels.file import FileSender
from services.activation.channels.written_lines import FilePosition, WrittenLines
from services.activation.domain.model import DeliveryState, Destination, Trigger
from services.activation.domain.system_channels import NdjsonFile
from services.activation.domain.transitions import AttemptResult, AttemptStatus
from services.kernel.ids import WorkspaceId

OUT = Destination(
    WorkspaceId("school"),
    "d",
    1,
    "",
    NdjsonFile("out.ndjson"),
    ("s",),
    frozenset({Trigger.ENTERED}),
    b"{}",
    (),
)
DELIVERED = AttemptResult(AttemptStatus.DELIVERED)


def message(n: int = 1, attempt: int = 1) -> Message:
    key = f"{n:032x}"
    return Message(key, json.dumps({"id": key, "名": "王"}).encode(), attempt)


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[FileSender]:
    with FileSender(tmp_path / "out") as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "out" / "school" / "out.ndjson"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that were synced, in order."""
    names: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        names.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return names


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().split(b"\n")[:-1]


async def test_each_message_is_a_line(sender: FileSender, file: Path) -> None:
    sent = [message(n) for n in range(200)]
    assert set(await asyncio.gather(*(sender.send(OUT, m) for m in sent))) == {DELIVERED}
    assert sorted(lines(file)) == sorted(m.payload for m in sent)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_line_is_synced_before_it_counts_as_delivered(
    sender: FileSender, synced: list[str], tmp_path: Path
) -> None:
    await sender.send(OUT, message(1))
    assert synced == ["out.ndjson", "school", "out", tmp_path.name], "the file, then its name"
    synced.clear()
    await sender.send(OUT, message(2))
    assert synced == ["out.ndjson"]
    synced.clear()
    await sender.send(OUT, message(2, attempt=2))
    assert synced == ["out.ndjson"], "the earlier attempt may have crashed before its fsync"


async def test_concurrent_messages_share_an_fsync(sender: FileSender, synced: list[str]) -> None:
    await asyncio.gather(*(sender.send(OUT, message(n)) for n in range(100)))
    assert synced.count("out.ndjson") <= 3


async def test_retry_writes_no_second_line(sender: FileSender, file: Path) -> None:
    for attempt in (1, 2, 3):
        assert await sender.send(OUT, message(1, attempt)) == DELIVERED
    assert lines(file) == [message(1).payload]
    assert await sender.send(OUT, message(2, attempt=2)) == DELIVERED
    assert lines(file) == [message(1).payload, message(2).payload]


async def test_torn_line_leaves_the_next_line_whole(sender: FileSender, file: Path) -> None:
    await sender.send(OUT, message(1))
    with file.open("ab") as torn:
        torn.write(message(2).payload[:-5])
    assert await sender.send(OUT, message(2, attempt=2)) == DELIVERED
    assert await sender.send(OUT, message(3)) == DELIVERED
    assert lines(file) == [
        message(1).payload,
        message(2).payload[:-5],
        message(2).payload,
        message(3).payload,
    ]


async def test_line_without_its_newline_counts_as_written(sender: FileSender, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(message(1).payload)
    assert await sender.send(OUT, message(1, attempt=2)) == DELIVERED
    assert lines(file) == [message(1).payload]


async def test_key_inside_another_line_does_not_count_as_written(
    sender: FileSender, file: Path
) -> None:
    quoting = Message("f" * 32, json.dumps({"quotes": message(1).key}).encode(), 1)
    await sender.send(OUT, quoting)
    await sender.send(OUT, message(1, attempt=2))
    assert lines(file) == [quoting.payload, message(1).payload]


async def test_file_that_was_moved_away_is_created_again(sender: FileSender, file: Path) -> None:
    await sender.send(OUT, message(1))
    file.rename(file.with_suffix(".old"))
    await sender.send(OUT, message(2))
    assert lines(file) == [message(2).payload]


async def test_two_processes_write_whole_lines(file: Path) -> None:
    """Two senders act as two processes: each opens and locks the file."""
    with FileSender(file.parent.parent) as one, FileSender(file.parent.parent) as other:
        await asyncio.gather(
            *(sender.send(OUT, message(n)) for n in range(100) for sender in (one, other))
        )
    assert sorted(lines(file)) == sorted([message(n).payload for n in range(100)] * 2)


async def test_missing_folder_fails_the_attempt(tmp_path: Path) -> None:
    with FileSender(None) as nowhere:
        result = await nowhere.send(OUT, message())
        assert result == AttemptResult(AttemptStatus.FAILED, "the service has no data folder")
    (tmp_path / "file").write_text("a file where a folder has to be")
    with FileSender(tmp_path / "file") as sender:
        results = await asyncio.gather(*(sender.send(OUT, message(n)) for n in range(5)))
    assert set(results) == {AttemptResult(AttemptStatus.FAILED, os.strerror(errno.ENOTDIR))}


async def test_full_disk_fails_every_pending_attempt(
    sender: FileSender, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        results = await asyncio.gather(*(sender.send(OUT, message(n)) for n in range(5)))
        assert {r.status for r in results} == {AttemptStatus.FAILED}
    results = await asyncio.gather(*(sender.send(OUT, message(n, attempt=2)) for n in range(5)))
    assert set(results) == {DELIVERED}
    assert sorted(lines(file)) == sorted(message(n).payload for n in range(5))


async def test_cancelled_attempt_blocks_no_other(sender: FileSender, file: Path) -> None:
    tasks = [asyncio.ensure_future(sender.send(OUT, message(n))) for n in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    results = await asyncio.gather(*(sender.send(OUT, message(n, attempt=2)) for n in range(50)))
    assert set(results) == {DELIVERED}
    assert sorted(lines(file)) == sorted(message(n).payload for n in range(50))


async def test_retry_after_much_data_of_others_writes_no_second_line(
    sender: FileSender, file: Path
) -> None:
    """Attempt 1 writes the line and is interrupted; others write 20 MB before attempt 2."""
    await sender.send(OUT, message(1))
    position = await sender.position(OUT)
    await sender.send(OUT, message(2))
    _append_foreign(file, 20)
    assert await sender.send(OUT, replace(message(2, attempt=2), position=position)) == DELIVERED
    assert file.read_bytes().count(message(2).payload) == 1


async def test_search_begins_at_the_position_of_the_first_attempt(
    sender: FileSender, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sender.send(OUT, message(1))
    _append_foreign(file, 20)
    position = await sender.position(OUT)
    read: list[int] = []
    pread = os.pread

    def count(descriptor: int, length: int, offset: int) -> bytes:
        data = pread(descriptor, length, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", count)
    await sender.send(OUT, replace(message(2, attempt=2), position=position))
    assert sum(read) < 64 * 1024
    assert lines(file)[-1] == message(2).payload


async def test_retry_after_the_file_was_renamed_finds_the_line(
    sender: FileSender, file: Path
) -> None:
    await sender.send(OUT, message(1))
    position = await sender.position(OUT)
    await sender.send(OUT, message(2))
    file.rename(file.with_name("out.ndjson.1"))
    await sender.send(OUT, message(3))
    assert await sender.send(OUT, replace(message(2, attempt=2), position=position)) == DELIVERED
    assert lines(file) == [message(3).payload]


async def test_retry_after_the_first_file_was_renamed_finds_the_line(
    sender: FileSender, file: Path
) -> None:
    """The file did not exist when the first attempt began."""
    position = await sender.position(OUT)
    await sender.send(OUT, message(2))
    file.rename(file.with_name("out.ndjson-20261127"))
    assert await sender.send(OUT, replace(message(2, attempt=2), position=position)) == DELIVERED
    assert not file.exists() or lines(file) == []


async def test_retry_after_the_file_was_copied_and_truncated_finds_the_line(
    sender: FileSender, file: Path
) -> None:
    await sender.send(OUT, message(1))
    position = await sender.position(OUT)
    await sender.send(OUT, message(2))
    shutil.copy(file, file.with_name("out.ndjson.1"))
    os.truncate(file, 0)
    assert await sender.send(OUT, replace(message(2, attempt=2), position=position)) == DELIVERED
    assert lines(file) == []


async def test_line_before_the_position_of_a_truncated_file_is_found(
    sender: FileSender, file: Path
) -> None:
    """The file was truncated before attempt 1 wrote, and has grown beyond the position since."""
    _append_foreign(file, 1)
    position = await sender.position(OUT)
    os.truncate(file, 0)
    await sender.send(OUT, message(2))
    _append_foreign(file, 3)
    assert await sender.send(OUT, replace(message(2, attempt=2), position=position)) == DELIVERED
    assert file.read_bytes().count(message(2).payload) == 1


async def test_retry_without_a_written_line_writes_it_in_the_new_file(
    sender: FileSender, file: Path
) -> None:
    await sender.send(OUT, message(1))
    position = await sender.position(OUT)
    file.rename(file.with_name("out.ndjson.1"))
    assert await sender.send(OUT, replace(message(2, attempt=2), position=position)) == DELIVERED
    assert lines(file) == [message(2).payload]


async def test_every_attempt_searches_from_the_end_before_the_first_one(
    sender: FileSender, file: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has the size of the file when the first attempt began."""
    attempts: list[Message] = []

    async def send(to: Destination, message: Message) -> AttemptResult:
        attempts.append(message)
        result = await append(to, message)
        return AttemptResult(AttemptStatus.FAILED, "") if len(attempts) == 1 else result

    append = sender.send
    monkeypatch.setattr(sender, "send", send)
    _append_foreign(file, 1)
    before = FilePosition.of_end(file)
    to = destination(NdjsonFile("out.ndjson"))
    await ledger.define(to)
    (effect,) = await ledger.add([change(1)], to)
    async with ledger.dispatching(senders={NdjsonFile: sender}):
        await ledger.all_are(DeliveryState.DELIVERED)
    positions = [FilePosition.from_bytes(each.position) for each in attempts]
    assert [(p.size, p.anchor) for p in positions] == [(before.size, before.anchor)] * 2
    assert (await ledger.row(effect))["channel_position"] == attempts[0].position
    assert file.read_bytes().count(attempts[0].payload) == 1


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("start", [0, 1, 5, 40])
def test_every_line_of_a_range_is_found_for_any_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, start: int
) -> None:
    monkeypatch.setattr(written_lines, "CHUNK_BYTES", chunk)
    content = [b"short", b"", b"x" * 100, b"wanted-1", b"prefix wanted-1", b"wanted-2 more", b"end"]
    file = tmp_path / "f"
    file.write_bytes(b"\n".join(content))
    wanted = [b"wanted-1", b"wanted-2", b"end", b"x", b"short"]
    found = WrittenLines(file, wanted, [FilePosition(start, 0.0, _anchor(file, start)).to_bytes()])
    with file.open("rb") as opened:
        found.search(opened.fileno())
    assert found.found == {b"wanted-1", b"end"} | ({b"short"} if start == 0 else set())


def _anchor(file: Path, size: int) -> bytes:
    return blake2b(file.read_bytes()[:size], digest_size=16).digest()


def _append_foreign(file: Path, megabytes: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as foreign:
        for _ in range(megabytes):
            foreign.write(secrets.token_bytes(1 << 19).hex().encode() + b"\n")
