"""Tests the file of the members of a segment: what its cells are, and what a failure leaves."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onefold.profile.v1.profile_service_pb2 import BatchGetProfilesResponse, Profile
from onefold.segment.v1.segment_service_pb2 import ListMembersResponse, ListSegmentsResponse

from services.cli.commands.exports import export_segment
from services.cli.files.mapping import read_mapping
from services.cli.files.rows import RowFile
from services.kernel.errors import InvalidField, RetryableError

NAMES = (
    "王芳",
    "-12.5",
    "=1+1",
    "+8613800000001",
    '@SUM("a")',
    "＝1+1",
    "＠x",
    " =1",
    "\t=1",
    "'00123",
    "`5",
    "'tis",
    '="1"',
)


def client_of(names: Sequence[str], *, pages: int = 1) -> Any:
    """Return a client of a segment `all` with a member for each name, whose last page fails."""
    profiles = [
        Profile(
            profile_id=f"{n:032x}", traits=[{"name": "name", "value": json.dumps(name).encode()}]
        )
        for n, name in enumerate(names)
    ]

    async def list_segments(request: Any) -> Any:
        return ListSegmentsResponse(segments=[{"segment": {"segment_id": "all"}}])

    async def list_members(request: Any) -> Any:
        if request.page_token:
            raise RetryableError("the service is away")
        members = [{"profile_id": profile.profile_id} for profile in profiles]
        return ListMembersResponse(members=members, next_page_token="more" if pages > 1 else "")

    async def batch_get(request: Any) -> Any:
        return BatchGetProfilesResponse(profiles=profiles)

    return SimpleNamespace(
        segment=SimpleNamespace(ListSegments=list_segments, ListMembers=list_members),
        profile=SimpleNamespace(BatchGetProfiles=batch_get),
    )


async def test_exported_texts_are_no_formulas_and_are_imported_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    await export_segment(client_of(NAMES), "all", file, (), ("name",))
    with file.open(newline="", encoding="utf-8-sig") as opened:
        cells = [row["name"] for row in csv.DictReader(opened)]
    for cell in cells:
        assert cell.startswith('="') or cell.strip()[0] not in "=+@＝＠"
    mapping = read_mapping(
        {
            "type": "identify",
            "identifiers": {"user_id": {"column": "profile_id"}},
            "traits": {"name": {"column": "name"}},
        }
    )
    rows = [row.row for row in RowFile(file, mapping)]
    events = [mapping.to_event(row, str) for row in rows if row is not None]
    # An import removes spaces at the ends of texts.
    assert [json.loads(event.traits)["name"] for event in events] == [n.strip() for n in NAMES]


async def test_export_that_fails_midway_leaves_the_earlier_file_and_no_other(
    tmp_path: Path,
) -> None:
    file = tmp_path / "all.csv"
    file.write_text("earlier")
    with pytest.raises(RetryableError):
        await export_segment(client_of(NAMES, pages=2), "all", file, (), ("name",))
    assert [each.name for each in tmp_path.iterdir()] == ["all.csv"]
    assert file.read_text() == "earlier"


@pytest.mark.parametrize("name", [".", "folder", "no/such/file.csv"])
async def test_export_that_cannot_be_written_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidField, match="cannot be written"):
        await export_segment(client_of(NAMES), "all", Path(name), (), ("name",))
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
