"""Tests what commands print to a file or a pipe, and what they say about identifiers."""

from __future__ import annotations

import io

import pytest
from onefold.segment.v1.segment_stream_pb2 import MembershipChange
from rich.console import Console

from services.cli import output
from services.cli.commands.profiles import add_changes
from services.client.text import parse_identifier
from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US, SECOND_US

LONG = "x" * 150
ROW = ("user_id:u-1", LONG, "a text with some words", 12)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.delenv("COLUMNS", raising=False)
    file = io.StringIO()
    monkeypatch.setattr(output.out, "console", Console(file=file, width=80, highlight=False))
    return file


def test_table_in_a_pipe_has_one_line_for_each_row(printed: io.StringIO) -> None:
    output.print_table(("id", "value", "title", "count"), [ROW] * 3)
    header, *rows = printed.getvalue().splitlines()
    assert header.split() == ["id", "value", "title", "count"]
    assert [row.split() for row in rows] == [" ".join(map(str, ROW)).split()] * 3


def test_tree_and_text_in_a_pipe_are_not_broken(printed: io.StringIO) -> None:
    output.out.print(output.Tree(f"profile {LONG} {LONG}"))
    output.out.print(f"{LONG} {LONG}")
    assert printed.getvalue().splitlines() == [f"profile {LONG} {LONG}", f"{LONG} {LONG}"]


def test_table_on_a_terminal_has_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(output.out, "console", console)
    output.print_table(("id", "value", "title", "count"), [ROW])
    assert max(map(len, file.getvalue().splitlines())) <= 80


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("li@example.cn", "email:li@example.cn"),
        ("+86 138-1234-5678", "phone:+86 138-1234-5678"),
        ("u-17", "user_id:u-17"),
        ("u12345678", "user_id:u12345678"),
    ],
)
def test_identifier_without_a_namespace_is_shown_with_the_probable_one(
    text: str, meant: str
) -> None:
    with pytest.raises(InvalidField) as raised:
        parse_identifier(text)
    assert str(raised.value) == f"{text}: write NAMESPACE:VALUE, such as {meant}"


def test_change_of_a_membership_names_its_event_where_that_was_long_before(
    printed: io.StringIO,
) -> None:
    at_us = 1_700_000_000_000_000
    old, new = (
        MembershipChange(segment_id=id_, entered=True, changed_at_us=at_us, occurred_at_us=own_us)
        for id_, own_us in (("old", at_us - 400 * DAY_US), ("new", at_us - SECOND_US))
    )
    tree = output.Tree("segments")
    add_changes(tree, [old, new])
    output.out.print(tree)
    _, first, second = printed.getvalue().splitlines()
    assert first.endswith("2023-11-14 22:13:20 entered old (by an event of 2022-10-10 22:13:20)")
    assert second.endswith("2023-11-14 22:13:20 entered new")
