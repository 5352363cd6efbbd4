"""What the tests of the house look at: the files that belong to the project, read once."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("ingest", "identity", "profile", "segment", "activation")
#: Where nothing may touch the world: the kernel, and what each service decides by.
PURE = ("services/kernel", *(f"services/{name}/domain" for name in SERVICES))
_MADE = {".git", ".venv", "__pycache__", "node_modules", "data", ".onefold", "build", "dist"}


@dataclass(frozen=True)
class Source:
    """One file, by its path from the root."""

    path: str

    @cached_property
    def text(self) -> str:
        """All of it; what is no UTF-8 gives nothing."""
        try:
            return (ROOT / self.path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return ""

    @cached_property
    def lines(self) -> list[str]:
        """Its lines without their ends."""
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text, filename=self.path)

    @property
    def module(self) -> str:
        """Its name as a module, such as `services.kernel.ids`."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def imports(self) -> list[tuple[int, str]]:
        """Line and absolute name of every module that is imported, wherever it stands."""
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
    """Every file of the project that is not generated: what git knows or would take in."""
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
    """The files of a checkout that came without git."""
    return [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if not _MADE.intersection(path.relative_to(ROOT).parts)
    ]


def under(*folders: str, suffix: str = ".py") -> list[Source]:
    """The files below these folders that end so."""
    starts = tuple(f"{folder}/" for folder in folders)
    return [s for s in tracked() if s.path.startswith(starts) and s.path.endswith(suffix)]


def source(path: str) -> Source:
    """One file that has to be there."""
    assert (ROOT / path).is_file(), f"{path} is missing"
    return next(s for s in tracked() if s.path == path)


def told(faults: list[str], rule: str) -> str:
    """The message of a broken rule: the rule, and each place."""
    return "\n  ".join([f"{rule}:", *faults])


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
    """Run a program that has to find nothing."""
    done = run(program, *arguments, cwd=cwd)
    assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}"
