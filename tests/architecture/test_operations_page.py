"""Checks that names on the page of operations exist: log events, metrics, reasons, settings."""

from __future__ import annotations

import re

from architecture.source_tree import message, source, under

PAGES = ("docs/operations.md", "docs/how-to/observe.md")


def test_names_on_the_pages_of_operations_exist() -> None:
    code = "\n".join(file.text for file in under("services"))
    code += source("docs/reference/metrics.md").text + source("docs/reference/settings.md").text
    found = [
        f"{page}: {name}"
        for page in PAGES
        for name in re.findall(r"`(?:onefold_<service>_)?(\w+_\w+)(?:=\w+)?`", source(page).text)
        if name not in code
    ]
    assert not found, message(found, "a name that does not exist")
