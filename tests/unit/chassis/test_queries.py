"""Named statements, and the errors that mean that PostgreSQL is away."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg
import pytest

from services.chassis.postgres.database import Queries, lock_class, lock_keys
from services.chassis.postgres.errors import (
    is_connection_error,
    is_session_lost,
    is_transient,
    translate_store_errors,
)
from services.kernel.errors import StoreUnavailable

SERVICES = Path("services")

#: A file of statements: its package, and its name.
SqlFile = tuple[str, str]
#: Where statements are loaded to: a module, and a name in it.
Binding = tuple[str, str]


def test_statements_are_attributes() -> None:
    queries = Queries.parse(
        "-- name: one\n-- Gives one.\nSELECT 1\n\n-- name: two\nSELECT 2\n", "x"
    )
    assert queries.one == "-- Gives one.\nSELECT 1"
    assert queries.two == "SELECT 2"
    assert dir(queries) == ["one", "two"]
    with pytest.raises(AttributeError, match="x has no statement three"):
        queries.three  # noqa: B018


@pytest.mark.parametrize(
    "text", ["-- name: a\n-- only words\n", "-- name: a\nS\n-- name: a\nT\n", "-- name: load\nS\n"]
)
def test_empty_statement_or_taken_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is empty, or its name is taken"):
        Queries.parse(text, "x")


def test_every_statement_of_every_file_is_used() -> None:
    modules = {_module(file): ast.parse(file.read_text()) for file in SERVICES.rglob("*.py")}
    bindings = {b: file for name, tree in modules.items() for b, file in _loads(name, tree)}
    used: dict[SqlFile, set[str]] = defaultdict(set)
    for name, tree in modules.items():
        for binding, statement in _uses(name, tree, bindings):
            used[bindings[binding]].add(statement)
    present = {(package, file): set(dir(Queries.load(package, file))) for package, file in _files()}
    assert sorted(present) == sorted(set(bindings.values())), "each file is loaded somewhere"
    for file, statements in present.items():
        assert statements - used[file] == set(), f"statements of {file} that are not used"
        assert used[file] - statements == set(), f"statements that {file} does not have"


def test_grants_are_named_after_the_folders_of_migrations() -> None:
    files = list(SERVICES.rglob("grants.sql"))
    assert len(files) == 6
    for file in files:
        queries = Queries.load(".".join(file.parent.parts), file.name)
        assert set(dir(queries)) <= {"migrations", "state"}, file


def _module(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def _files() -> Iterator[SqlFile]:
    """The files of named statements; migrations have no names, and grants are run by folder."""
    for file in SERVICES.rglob("*.sql"):
        if file.parent.name not in ("migrations", "state") and file.name != "grants.sql":
            yield ".".join(file.parent.parts), file.name


def _loads(module: str, tree: ast.Module) -> Iterator[tuple[Binding, SqlFile]]:
    """Each `Q = Queries.load(package, file)` of a module."""
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(name)],
                value=ast.Call(func=ast.Attribute(ast.Name("Queries"), "load"), args=[of, *rest]),
            ):
                package = of.value if isinstance(of, ast.Constant) else module.rpartition(".")[0]
                file = rest[0].value if rest and isinstance(rest[0], ast.Constant) else None
                yield (module, name), (str(package), str(file or "queries.sql"))


def _uses(
    module: str, tree: ast.Module, bindings: Iterable[Binding]
) -> Iterator[tuple[Binding, str]]:
    """Each `Q.statement` and `store.Q.statement` of a module, with where Q was loaded."""
    existing = set(bindings)
    names = {(name,): (module, name) for _, name in existing}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                local = alias.asname or alias.name
                names[(local,)] = (node.module or "", alias.name)
                names |= {(local, q): (f"{node.module}.{alias.name}", q) for _, q in existing}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name(name), statement):
                path: tuple[str, ...] = (name,)
            case ast.Attribute(ast.Attribute(ast.Name(owner), name), statement):
                path = (owner, name)
            case _:
                continue
        if names.get(path) in existing:
            yield names[path], statement


def test_connection_errors_are_translated_and_others_are_not() -> None:
    with pytest.raises(StoreUnavailable), translate_store_errors():
        raise ConnectionRefusedError
    with pytest.raises(KeyError), translate_store_errors():
        raise KeyError("another")
    assert not is_connection_error(ValueError())
    assert not is_connection_error(FileNotFoundError("about a file, and not about the server"))


def test_deadlock_is_transient_and_no_connection_error() -> None:
    """A worker retries a transaction that lost a deadlock on the same connection."""
    deadlock = asyncpg.DeadlockDetectedError("deadlock")
    assert is_transient(deadlock)
    assert not is_connection_error(deadlock)
    with pytest.raises(asyncpg.DeadlockDetectedError), translate_store_errors():
        raise deadlock


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), TimeoutError(), asyncpg.CannotConnectNowError("starting")]
)
def test_connection_error_is_transient(error: BaseException) -> None:
    assert is_connection_error(error)
    assert is_transient(error)


def test_lock_class_fits_into_four_bytes() -> None:
    assert -(2**31) <= lock_class("lease profile") < 2**31
    assert lock_class("a") != lock_class("b")


def test_lock_keys_are_sorted_unique_and_differ_by_space() -> None:
    ids = [bytes([n]) * 16 for n in (9, 255, 1, 9)]
    keys = lock_keys("profile", ids)
    assert keys == sorted(set(keys))
    assert len(keys) == 3
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert not set(keys) & set(lock_keys("segment", ids))


@pytest.mark.parametrize(
    "state", ["53100", "53200", "53300", "53400", "57014", "57P03", "25006", "25P03", "55P03"]
)
def test_outage_of_the_server_is_store_unavailable(state: str) -> None:
    error = asyncpg.PostgresError.new({"C": state, "M": "of a row with personal data"})
    with pytest.raises(StoreUnavailable) as raised, translate_store_errors():
        raise error
    assert "personal" not in str(raised.value)


def test_statement_that_has_no_room_does_not_end_its_session() -> None:
    def translated(error: BaseException) -> StoreUnavailable:
        with pytest.raises(StoreUnavailable) as raised, translate_store_errors():
            raise error
        return raised.value

    assert not is_session_lost(translated(asyncpg.DiskFullError()))
    assert not is_session_lost(translated(asyncpg.ReadOnlySQLTransactionError()))
    assert is_session_lost(translated(asyncpg.QueryCanceledError()))
    assert is_session_lost(translated(ConnectionResetError()))
