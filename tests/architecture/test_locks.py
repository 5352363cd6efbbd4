"""Checks that the locks name every package that the installed packages need."""

from __future__ import annotations

import re
from importlib.metadata import requires

import pytest
from architecture.source_tree import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINNED = re.compile(r"^[A-Za-z0-9._-]+.*==[^\\\n]+", re.MULTILINE)


def locked(*locks: str) -> set[str]:
    """Return the packages that the locks install on this machine."""
    texts = [(ROOT / lock).read_text(encoding="utf-8") for lock in locks]
    lines = [Requirement(line.strip()) for text in texts for line in PINNED.findall(text)]
    return {canonicalize_name(r.name) for r in lines if not r.marker or r.marker.evaluate()}


@pytest.mark.parametrize(
    "locks",
    [
        ("requirements.lock",),
        ("requirements-test.lock",),
        ("requirements-linkage.lock", "requirements.lock"),
        ("requirements-spark.lock", "requirements.lock"),
    ],
    ids="+".join,
)
def test_locks_name_every_dependency(locks: tuple[str, ...]) -> None:
    if "requirements-spark.lock" in locks:
        pytest.importorskip("pyspark", reason="the packages of requirements-spark.lock are absent")
    present = locked(*locks)
    assert len(present) > 50
    pending = [(name, "") for name in present]
    seen = set(pending)
    missing = set()
    while pending:
        name, extra = pending.pop()
        for line in requires(name) or ():
            needed = Requirement(line)
            if needed.marker and not needed.marker.evaluate({"extra": extra}):
                continue
            depended = canonicalize_name(needed.name)
            if depended not in present:
                missing.add(f"{name} needs {needed}")
                continue
            more = {(depended, extra) for extra in needed.extras} - seen
            seen |= more
            pending += more
    assert not missing
