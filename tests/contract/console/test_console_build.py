"""Tests that the built files of the console are those of its sources."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from contract.clients.node_clients import NodeMissing, find_node

from services.devstack.folders import ROOT

CONSOLE = ROOT / "services" / "console"
_SKIPPED = shutil.ignore_patterns("node_modules", "schema.d.ts")
_INSTALL = (
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--omit-lockfile-registry-resolved",
)
_OLDEST_NODE = (20, 19, 0)
#: Of all built files; and compressed: of all, of what the first page loads, of the chunks that a
#: further screen loads, and of one chunk that is a screen.
MOST_BYTES = 6_000_000
MOST_GZIP, FIRST_LOAD, FURTHER_SCREEN, OWN_CODE = 1_800_000, 500_000, 250_000, 25_000
#: What the licence of this project may be distributed with.
LICENCES = {"MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the console in another folder from its lock file; return that folder."""
    folder = tmp_path_factory.mktemp("console")
    try:
        node, npm = find_node()
    except NodeMissing as error:
        pytest.skip(str(error))
    shutil.copytree(CONSOLE / "web", folder / "web", ignore=_SKIPPED)
    shutil.copy(CONSOLE / "openapi.json", folder)
    path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*npm, *arguments],
            cwd=folder / "web",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    if (done := run(*_INSTALL)).returncode:
        pytest.skip(f"npm ci failed: {done.stderr[-500:]}")
    for script in ("types", "check", "build"):
        done = run("run", script)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_committed_files_are_built_from_the_sources(build: Path) -> None:
    types = Path("src/api/schema.d.ts")
    assert (build / "web" / types).read_bytes() == (CONSOLE / "web" / types).read_bytes()
    built, committed = files_of(build / "dist"), files_of(CONSOLE / "dist")
    assert built.keys() == committed.keys()
    assert [name for name in built if built[name] != committed[name]] == []


@pytest.mark.slow
def test_build_in_another_folder_by_another_node_has_the_same_bytes(
    build: Path, tmp_path: Path
) -> None:
    again = tmp_path / "a folder with a longer name"
    shutil.copytree(build / "web", again / "web", ignore=shutil.ignore_patterns("node_modules"))
    (again / "web" / "node_modules").symlink_to(build / "web" / "node_modules")
    done = subprocess.run(
        [_another_node(), "node_modules/vite/bin/vite.js", "build"],
        cwd=again / "web",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert files_of(again / "dist") == files_of(build / "dist")


def _another_node() -> str:
    """Return the Node of the system where it has another version, else that of the requirements."""
    own, _ = find_node()
    other = shutil.which("node")
    return other if other and _version(other) not in (_version(own), None) else own


def _version(node: str) -> tuple[int, ...] | None:
    """Return the version of Node; None where it is too old for the tools of the build."""
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    version = tuple(map(int, done.stdout.strip().lstrip("v").split(".")))
    return version if version >= _OLDEST_NODE else None


def test_built_files_are_small_and_name_no_other_host() -> None:
    committed = files_of(CONSOLE / "dist")
    assert sum(map(len, committed.values())) <= MOST_BYTES
    page = committed["index.html"].decode()
    assert "__NONCE__" in page
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page
    lock = (CONSOLE / "web" / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock


def test_first_page_and_further_screens_load_few_bytes() -> None:
    files = files_of(CONSOLE / "dist")
    sizes = {Path(name).name: len(gzip.compress(content, 9)) for name, content in files.items()}
    assert sum(sizes.values()) <= MOST_GZIP
    named = set(re.findall(r"assets/([\w-]+\.js)", files["index.html"].decode()))
    assert any(name.startswith("index-") for name in named)
    assert sum(sizes[name] for name in named) <= FIRST_LOAD
    later = {name: size for name, size in sizes.items() if name.endswith(".js")}
    later = {name: size for name, size in later.items() if name not in named}
    assert sum(later.values()) <= FURTHER_SCREEN
    own = {name: size for name, size in later.items() if not name.startswith("yaml-")}
    assert max(own.values()) <= OWN_CODE, own


def test_licences_of_the_bundled_packages_are_listed_and_permissive() -> None:
    text = (CONSOLE / "dist" / "licences.txt").read_text("utf-8")
    listed = dict(re.findall(r"^## (\S+) - \S+ \((.+)\)$", text, re.MULTILINE))
    manifest = json.loads((CONSOLE / "web" / "package.json").read_text("utf-8"))
    assert manifest["dependencies"].keys() <= listed.keys()
    assert {name: own for name, own in listed.items() if own not in LICENCES} == {}


def test_members_whose_zero_differs_from_their_absence_stay_in_forms() -> None:
    """A form leaves out what says nothing, and 0 says something where a field has presence."""
    protos = ROOT / "protos" / "onefold" / "activation" / "v1"
    optional = {
        name
        for file in ("journeys.proto", "contact_policy.proto")
        for name in re.findall(
            r"^  optional \w+ (\w+) =", (protos / file).read_text(), re.MULTILINE
        )
    }
    kinds = (CONSOLE / "web" / "src" / "parts" / "definition_kinds.ts").read_text("utf-8")
    [present] = re.findall(r"const PRESENT = \[(.*)\];", kinds)
    assert optional | {"value"} == set(re.findall(r'"(\w+)"', present))


def test_texts_of_both_languages_have_the_same_keys() -> None:
    keys = []
    for language in ("en", "zh"):
        text = (CONSOLE / "web" / "src" / f"texts.{language}.ts").read_text("utf-8")
        keys.append([line.split(":")[0].strip() for line in text.splitlines() if line[:2] == "  "])
    assert keys[0] == keys[1]
    assert keys[0]
