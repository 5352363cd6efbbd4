"""Checks that outside text reaches a terminal, or a parser of YAML, through one module alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from architecture.source_tree import Source, message, source, under

OUTPUT = "services/cli/output.py"
#: Modules that write lines of a fixed form to another process, or their own texts.
WRITERS = {OUTPUT, "services/cli/supervisor.py"}
YAML = {OUTPUT, "services/kernel/yaml_documents.py"}
_CALLS = {"print", "echo", "secho", "style", "input", "prompt", "confirm"}
_STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}
#: Methods and classes of rich that show what they are given.
SINKS = {
    *("print", "log", "out", "rule", "status", "update", "add_task", "add", "add_row"),
    *("add_column", "Text", "tree.Tree", "Table", "Panel", "Status", "assemble"),
}
#: Functions of OUTPUT that escape a text.
ESCAPING = {"plain", "printable", "_joined"}
#: Names of OUTPUT for what is made of escaped parts already.
RENDERED = {"table", "rendered", "text.rendered", "line", "status", "task"}


def writes(file: Source) -> Iterator[str]:
    """Yield each place that writes to a terminal without the one module."""
    for line, name in file.imports():
        if name.split(".")[0] in ("rich", "click", "curses"):
            yield f"{file.path}:{line} imports {name}"
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in _CALLS or (
                called.startswith(("typer.", "click.")) and (called.rpartition(".")[2] in _CALLS)
            ):
                yield f"{file.path}:{node.lineno} calls {called}"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in _STREAMS:
            yield f"{file.path}:{node.lineno} uses {ast.unparse(node)}"


def unescaped(file: Source) -> Iterator[str]:
    """Yield each argument of a sink that is neither a literal nor escaped."""
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if SINKS & {name, f"{owner}.{name}"} and owner not in ("out", "err", "self"):
            texts = [k.value for k in node.keywords if k.arg in ("title", "caption", "header")]
            for argument in [*node.args, *texts]:
                if not is_escaped(argument):
                    yield f"{file.path}:{node.lineno} {name}({ast.unparse(argument)})"


def is_escaped(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Constant) or ast.unparse(argument) in RENDERED:
        return True
    if isinstance(argument, ast.Starred):
        return is_escaped(argument.value)
    if isinstance(argument, ast.Tuple):
        return all(map(is_escaped, argument.elts))
    if not isinstance(argument, ast.Call):
        return False
    called = ast.unparse(argument.func)
    return called in ESCAPING or (called == "map" and ast.unparse(argument.args[0]) in ESCAPING)


def test_only_one_module_of_the_command_line_writes_to_the_terminal() -> None:
    files = [f for f in under("services/cli", "services/client") if f.path not in WRITERS]
    found = [place for file in files for place in writes(file)]
    assert not found, message(found, f"print with {OUTPUT}, which escapes outside text")


def test_every_text_that_is_shown_is_escaped() -> None:
    found = list(unescaped(source(OUTPUT)))
    assert not found, message(found, "wrap the text in plain()")


def test_yaml_is_parsed_in_one_module() -> None:
    found = [
        f"{file.path}:{line} imports {name}"
        for file in under("services")
        for line, name in file.imports()
        if name.split(".")[0] in ("yaml", "ruamel") and file.path not in YAML
    ]
    assert not found, message(found, "call parse_yaml, which refuses aliases and bounds the size")


@pytest.mark.parametrize(
    "line",
    [
        "print(name)",
        "import rich.console",
        "from rich.tree import Tree",
        "import sys; sys.stdout.write(name)",
        "import typer; typer.echo(name)",
    ],
)
def test_a_planted_write_is_found(line: str) -> None:
    assert list(writes(Source("services/cli/planted.py", line)))


@pytest.mark.parametrize(
    "line",
    ["tree.add(name)", "table.add_row(*cells)", "console.print(f'{a}')", "Table(title=name)"],
)
def test_a_planted_text_that_is_not_escaped_is_found(line: str) -> None:
    assert list(unescaped(Source(OUTPUT, line)))


@pytest.mark.parametrize("line", ["tree.add(plain(name))", "table.add_row(*map(plain, cells))"])
def test_a_planted_escaped_text_passes(line: str) -> None:
    assert not list(unescaped(Source(OUTPUT, line)))
