"""Checks names: no home-made words, one class per name, no function name that means everything."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest
from architecture.source_tree import ROOT, SERVICES, Source, message, tracked, under, words_of

#: Words that say nothing about data, or that the lexicon replaced: docs/glossary.md has the others.
_BANNED = """
    told said heard asked kept stood anew nobody somebody whom settle settled settles settler news
    metronome courier
"""
BANNED = frozenset(_BANNED.split())
#: Prose also avoids people words for data, and the old words for parts of the system.
BANNED_IN_PROSE = (BANNED - {"news", "kept"}) | {"whoever", "treaty", "rooms"}
MOST_BEARERS = 4
MOST_ENTRIES = 12
#: Terms that a reader of the code searches for.
TERMS = (
    *("cache", "backfill", "retry", "backoff", "consumer"),
    *("checkpoint", "outbox", "snapshot", "timer"),
)
#: Entry points that every service or module has by convention.
CONVENTIONAL = frozenset({"main", "serve"})


def identifiers(file: Source) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything that a Python file names itself."""
    for node in ast.walk(file.tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.alias(asname=str(name)):
                yield node.lineno, name
            case _:
                pass


def sql_identifiers(file: Source) -> Iterator[tuple[int, str]]:
    """Yield line and word of every name in a SQL file: statement names, tables, columns."""
    for number, line in enumerate(file.lines, 1):
        code = line if line.startswith("-- name:") else line.partition("--")[0]
        for name in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", re.sub(r"'[^']*'", "", code)):
            yield number, name


def banned_names(files: Iterable[Source]) -> list[str]:
    found = []
    for file in files:
        if file.path.endswith(".py"):
            named = [*identifiers(file), (0, file.module.rpartition(".")[2])]
        else:
            named = list(sql_identifiers(file))
        found += [
            f"{file.path}:{line} {name}"
            for line, name in named
            if BANNED.intersection(words_of(name))
        ]
    return sorted(set(found))


def repeated_classes(files: Iterable[Source]) -> list[str]:
    places: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file.path}:{node.lineno}")
    return [f"{name}: {', '.join(at)}" for name, at in sorted(places.items()) if len(at) > 1]


def overused_functions(files: Iterable[Source]) -> list[str]:
    places: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for node in file.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
                places[node.name].append(file.path)
    return [
        f"{name}: {', '.join(at)}"
        for name, at in sorted(places.items())
        if len(at) > MOST_BEARERS and name not in CONVENTIONAL
    ]


def crowded_folders(paths: Iterable[str]) -> list[str]:
    entries: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        _, service, *rest = path.split("/")
        if service in SERVICES and rest:
            entries[service].add(rest[0])
    return [
        f"services/{service} has {len(names)} entries: {', '.join(sorted(names))}"
        for service, names in entries.items()
        if len(names) > MOST_ENTRIES
    ]


def banned_prose(files: Iterable[Source]) -> list[str]:
    pattern = re.compile(rf"\b({'|'.join(sorted(BANNED_IN_PROSE))})\b", re.IGNORECASE)
    return [
        f"{file.path}:{number} {found[0]}: {line.strip()[:80]}"
        for file in files
        for number, line in enumerate(file.lines, 1)
        if (found := pattern.search(line))
    ]


def documents() -> list[Source]:
    protos = under("protos", suffix=".proto")
    return protos + [s for s in tracked() if s.path.endswith(".md") and s.path != "LICENSE"]


def comments_and_docstrings(files: Iterable[Source]) -> Iterator[Source]:
    """Yield each Python file reduced to its comments and docstrings, line by line."""
    for file in files:
        lines = [line.partition("#")[2] for line in file.lines]
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                for at in range(node.lineno - 1, node.end_lineno or node.lineno):
                    lines[at] = file.lines[at]
        yield Source(file.path, "\n".join(lines))


def test_names_hold_no_banned_word() -> None:
    found = banned_names([*under("services", "bench"), *under("services", suffix=".sql")])
    assert not found, message(found, "the glossary has the field's word for it")


def test_test_names_hold_no_banned_word() -> None:
    found = banned_names(under("tests"))
    assert not found, message(found, "the glossary has the field's word for it")


def test_class_names_are_unique_in_the_services() -> None:
    found = repeated_classes(under("services"))
    assert not found, message(found, "one class name means one thing")


def test_public_functions_share_no_overused_name() -> None:
    found = overused_functions(under("services"))
    assert not found, message(found, f"at most {MOST_BEARERS} modules define one function name")


def test_service_folders_hold_few_entries() -> None:
    found = crowded_folders(s.path for s in tracked() if s.path.startswith("services/"))
    assert not found, message(found, f"a service has at most {MOST_ENTRIES} entries")


def test_documents_hold_no_banned_word() -> None:
    found = banned_prose(documents())
    assert not found, message(found, "documents use the words of the glossary")


def test_comments_hold_no_banned_word() -> None:
    found = banned_prose(comments_and_docstrings(under("services", "bench", "tests")))
    assert not found, message(found, "comments use the words of the glossary")


@pytest.mark.parametrize(
    "planted",
    [
        Source("services/x/a.py", "def f(told: int) -> None: ..."),
        Source("services/x/a.py", "class HeardMessage: ..."),
        Source("services/x/a.py", "for news in (): ..."),
        Source("services/x/a.py", "import x as somebody"),
        Source("services/x/settle.py", ""),
        Source("services/x/a.sql", "-- name: keep_asked\nSELECT 1"),
        Source("services/x/a.sql", "CREATE TABLE x (told int)"),
    ],
)
def test_planted_banned_name_is_found(planted: Source) -> None:
    assert banned_names([planted])


def test_planted_repeated_class_is_found() -> None:
    a, b = Source("services/x/a.py", "class A: ..."), Source("services/y/b.py", "class A: ...")
    assert repeated_classes([a, b]) == ["A: services/x/a.py:1, services/y/b.py:1"]


def test_planted_overused_function_is_found() -> None:
    files = [Source(f"services/x/m{i}.py", "def take() -> None: ...") for i in range(5)]
    assert overused_functions(files)
    assert not overused_functions(files[1:])


def test_planted_crowded_folder_is_found() -> None:
    assert crowded_folders([f"services/profile/m{i}.py" for i in range(MOST_ENTRIES + 1)])
    assert not crowded_folders([f"services/profile/m{i}.py" for i in range(MOST_ENTRIES)])


@pytest.mark.parametrize("line", ["What was told last.", "It is built anew", "Nobody reads it."])
def test_planted_banned_prose_is_found(line: str) -> None:
    assert banned_prose([Source("docs/x.md", line)])
    assert banned_prose(comments_and_docstrings([Source("a.py", f"#: {line}\nX = 1")]))
    assert banned_prose(comments_and_docstrings([Source("a.py", f'"""{line}"""')]))


def test_code_uses_the_terms_that_readers_search_for() -> None:
    code = "\n".join(s.text.lower() for s in under("services"))
    missing = [term for term in TERMS if not re.search(rf"\b{term}", code)]
    missing += [] if re.search(r"circuit[ _]breaker", code) else ["circuit breaker"]
    assert not missing, message(missing, f"a term of the field that {ROOT.name} never uses")
