"""What is installed is what the locks say, and nothing else: so a lock names all that is needed."""

from __future__ import annotations

import re
from importlib.metadata import requires

import pytest
from architecture.source_tree import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINNED = re.compile(r"^[A-Za-z0-9._-]+.*==[^\\\n]+", re.MULTILINE)


def locked(*locks: str) -> set[str]:
    """The packages that these locks install on this machine."""
    texts = [(ROOT / lock).read_text(encoding="utf-8") for lock in locks]
    lines = [Requirement(line.strip()) for text in texts for line in PINNED.findall(text)]
    return {canonicalize_name(r.name) for r in lines if not r.marker or r.marker.evaluate()}


@pytest.mark.parametrize(
    "locks",
    [
        ("requirements.lock",),
        ("requirements-test.lock",),
        ("requirements-linkage.lock", "requirements.lock"),
    ],
    ids="+".join,
)
def test_locks_name_all_that_is_needed(locks: tuple[str, ...]) -> None:
    present = locked(*locks)
    assert len(present) > 50
    asked = [(name, "") for name in present]
    seen = set(asked)
    missing = set()
    while asked:
        name, extra = asked.pop()
        for told in requires(name) or ():
            needed = Requirement(told)
            if needed.marker and not needed.marker.evaluate({"extra": extra}):
                continue
            depended = canonicalize_name(needed.name)
            if depended not in present:
                missing.add(f"{name} needs {needed}")
                continue
            more = {(depended, extra) for extra in needed.extras} - seen
            seen |= more
            asked += more
    assert not missing
