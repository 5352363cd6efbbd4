"""Generates the page of the data model from the migrations and the statements that write tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("chassis", "ingest", "identity", "profile", "segment", "activation")

HEAD = """\
# Data model

Generated from the migrations by `python docs/reference/generate.py`; do not edit.

Each service has a schema of its own in PostgreSQL, and reads no other schema. Tables of
`store/migrations/` lie in the schema of the service, such as `profile`, and last. Tables of
`store/state/` lie in the schema of a generation, such as `profile_g1`: a
[rebuild](how-to/rebuild.md) creates them again. The tables of the chassis exist in every service
that uses them. Every large table has the column `shard`.

No role that a service works with owns a table. The role for folds may write every table of its
service but `fact`, to which it may only add. The role for calls may do what `store/grants.sql` of
the service lists; in tables with the column `workspace_id` row-level security shows it the rows of
the caller's workspace.
"""

_TABLE = re.compile(
    r"((?:^--[^\n]*\n)*)\s*^CREATE TABLE (\w+) \(\n(.*?)^\)", re.MULTILINE | re.DOTALL
)
_ADDED = re.compile(r"((?:^--[^\n]*\n)*)^ALTER TABLE (\w+) ADD COLUMN ([^;]+);", re.MULTILINE)
_COLUMN = re.compile(r'^    "?([a-z_]+)"?\s+([a-z][\w\[\]() ]*?)(?=\s+[A-Z]|,|\s*$|\s*--)')
_VERBS = r"INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|COPY|copy_(?:records_)?to_table\("
_WRITES = rf"\b(?:{_VERBS})\W+(?:schema\W)?{{}}\b"


class Column(NamedTuple):
    """One column of a table."""

    name: str
    type: str
    meaning: str


class Table(NamedTuple):
    """One table of a migration."""

    name: str
    #: Relative to the root.
    file: Path
    meaning: str
    columns: list[Column]


def page() -> str:
    """Return the text of the page."""
    return "\n".join([HEAD, *(line for service in SERVICES for line in _service(service))])


def tables(service: str) -> list[Table]:
    """Return the tables of a service, in the order of its migrations."""
    files = [
        file
        for folder in ("migrations", "state")
        for file in sorted((ROOT / "services" / service).rglob(f"{folder}/*.sql"))
    ]
    found = {table.name: table for file in files for table in _tables(file)}
    for file in files:
        for comment, name, column in _ADDED.findall(file.read_text(encoding="utf-8")):
            found[name].columns.extend(_columns(f"{comment}    {column}"))
    return list(found.values())


def _tables(file: Path) -> Iterator[Table]:
    meaning = ""
    for comment, name, body in _TABLE.findall(file.read_text(encoding="utf-8")):
        # A table without a comment belongs to what the comment before describes.
        meaning = _prose(comment.partition("\n--\n")[0]) or meaning
        yield Table(name, file.relative_to(ROOT), meaning, list(_columns(body)))


def _service(service: str) -> Iterator[str]:
    yield f"\n## {service}"
    for table in tables(service):
        yield f"\n### {service}: {table.name}\n\n{table.meaning}\n"
        writers = ", ".join(f"[`{w}`](../services/{w})" for w in _writers(service, table.name))
        yield f"Defined in [`{table.file.parent.name}/{table.file.name}`](../{table.file})."
        yield f"Written by {writers}.\n"
        yield ", ".join(f"`{column.name}` {column.type}" for column in table.columns) + "\n"
        for column in table.columns:
            if column.meaning:
                yield f"* `{column.name}`: {column.meaning}"


def _columns(body: str) -> Iterator[Column]:
    comment: list[str] = []
    for line in body.splitlines():
        code, dashes, remark = line.partition("--")
        if dashes and not code.strip():
            comment.append(remark.strip())
            continue
        if found := _COLUMN.match(code):
            yield Column(found[1], found[2], _prose(" ".join([*comment, remark.strip()])))
        comment = []


def _prose(comment: str) -> str:
    return " ".join(comment.replace("--", " ").split())


def _writers(service: str, table: str) -> list[str]:
    """Return the modules with statements that write a table, relative to services/."""
    pattern = re.compile(_WRITES.format(f'"?{table}'))
    found = set()
    for file in (ROOT / "services" / service).rglob("*"):
        is_migration = file.parent.name in ("migrations", "state")
        if file.suffix not in (".py", ".sql") or is_migration:
            continue
        if pattern.search(file.read_text(encoding="utf-8")):
            module = file.with_suffix(".py")
            found.add((module if module.exists() else file).relative_to(ROOT / "services"))
    return sorted(str(path) for path in found)
