"""Generates the page of modules: every file of services/ with the first line of its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
#: Folders that come first, in the order in which an event passes them; the others follow by name.
FIRST = ("ingest", "identity", "profile", "segment", "activation")

HEAD = """\
# Modules

Generated from the docstrings by `python docs/reference/generate.py`; do not edit.
[The tour](../tour.md) shows how the modules work together.
"""


def page() -> str:
    """Return the text of the page."""
    found = sorted(f.parent.name for f in (ROOT / "services").glob("*/__init__.py"))
    folders = [*FIRST, *(name for name in found if name not in FIRST)]
    return "\n".join([HEAD, *(line for name in folders for line in _folder(name))]) + "\n"


def _folder(name: str) -> Iterator[str]:
    files = [
        path
        for path in (ROOT / "services" / name).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    ]
    by_package = sorted(files, key=lambda path: (path.parent, path.name))
    for package, modules in groupby(by_package, lambda path: path.parent):
        path = package.relative_to(ROOT)
        summary = _first_line(package / "__init__.py")
        yield f"\n## {path}\n\n{summary}\n\n| module | |\n|---|---|"
        for module in modules:
            yield f"| [`{module.name}`](../../{path}/{module.name}) | {_first_line(module)} |"


def _first_line(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("::", ":").replace("|", "\\|")
