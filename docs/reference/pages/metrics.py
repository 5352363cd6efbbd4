"""The page of the metrics, from the calls that make them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("counter", "gauge", "histogram")
SERVICES = ("ingest", "identity", "profile", "segment", "activation")

HEAD = """\
# Metrics

Generated from the code by `python docs/reference/generate.py`; do not edit.

Every service tells its metrics in the text format of Prometheus at `/metrics` of its HTTP door.
`<service>` is the service's name. Counters end in `_total`; histograms have `_bucket`, `_sum` and
`_count`. See [how to watch a system](../how-to/observe.md).

| name | kind | labels | meaning |
|---|---|---|---|
"""


class Metric(NamedTuple):
    """One metric as the code makes it."""

    name: str
    kind: str
    labels: str
    meaning: str


def page() -> str:
    """The text of the page."""
    rows = sorted({metric for file in _files() for metric in _metrics(file)})
    told = (f"| `{m.name}` | {m.kind} | {m.labels} | {m.meaning} |" for m in rows)
    return HEAD + "\n".join(told) + "\n"


def _files() -> list[Path]:
    return sorted((ROOT / "services").rglob("*.py"))


def _metrics(file: Path) -> Iterator[Metric]:
    room = file.relative_to(ROOT / "services").parts[0]
    service = room if room in SERVICES else "<service>"
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        texts = _texts(node.args)
        if node.func.attr in KINDS and len(texts) == 2:
            end = "_total" if node.func.attr == "counter" else ""
            name = f"onefold_{service}_{texts[0]}{end}"
            yield Metric(name, node.func.attr, _labels(node), texts[1])


def _labels(call: ast.Call) -> str:
    lists = [a for a in (*call.args, *(k.value for k in call.keywords)) if isinstance(a, ast.List)]
    names = [name for found in lists for name in _texts(found.elts)]
    return ", ".join(f"`{name}`" for name in names)


def _texts(nodes: list[ast.expr]) -> list[str]:
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
