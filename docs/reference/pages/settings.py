"""Generates the page of settings from the `#:` comment above each."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.chassis.runtime.secret_files import SUFFIX, is_secret
from services.chassis.runtime.settings import ProcessSettings, ServiceSettings
from services.devstack.ports import DEFAULT_PORTS, FIRST_PORT_VARIABLE, SERVER_NAMES, port_variable

ROOT = Path(__file__).resolve().parents[3]

HEAD = """\
# Settings

Generated from the settings of the services by `python docs/reference/generate.py`; do not edit.

Services read their settings from the environment. Each setting has two names:
`ONEFOLD_<SERVICE>_<NAME>` for one service and `ONEFOLD_<NAME>` for all services; the first has
precedence. A secret may stand in a file, which `ONEFOLD_<NAME>_FILE` or
`ONEFOLD_<SERVICE>_<NAME>_FILE` names; setting both the secret and its file is an error.
`ONEFOLD_LOG_LEVEL=debug` sets the level of every service,
`ONEFOLD_PROFILE_LOG_LEVEL=debug` that of profile. A service with an invalid setting exits with
code 2 and a line that names it. `./onefold up` sets everything that is required.
"""


PORTS = f"""\
## Ports of `./onefold up`

All servers listen on 127.0.0.1. A port that is set must be free. Otherwise a server has its port of
the last start, else the default one, else a free one; `up` prints a notice where a port is in use.
`{FIRST_PORT_VARIABLE}` (or `--first-port`) sets consecutive ports from one on, in the order of this
table; `0` means free ones.

| name | default |
|---|---|"""


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD, _section("Every service", ServiceSettings, "ONEFOLD_")]
    for kind in _kinds():
        if own := _own(kind):
            prefix = f"ONEFOLD_{kind.service.upper()}_"
            parts.append(_section(kind.service.capitalize(), kind, prefix, own))
    return "\n".join([*parts, PORTS, *_port_rows()])


def _port_rows() -> Iterator[str]:
    for name in SERVER_NAMES:
        yield f"| `{port_variable(name)}` | `{DEFAULT_PORTS[name]}` |"
    yield ""


def _kinds() -> Iterator[type[ProcessSettings]]:
    for file in sorted((ROOT / "services").glob("*/settings.py")):
        module = importlib.import_module(f"services.{file.parent.name}.settings")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, ProcessSettings) and kind not in (ProcessSettings, ServiceSettings):
                yield kind


def _own(kind: type[ProcessSettings]) -> list[str]:
    return [name for name in kind.__annotations__ if name in kind.model_fields]


def _section(
    title: str, kind: type[ProcessSettings], prefix: str, names: list[str] | None = None
) -> str:
    comments = _comments(kind)
    rows = ["| name | default | meaning |", "|---|---|---|"]
    for name in names or list(kind.model_fields):
        default = _default(kind.model_fields[name])
        variable = f"`{prefix}{name.upper()}`"
        if is_secret(kind.model_fields[name]):
            variable += f", `{prefix}{name.upper()}{SUFFIX}`"
        rows.append(f"| {variable} | {default} | {comments[name]} |")
    return f"## {title}\n\n" + "\n".join(rows) + "\n"


def _comments(kind: type[ProcessSettings]) -> dict[str, str]:
    """Return the `#:` lines above each field, by field; also of the classes that it extends."""
    comments: dict[str, str] = {}
    lines: list[str] = []
    extended = [each for each in reversed(kind.__mro__) if issubclass(each, ProcessSettings)]
    for line in "\n".join(map(inspect.getsource, extended)).splitlines():
        if comment := re.fullmatch(r"    #: ?(.*)", line):
            lines.append(comment[1])
            continue
        if field := re.match(r"    (\w+):", line):
            comments[field[1]] = " ".join(lines).replace("|", "\\|")
        lines = []
    return comments


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value == "" or isinstance(value, SecretStr):
        return ""
    return f"`{value}`"
