"""Checks that the page of the data model lists exactly the tables that the migrations create."""

from __future__ import annotations

import re

from architecture.source_tree import source, under

FOLDERS = ("migrations", "state")


def created() -> set[tuple[str, str]]:
    """Return service and table of every CREATE TABLE that no later migration drops."""
    found: set[tuple[str, str]] = set()
    for file in under("services", suffix=".sql"):
        service, folder = file.path.split("/")[1], file.path.split("/")[-2]
        if folder in FOLDERS:
            for verb, table in re.findall(r"^(CREATE|DROP) TABLE (\w+)", file.text, re.MULTILINE):
                (found.add if verb == "CREATE" else found.discard)((service, table))
    return found


def test_page_of_the_data_model_lists_every_table_and_no_other() -> None:
    page = source("docs/data-model.md").text
    listed = re.findall(r"^### (\w+): (\w+)$", page, re.MULTILINE)
    assert len(created()) > 20
    assert set(listed) == created()
    assert len(listed) == len(set(listed))


def test_every_table_of_the_page_has_a_meaning_a_writer_and_columns() -> None:
    sections = source("docs/data-model.md").text.split("\n### ")[1:]
    for section in sections:
        title, meaning, origin, columns, *_ = section.split("\n\n")
        assert meaning.endswith((".", ")")), title
        assert re.search(r"^Written by \[`", origin, re.MULTILINE), title
        assert re.search(r"`\w+` \w+", columns), title
