"""Checks that the documents are fresh, complete and true to the code."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from architecture.source_tree import (
    ROOT,
    SERVICES,
    Source,
    message,
    must_pass,
    source,
    tracked,
    under,
)

from docs.reference.pages.metrics import rows
from services.chassis.runtime.settings import ServiceSettings
from services.cli.databases.form import read_database_form
from services.cli.files.mapping import read_mapping
from services.kernel.yaml_documents import parse_yaml

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$")
RPC = re.compile(r"^\s*rpc (\w+)", re.MULTILINE)


def pages() -> list[Source]:
    return [s for s in tracked() if s.path.endswith(".md")]


def test_generated_reference_is_fresh() -> None:
    must_pass("python", "docs/reference/generate.py", "--check")


def kinds() -> Iterator[type[ServiceSettings]]:
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.settings")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, ServiceSettings):
                yield kind


def test_every_setting_is_documented() -> None:
    rows = source("docs/reference/settings.md").lines
    shared = ServiceSettings.model_fields
    names = {f"ONEFOLD_{name.upper()}" for name in shared}
    for kind in kinds():
        own = kind.model_fields.keys() - shared.keys()
        names |= {f"ONEFOLD_{kind.service}_{name}".upper() for name in own}
    meant = {
        name.strip(" `"): row.split("|")[3].strip()
        for row in reversed(rows)
        if "|" in row
        for name in row.split("|")[1].split(",")
    }
    found = [name for name in sorted(names) if not meant.get(name)]
    assert not found, message(found, "a setting without a line of `#:` above it")


#: The modules that define metrics; the reference reads them.
METRICS = re.compile(r"services/(chassis/runtime/telemetry|\w+/projection/metrics)\.py")


def test_every_metric_has_one_name_and_is_defined_where_the_reference_reads_it() -> None:
    names = [row.name for row in rows()]
    assert len(names) == len(set(names)), "a metric would be on the page twice"
    found = [
        s.path
        for s in under("services")
        if re.search(r"^from prometheus_client import", s.text, re.MULTILINE)
        and re.search(r"\b(Counter|Gauge|Histogram|Summary|Info|Enum)\(\s*f?\"", s.text)
        and not METRICS.fullmatch(s.path)
    ]
    assert not found, message(found, "define metrics in a module that the reference reads")


def test_every_rpc_is_documented() -> None:
    page = source("docs/reference/api.md").text
    calls = [
        (s.path, name) for s in under("protos", suffix=".proto") for name in RPC.findall(s.text)
    ]
    found = [
        f"{path} {name}"
        for path, name in calls
        if not re.search(rf"^\| `{name}` \|.*\| [^|]+ \|$", page, re.MULTILINE)
    ]
    assert calls
    assert not found, message(found, "an rpc that the reference does not describe")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.path)
def test_links_have_a_target(page: Source) -> None:
    found = []
    for number, line in enumerate(page.lines, 1):
        for target in LINK.findall(line):
            if "://" not in target and not has_target(page, target):
                found.append(f"{page.path}:{number} {target}")
    assert not found, message(found, "a link without a target")


def has_target(page: Source, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (ROOT / page.path).parent / path if path else ROOT / page.path
    if not file.exists():
        return False
    if not anchor:
        return True
    if line := re.fullmatch(r"L(\d+)(?:-L\d+)?", anchor):
        return int(line[1]) <= len(file.read_text("utf-8").splitlines())
    return anchor in anchors(file)


def anchors(file: Path) -> set[str]:
    headings = (HEADING.match(line) for line in file.read_text("utf-8").splitlines())
    return {slug(found[1]) for found in headings if found}


def slug(heading: str) -> str:
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def test_functions_of_the_tour_exist() -> None:
    """`path.py` `name` in the tour: the file must define that name."""
    page = source("docs/tour.md")
    named = re.findall(r"\[`([\w.]+)`\]\(\.\./([\w/]+\.py)\)", page.text)
    found = [f"{name} in {path}" for name, path in named if not defines(path, name)]
    assert len(named) > 20, "the tour follows functions"
    assert not found, message(found, "the tour names a function that does not exist")


def defines(path: str, name: str) -> bool:
    text = source(path).text
    return all(
        re.search(rf"^\s*(?:async )?(?:def|class) {part}\b", text, re.MULTILINE)
        for part in name.split(".")
    )


def test_every_module_of_the_services_is_listed() -> None:
    """The list of modules is generated from docstrings, so each module has one."""
    page = source("docs/reference/modules.md").text
    found = [
        s.path
        for s in under("services")
        if not s.path.endswith(("__init__.py", "__main__.py"))
        and not re.search(rf"\(\.\./\.\./{re.escape(s.path)}\) \| [^|]+ \|", page)
    ]
    assert not found, message(found, "a module without a docstring")


@pytest.mark.parametrize("service", SERVICES)
def test_tour_passes_through_every_service(service: str) -> None:
    page = source("docs/tour.md").text
    parts = [f"services/{service}/{part}" for part in ("projection/", "domain/", "codec/")]
    assert [part for part in parts if part not in page] == []


def test_decision_records_are_numbered_and_have_one_form() -> None:
    found = sorted(s.path for s in under("docs/decisions", suffix=".md") if "/00" in s.path)
    numbers = [int(Path(path).name[:4]) for path in found]
    assert numbers == list(range(1, len(found) + 1))
    for path in found:
        page = source(path)
        assert re.match(r"# \d+\. \S", page.text), path
        headings = [line for line in page.lines if line.startswith("## ")]
        assert headings == ["## Question", "## Decision", "## Consequences"], path
        assert Path(path).name in source("docs/decisions/README.md").text, path


def test_glossary_is_sorted_and_has_no_duplicates() -> None:
    words = re.findall(r"^\*\*([^*]+)\*\*", source("docs/glossary.md").text, re.MULTILINE)
    assert len(words) > 30
    assert words == sorted(words, key=str.casefold)
    assert len(words) == len(set(words)), "one word, one thing"


def yaml_blocks(path: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", source(path).text, re.MULTILINE | re.DOTALL)


def test_mappings_in_the_documents_parse() -> None:
    blocks = yaml_blocks("docs/how-to/import.md")
    assert blocks
    for block in blocks:
        assert read_mapping(parse_yaml(block.encode())).columns
    [database] = yaml_blocks("docs/how-to/databases.md")
    url = {"SHOP_DATABASE": "postgresql://reader@db.example/shop"}.__getitem__
    assert read_database_form(parse_yaml(database.encode()), url).mapping.columns


def test_tests_named_by_the_capabilities_exist() -> None:
    """`tests/…::name` in the list of capabilities: that file must define such a test."""
    page = source("docs/reference/capabilities.md").text
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    found = [f"{path}::{name}" for path, name in named if f"def {name}(" not in _text(path)]
    assert named
    assert not found, message(found, "a capability without an existing test")


def _text(path: str) -> str:
    return (ROOT / path).read_text("utf-8") if (ROOT / path).exists() else ""


@pytest.mark.parametrize(
    "name", ["up", "down", "status", "demo", "apply", "import", "verify", "test"]
)
def test_readme_names_the_main_commands(name: str) -> None:
    assert f"./onefold {name}" in source("README.md").text


def test_documents_name_existing_commands_only() -> None:
    commands = re.findall(r"^## (.+)$", source("docs/reference/commands.md").text, re.MULTILINE)
    first = {command.split()[0] for command in commands} | {"--help"}
    for page in pages():
        used = set(re.findall(r"\./onefold ([a-z-]+)", page.text))
        assert used <= first, f"{page.path}: {used - first}"


@pytest.mark.parametrize(
    ("name", "least"),
    [("threats", 90), ("faults", 90), ("journeys", 80), ("console", 50), ("laws", 20)],
)
def test_tests_on_the_pages_of_what_is_proven_exist(name: str, least: int) -> None:
    page = source(f"docs/reference/{name}.md")
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", "\n".join(page.lines))
    assert len(named) > least
    missing = [
        f"{path}::{test}"
        for path, test in named
        if "test_" in path and f"def {test or 'test_'}" not in source(f"tests/{path}").text
    ]
    assert not missing, message(missing, f"the page of {name} names a test that does not exist")
