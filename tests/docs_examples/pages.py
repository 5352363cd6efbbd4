"""Reads the YAML examples of the documentation as packs."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from onefold.profile.v1.profile_facts_pb2 import ProfileSettingsDefined

from services.cli.definitions import Pack, read_pack

ROOT = Path(__file__).parents[2]
#: The pages whose examples are mappings of rows, and no packs.
NO_PACKS = {"import.md", "databases.md"}
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in [ROOT / "README.md", *(ROOT / "docs" / "how-to").glob("*.md")]
    if "```yaml" in page.read_text("utf-8") and page.name not in NO_PACKS
)
_YAML = re.compile(r"^```yaml\n(.*?)^```(?:\n+^```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """One block of YAML."""

    pack: Pack
    #: The settings that count for its rules: those of the page so far.
    settings: ProfileSettingsDefined
    #: The block of text that follows; empty = none.
    text: str


def examples_of(page: str) -> list[Example]:
    """Return the examples of a page in order, each with the settings before it."""
    found: list[Example] = []
    settings = ProfileSettingsDefined()
    for match in _YAML.finditer((ROOT / page).read_text("utf-8")):
        with TemporaryDirectory() as folder:
            (Path(folder) / "pack.yaml").write_text(match[1], "utf-8")
            pack = read_pack(Path(folder), {}, settings=settings)
        settings = pack.settings or settings
        found.append(Example(pack, settings, match[2] or ""))
    return found


def pack_of(page: str) -> Pack:
    """Return the tags, stages and segments of a page as one pack."""
    packs = [example.pack for example in examples_of(page)]
    return Pack(
        tags=[tag for pack in packs for tag in pack.tags],
        segments=[segment for pack in packs for segment in pack.segments],
    )
