"""Reads the description of a database to pull from, in its form in YAML."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from services.cli.files.mapping import FileMapping, read_mapping
from services.cli.values import mapping, text
from services.kernel.errors import InvalidField
from services.kernel.time import MINUTE_US, parse_span

#: What reads the databases of a URL, by its scheme.
SCHEMES = {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql", "mariadb": "mysql"}
#: What a read goes back behind the last one, for rows that were committed late.
DEFAULT_OVERLAP_US, DEFAULT_OVERLAP = 10 * MINUTE_US, 1_000
_KEYS = {"name", "url", "table", "query", "cursor", "key", "overlap", "mapping"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class DatabaseSource:
    """Rows of a database that become events."""

    #: It is a part of the message ids, so that equal rows of two tables are two events.
    name: str
    #: With the password.
    url: str
    #: `schema.table`, or empty.
    table: str
    #: A SELECT statement, or empty.
    query: str
    #: The column that grows with every new or changed row.
    cursor: str
    #: The columns that identify a row.
    key: tuple[str, ...]
    #: What a read goes back, where the cursor is a time (microseconds) and where it is a number.
    overlap_us: int
    overlap: int
    mapping: FileMapping

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        return tuple(dict.fromkeys((self.cursor, *self.key, *self.mapping.columns)))

    @property
    def engine(self) -> str:
        """`postgres` or `mysql`."""
        return SCHEMES[urlsplit(self.url).scheme]

    def origin(self, quote: Callable[[str], str]) -> str:
        """Return what stands behind FROM; `quote` quotes a name."""
        if self.query:
            # A comment at the end of the query must not hide the parenthesis.
            return f"({self.query.strip().rstrip(';')}\n) AS pulled"
        return ".".join(map(quote, self.table.split(".")))


def read_database_form(form: Any, secret_of: Callable[[str], str]) -> DatabaseSource:
    """Return what a YAML document describes. Raises InvalidField, which names the path.

    `secret_of` returns the value of a variable of the environment; empty where it is not set.
    """
    values = mapping(form, "", _KEYS)
    name = _required(values, "name")
    if not _NAME.fullmatch(name):
        raise _wrong("name", "write small letters, digits, - and _")
    if ("table" in values) == ("query" in values):
        raise _wrong("table", "write either a table or a query")
    origin = "table" if "table" in values else "query"
    overlap_us, overlap = _overlap(values)
    return DatabaseSource(
        name=name,
        url=_url(_required(values, "url"), secret_of),
        table=_required(values, "table") if origin == "table" else "",
        query=_required(values, "query") if origin == "query" else "",
        cursor=_required(values, "cursor"),
        key=_key(values.get("key")),
        overlap_us=overlap_us,
        overlap=overlap,
        mapping=_mapping(values.get("mapping")),
    )


def _required(values: dict[str, Any], key: str) -> str:
    try:
        return text(values, key, "", required=True)
    except InvalidField:
        raise _wrong(key, "write a text") from None


def _url(form: str, secret_of: Callable[[str], str]) -> str:
    found = _VARIABLE.fullmatch(form)
    url = secret_of(found[1]) if found else form
    if not url and found:
        raise _wrong("url", f"set the variable {found[1]}, or {found[1]}_FILE, to the URL")
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        has_port = False
    if not has_port or parts.scheme not in SCHEMES or not parts.hostname:
        raise _wrong("url", "write a URL such as postgresql://reader@host:5432/shop, or mysql://…")
    if parts.password and not found:
        raise _wrong("url", "a password does not belong in a file: write ${NAME} for the whole URL")
    return url


def _key(form: Any) -> tuple[str, ...]:
    columns = [form] if isinstance(form, str) else form
    if not isinstance(columns, list) or not columns or not all(map(_is_text, columns)):
        raise _wrong("key", "name the column that identifies a row, or a list of columns")
    return tuple(columns)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _overlap(values: dict[str, Any]) -> tuple[int, int]:
    form = values.get("overlap")
    if form is None:
        return DEFAULT_OVERLAP_US, DEFAULT_OVERLAP
    if isinstance(form, int) and not isinstance(form, bool) and 0 <= form < 2**31:
        return DEFAULT_OVERLAP_US, form
    try:
        return parse_span(form), DEFAULT_OVERLAP
    except (ValueError, TypeError):
        raise _wrong("overlap", "write a span such as 10m, or a whole number") from None


def _mapping(form: Any) -> FileMapping:
    try:
        found = read_mapping(form)
        for key in (*found.layout.stated, *(("encoding",) if found.encoding else ())):
            raise InvalidField("a database has none: remove it", field=key)
    except InvalidField as error:
        path = f"mapping.{error.field}" if error.field else "mapping"
        raise _wrong(path, error.message) from None
    return found


def _wrong(path: str, advice: str) -> InvalidField:
    return InvalidField(f"{path}: {advice}", field=path)
