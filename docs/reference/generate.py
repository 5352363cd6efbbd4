"""Generates the reference: `python docs/reference/generate.py [--check]`.

`--check` writes nothing and exits with 1 if a page is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from docs.reference.pages import api, commands, data_model, metrics, modules, openapi, settings

HERE = Path(__file__).resolve().parent
PAGES: dict[str, Callable[[], str]] = {
    "../data-model.md": data_model.page,
    "api.md": api.page,
    "commands.md": commands.page,
    "metrics.md": metrics.page,
    "modules.md": modules.page,
    "../../services/console/openapi.json": openapi.page,
    "settings.md": settings.page,
}


def stale() -> list[str]:
    """Return the names of the pages that differ from what the code gives."""
    return [name for name, page in PAGES.items() if _text(HERE / name) != page()]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


if __name__ == "__main__":
    outdated = stale()
    if "--check" in sys.argv:
        for name in outdated:
            print(f"stale: docs/reference/{name} (python docs/reference/generate.py)")
        raise SystemExit(1 if outdated else 0)
    for name in outdated:
        (HERE / name).write_text(PAGES[name](), encoding="utf-8")
