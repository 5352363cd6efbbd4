"""The page of the rooms: every file of the services, by the first line of its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FLOORS = (
    *("ingest", "identity", "profile", "segment", "activation"),
    *("matching", "chassis", "kernel", "cli"),
)

HEAD = """\
# Every room

Generated from the docstrings by `python docs/reference/generate.py`; do not edit. To see how the
rooms work together, take [the tour](../tour.md).
"""


def page() -> str:
    """The text of the page."""
    return "\n".join([HEAD, *(line for floor in FLOORS for line in _floor(floor))]) + "\n"


def _floor(name: str) -> Iterator[str]:
    folder = ROOT / "services" / name
    files = sorted(p for p in folder.rglob("*.py") if p.name not in ("__init__.py", "__main__.py"))
    for room, inside in groupby(
        sorted(files, key=lambda p: (p.parent, p.name)), lambda p: p.parent
    ):
        path = room.relative_to(ROOT)
        yield f"\n## {path}\n\n{_first_line(room / '__init__.py')}\n\n| file | |\n|---|---|"
        for file in inside:
            yield f"| [`{file.name}`](../../{path}/{file.name}) | {_first_line(file)} |"


def _first_line(file: Path) -> str:
    told = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return told.partition("\n")[0].replace("::", ":").replace("|", "\\|")
