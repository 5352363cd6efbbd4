"""Generate the reference: `python docs/reference/generate.py [--check]`.

`--check` writes nothing and fails if a page is not what the code says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from docs.reference.pages import api, commands, metrics, rooms, settings

HERE = Path(__file__).resolve().parent
PAGES: dict[str, Callable[[], str]] = {
    "api.md": api.page,
    "commands.md": commands.page,
    "metrics.md": metrics.page,
    "rooms.md": rooms.page,
    "settings.md": settings.page,
}


def stale() -> list[str]:
    """The pages that are not what the code says."""
    return [name for name, page in PAGES.items() if _text(HERE / name) != page()]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


if __name__ == "__main__":
    old = stale()
    if "--check" in sys.argv:
        for name in old:
            print(f"stale: docs/reference/{name} (python docs/reference/generate.py)")
        raise SystemExit(1 if old else 0)
    for name in old:
        (HERE / name).write_text(PAGES[name](), encoding="utf-8")
