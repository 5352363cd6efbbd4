"""Reads the files of the project once, for the tests of the architecture."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("ingest", "identity", "profile", "segment", "activation")
#: Folders without side effects: the kernel, and the domain of each service.
PURE = ("services/kernel", *(f"services/{name}/domain" for name in SERVICES))
_GENERATED = {".git", ".venv", "__pycache__", "node_modules", "data", ".onefold", "build", "dist"}


@dataclass(frozen=True)
class Source:
    """One file, named by its path from the root."""

    path: str
    #: The text of a planted file; None reads it from the disk.
    planted: str | None = None

    @cached_property
    def text(self) -> str:
        """The content, or an empty text where the file is no UTF-8."""
        if self.planted is not None:
            return self.planted
        try:
            return (ROOT / self.path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return ""

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, filename=self.path)

    @property
    def module(self) -> str:
        """The dotted name of the module, such as `services.kernel.ids`."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def imports(self) -> list[tuple[int, str]]:
        """Return line and absolute name of every imported module, wherever the import is."""
        found: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found.append((node.lineno, self._absolute(node)))
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = (
            self.module if self.path.endswith("/__init__.py") else self.module.rpartition(".")[0]
        )
        for _ in range(node.level - 1):
            package = package.rpartition(".")[0]
        return f"{package}.{node.module}" if node.module else package


@cache
def tracked() -> tuple[Source, ...]:
    """Return every file of the project that is not generated: those that git lists or would add."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else _walked()
    chosen = sorted(n for n in set(names) if n and not n.startswith("gen/"))
    return tuple(Source(name) for name in chosen if (ROOT / name).is_file())


def _walked() -> list[str]:
    """Return the files of a checkout that came without git."""
    return [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if not _GENERATED.intersection(path.relative_to(ROOT).parts)
    ]


def under(*folders: str, suffix: str = ".py") -> list[Source]:
    """Return the files below the folders that end with the suffix."""
    starts = tuple(f"{folder}/" for folder in folders)
    return [s for s in tracked() if s.path.startswith(starts) and s.path.endswith(suffix)]


def source(path: str) -> Source:
    """Return one file, which must exist."""
    assert (ROOT / path).is_file(), f"{path} is missing"
    return next(s for s in tracked() if s.path == path)


def functions(file: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a file, nested ones too."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def words_of(identifier: str) -> list[str]:
    """Split an identifier into lower-case words: `ShardIds_of` gives shard, ids, of."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", identifier)
    return [part.lower() for part in parts]


def message(violations: Iterable[str], rule: str) -> str:
    """Return the message of a broken rule: the rule, then each place."""
    return "\n  ".join([f"{rule}:", *violations])


def run(program: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment that the tests run in."""
    return subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def must_pass(program: str, *arguments: str, cwd: Path = ROOT) -> None:
    """Run a program and require exit code 0."""
    done = run(program, *arguments, cwd=cwd)
    assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}"
