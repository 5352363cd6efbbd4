"""Parses a page of metrics strictly, and compares it with the reference."""

from __future__ import annotations

import re
from collections import Counter

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from docs.reference.pages.metrics import rows

#: What the library of the metrics measures about the process itself.
_PROCESS = ("process_", "python_")
#: The bucket of a histogram, and the process where a service has several.
_UNLISTED = frozenset({"le", "process"})
_TYPES = re.compile(r"^# TYPE (\S+)", re.MULTILINE)


def parse_metrics(text: str) -> dict[str, Metric]:
    """Return the families of a page by name.

    Raises ValueError where a family or a sample is there twice, or a family has no type or no help:
    a server that scrapes such a page may refuse all of it.
    """
    families = list(text_string_to_metric_families(text))
    samples = [(s.name, *sorted(s.labels.items())) for f in families for s in f.samples]
    names = [family.name for family in families]
    for found in (names, samples, _TYPES.findall(text)):
        if twice := [each for each, number in Counter(found).items() if number > 1]:
            raise ValueError(f"twice on the page: {twice}")
    for family in families:
        if family.type == "unknown" or not family.documentation:
            raise ValueError(f"no type or no help: {family.name}")
    return {family.name: family for family in families}


def undocumented(service: str, text: str) -> list[str]:
    """Return the metrics on the page of a running service that the reference lacks or describes
    otherwise."""
    shown = {row.name.replace("<service>", service): row for row in rows()}
    found = []
    for family in parse_metrics(text).values():
        if family.name.startswith(_PROCESS):
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        row = shown.get(name)
        labels = {label for sample in family.samples for label in sample.labels} - _UNLISTED
        if row is None or (row.kind, row.meaning) != (family.type, family.documentation):
            found.append(name)
        elif labels and labels != set(re.findall(r"`(\w+)`", row.labels)):
            found.append(f"{name}: labels {sorted(labels)}")
    return found


def never_served(pages: dict[str, str]) -> list[str]:
    """Return the documented metrics that no page has; `pages` has the text by service."""
    served = {
        family.name.replace(f"onefold_{service}_", "onefold_<service>_", 1)
        for service, text in pages.items()
        for family in parse_metrics(text).values()
    }
    served |= {name for text in pages.values() for name in parse_metrics(text)}
    return [row.name for row in rows() if row.name.removesuffix("_total") not in served]
