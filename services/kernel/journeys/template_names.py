"""Reads the names by which steps name templates: `ID`, or `ID@VERSION`."""

from __future__ import annotations


def pinned_version(name: str) -> tuple[str, int]:
    """Return the id and the version of `ID@VERSION`; the version is 0 where the newest counts."""
    id_, _, version = name.rpartition("@")
    is_pinned = bool(id_) and version.isascii() and version.isdigit() and len(version) < 10
    return (id_, int(version)) if is_pinned and int(version) else (name, 0)


def template_id_of(name: str) -> str:
    """Return the id in the name of a template."""
    return pinned_version(name)[0]
