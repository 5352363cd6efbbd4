"""Generates the page of metrics from the calls that create them."""

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

Every service serves its metrics in the text format of Prometheus at `/metrics` of its internal HTTP
endpoint. `<service>` is the name of the service. Counters end in `_total`; histograms have
`_bucket`, `_sum` and `_count`. See [how to observe a system](../how-to/observe.md).

| name | kind | labels | meaning |
|---|---|---|---|
"""


class Metric(NamedTuple):
    """One metric as the code creates it."""

    name: str
    kind: str
    labels: str
    meaning: str


def page() -> str:
    """Return the text of the page."""
    metrics = sorted({metric for file in _files() for metric in _metrics(file)})
    rows = (f"| `{m.name}` | {m.kind} | {m.labels} | {m.meaning} |" for m in metrics)
    return HEAD + "\n".join(rows) + "\n"


def _files() -> list[Path]:
    return sorted((ROOT / "services").rglob("*.py"))


def _metrics(file: Path) -> Iterator[Metric]:
    folder = file.relative_to(ROOT / "services").parts[0]
    service = folder if folder in SERVICES else "<service>"
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(attr=kind)) if kind in KINDS:
                prefix = f"onefold_{service}_"
            case ast.Call(func=ast.Name(id=name)) if name.lower() in KINDS:
                kind, prefix = name.lower(), ""
            case _:
                continue
        texts = _texts(node.args)
        if len(texts) == 2:
            suffix = "_total" if kind == "counter" else ""
            yield Metric(f"{prefix}{texts[0]}{suffix}", kind, _labels(node), texts[1])


def _labels(call: ast.Call) -> str:
    lists = [a for a in (*call.args, *(k.value for k in call.keywords)) if isinstance(a, ast.List)]
    names = [name for found in lists for name in _texts(found.elts)]
    return ", ".join(f"`{name}`" for name in names)


def _texts(nodes: list[ast.expr]) -> list[str]:
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
