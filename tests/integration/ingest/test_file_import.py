"""Tests the import of files: rejections by line, and a second run that changes nothing."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from services.cli.commands.imports import import_file
from services.kernel.errors import InvalidField, NotAllowed

MAPPING = """
event: {column: what}
time: {column: when, zone: "+08:00"}
identifiers: {phone: {column: phone}}
properties:
  amount: {column: amount, type: integer}
  run: {column: run}
"""


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.yaml"
    file.write_text(MAPPING)
    return file


def rows(run: str, count: int) -> list[str]:
    return [
        f"Bought,2026-11-{n % 20 + 1:02} 08:00:00,1381013{n:04},{n},{run}" for n in range(count)
    ]


def write(file: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    file.write_bytes("\n".join(["what,when,phone,amount,run", *lines, ""]).encode(encoding))
    return file


def address(endpoints: Any) -> str:
    return f"127.0.0.1:{endpoints.service.grpc_port}"


async def test_second_import_of_a_file_accepts_only_new_rows(
    endpoints: Any, mapping: Path, tmp_path: Path
) -> None:
    run = uuid.uuid4().hex
    lines = rows(run, 1_203)
    lines += lines[:2]  # the same purchase again: two more events
    file = write(tmp_path / "crm.csv", lines)
    steps: list[int] = []
    first = await import_file(file, mapping, address(endpoints), endpoints.key, steps.append)
    assert (first.accepted, first.duplicates, first.rejected) == (1_205, 0, 0)
    assert sum(steps) == 1_205
    renamed = write(tmp_path / "other.csv", [*lines, f"Bought,,13900139000,1,{run}"])
    again = await import_file(renamed, mapping, address(endpoints), endpoints.key)
    assert (again.accepted, again.duplicates, again.rejected) == (1, 1_205, 0)
    assert len(await endpoints.facts_with(run)) == 1_206


async def test_every_rejected_line_is_listed_with_its_reason(
    endpoints: Any, mapping: Path, tmp_path: Path
) -> None:
    run = uuid.uuid4().hex
    lines = rows(run, 10_000)
    lines[3] = f"Bought,2026-11-01 08:00:00,null,3,{run}"
    lines[10] = f"Bought,tomorrow,13800138001,3,{run}"
    lines[11] = f"Bought,2026-11-01 08:00:00,13800138001,much,{run}"
    lines[12] = "Bought"
    lines[600] = f",2026-11-01 08:00:00,13800138001,3,{run}"
    lines[601] = f"Bought,1970-01-01 08:00:00,13800138001,3,{run}"
    lines[9_999] = f"Bought,2026-11-01 08:00:00,???,3,{run}"
    file = write(tmp_path / "crm.csv", lines, "gb18030")
    report = await import_file(file, mapping, address(endpoints), endpoints.key)
    assert (report.accepted, report.rejected) == (9_993, 7)
    assert [(r.line, r.reason) for r in report.rejections] == [
        (5, "NO_IDENTIFIER"),
        (12, "TIME_INVALID"),
        (13, "VALUE_INVALID"),
        (14, "LINE_INVALID"),
        (602, "NAME_MISSING"),
        (603, "TIME_OUT_OF_RANGE"),
        (10_001, "NO_IDENTIFIER"),
    ]
    entries = [e for e in await quarantined(endpoints) if run.encode() in e.raw]
    assert {e.endpoint for e in entries} == {"file"}
    assert len(entries) == 4
    again = await import_file(file, mapping, address(endpoints), endpoints.key)
    assert (again.accepted, again.duplicates, again.rejected) == (0, 9_993, 7)


async def quarantined(endpoints: Any) -> list[Any]:
    from integration.ingest.ingest_endpoints import UNMASKED
    from onefold.ingest.v1.ingest_service_pb2 import ListQuarantinedRequest
    from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

    async with endpoints.channel(endpoints.admin_key) as peer:
        request = ListQuarantinedRequest(page_size=1000)
        listed = await IngestServiceStub(peer).ListQuarantined(request, metadata=[UNMASKED])
        return list(listed.entries)


async def test_json_lines_are_imported(endpoints: Any, tmp_path: Path) -> None:
    run = uuid.uuid4().hex
    (tmp_path / "m.yaml").write_text(
        "type: identify\nmessage_id: {column: id}\n"
        "identifiers: {member_id: {column: member.no}}\n"
        "traits: {name: {column: member.name}, run: {column: run}}\n"
    )
    file = tmp_path / "members.jsonl"
    file.write_text(
        f'{{"id":"{run}-1","run":"{run}","member":{{"no":"m-1","name":"韩梅梅"}}}}\n'
        f'{{"id":"{run}-2","run":"{run}","member":{{"no":7}}}}\n'
        "broken\n"
    )
    report = await import_file(file, tmp_path / "m.yaml", address(endpoints), endpoints.key)
    assert (report.accepted, report.rejected) == (2, 1)
    assert report.rejections[0].line == 3


async def test_import_with_an_invalid_key_or_mapping_fails(
    endpoints: Any, mapping: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "crm.csv", rows("x", 1))
    with pytest.raises(NotAllowed):
        await import_file(file, mapping, address(endpoints), "nonsense")
    mapping.write_text("event: [")
    with pytest.raises(InvalidField, match=r"mapping\.yaml"):
        await import_file(file, mapping, address(endpoints), endpoints.key)
