"""Tests the first run of `./onefold`, in a checkout of three files with a lock of small wheels."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.devstack.conftest import OrdinaryUser

ROOT = Path(__file__).resolve().parents[3]
SETUP = Path("services/devstack/venv.py")
REPORT = """
import json, os, sys
try:
    from tiny import VERSION
except ImportError:
    VERSION = None
try:
    import extra
except ImportError:
    extra = None
report = {"argv": sys.argv[1:], "cwd": os.getcwd(), "tiny": VERSION, "extra": extra is not None}
report |= {"python": sys.executable, "path": sys.path}
print(json.dumps(report))
"""


def wheel(folder: Path, name: str, version: str) -> str:
    """Make a wheel of one module, and return its line in a lock."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    about = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {f"{name}.py": f"VERSION = {version!r}\n", f"{info}/METADATA": metadata}
    files[f"{info}/WHEEL"] = about
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
        f",{len(text)}\n".replace("=,", ",")
        for path, text in files.items()
    )
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"


class Checkout:
    """The launcher, its set-up program, and a command line that reports how it was run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "check out"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        (self.root / SETUP.parent).mkdir(parents=True)
        (self.root / "services" / "cli").mkdir()
        (self.root / "gen").mkdir()
        shutil.copy(ROOT / "onefold", self.root / "onefold")
        shutil.copy(ROOT / SETUP, self.root / SETUP)
        (self.root / "services" / "cli" / "__main__.py").write_text(REPORT)
        self.lock("1.0")

    def lock(self, version: str) -> None:
        line = wheel(self.wheels, "tiny", version)
        (self.root / "requirements.lock").write_text(line)
        extra = wheel(self.wheels, "extra", "1.0")
        (self.root / "requirements-test.lock").write_text(line + extra)
        (self.root / "requirements-linkage.lock").write_text(extra)

    def environment(self, python: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "ONEFOLD_PYTHON": str(python),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
        }

    def run(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        python = Path(getattr(sys, "_base_executable", sys.executable))
        return subprocess.run(
            [str(self.root / "onefold"), *arguments],
            cwd=cwd or self.root,
            env={"HOME": "", **self.environment(python), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def report(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> Mapping[str, object]:
        """Run the launcher, and return how the command line was run."""
        done = self.run(*arguments, cwd=cwd, **environment)
        assert done.returncode == 0, done.stderr
        report: Mapping[str, object] = json.loads(done.stdout)
        return report


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_environment_is_made_once_updated_and_repaired(checkout: Checkout, tmp_path: Path) -> None:
    """Test the whole life of an environment at once, as each new one costs seconds."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "services.py").write_text("raise AssertionError('taken from the caller')")
    (elsewhere / "json.py").write_text("raise AssertionError('taken from the caller')")

    # Two first starts at once, in a folder with modules that must not be imported.
    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(checkout.report, "demo", "a b", cwd=elsewhere) for _ in range(2)]
        first, second = (run.result() for run in runs)
    assert first == second
    assert first["argv"] == ["demo", "a b"]
    assert (first["cwd"], first["tiny"], first["extra"]) == (str(elsewhere), "1.0", False)
    path = first["path"]
    assert isinstance(path, list)
    assert path[-2:] == [str(checkout.root), str(checkout.root / "gen")]
    assert first["python"] == str(checkout.root / ".venv" / "bin" / "python")

    # Ready: nothing is printed or installed, and no index is needed; also through a link.
    link = tmp_path / "bin-onefold"
    link.symlink_to(Path("check out") / "onefold")
    quiet = subprocess.run(
        [link, "up"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert quiet.stderr == ""

    # The lock of the tests is installed with the first `test` or `bench`.
    assert checkout.report("test")["extra"] is True
    # A changed lock is installed into the environment.
    checkout.lock("2.0")
    assert checkout.report("up")["tiny"] == "2.0"

    # A lock that cannot be installed: one line, and the environment is unchanged.
    good = (checkout.root / "requirements.lock").read_text()
    (checkout.root / "requirements.lock").write_text(good.replace("2.0", "3.0"))
    failed = checkout.run("up")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "could not install requirements.lock" in failed.stderr.splitlines()[-1]
    (checkout.root / "requirements.lock").write_text(good)
    assert checkout.report("up", PIP_FIND_LINKS="")["tiny"] == "2.0"

    # Interrupted while it was made: made again.
    environment = checkout.root / ".venv"
    (environment / "onefold-unfinished").touch()
    (environment / "half").touch()
    again = checkout.report("up")
    assert (again["tiny"], again["extra"]) == ("2.0", False)
    assert not (environment / "half").exists()

    # The lock of matching is installed for it alone.
    assert checkout.report("match")["extra"] is True


def test_missing_python_is_reported_in_one_line(checkout: Checkout, tmp_path: Path) -> None:
    for environment in ({"PATH": str(tmp_path), "ONEFOLD_PYTHON": ""}, {"ONEFOLD_PYTHON": "none"}):
        done = checkout.run("--help", **environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert "install Python 3.11" in done.stderr


def test_too_old_python_is_skipped(checkout: Checkout, tmp_path: Path) -> None:
    old = tmp_path / "python3.11"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = checkout.run("--help", PATH=str(tmp_path), ONEFOLD_PYTHON="")
    assert "too old" in done.stderr


def test_python_in_a_path_with_blanks_is_used(checkout: Checkout, tmp_path: Path) -> None:
    python = tmp_path / "my python" / "python3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    done = subprocess.run(
        [checkout.root / "onefold", "--help"],
        env=checkout.environment(python),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_python_without_ensurepip_is_reported_in_one_line(
    checkout: Checkout, tmp_path: Path
) -> None:
    """Debian without python3-venv has such a Python."""
    bare = tmp_path / "bare.py"
    setup = checkout.root / SETUP
    bare.write_text(
        "import importlib.util, runpy, sys\n"
        "importlib.util.find_spec = lambda name: None\n"
        f"sys.argv[0] = {str(setup)!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, bare, "up"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "python3-venv" in done.stderr


def test_checkout_of_another_user_gets_an_environment_in_the_cache(
    ordinary: OrdinaryUser, open_folder: Path
) -> None:
    checkout = Checkout(open_folder)
    checkout.root.chmod(0o555)
    done = ordinary.run([checkout.root / "onefold", "up"], checkout.environment(ordinary.python))
    checkout.root.chmod(0o755)
    assert done.returncode == 0, done.stderr
    python = Path(json.loads(done.stdout)["python"])
    assert python.is_relative_to(ordinary.home / ".cache" / "onefold")
    assert not (checkout.root / ".venv").exists()


def test_checkout_in_a_path_with_blanks_and_chinese_characters_works_in_the_c_locale(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "路 径"
    folder.mkdir()
    checkout = Checkout(folder)
    page = checkout.root / "docs" / "reference" / "commands.md"
    page.parent.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "reference" / "commands.md", page)

    # Help needs nothing, and installs nothing.
    for arguments in (["match", "--help"], ["identity", "--help"], ["--help"]):
        shown = checkout.run(*arguments, LC_ALL="C")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.startswith("Usage: ./onefold")
    assert not (checkout.root / ".venv").exists()

    first = checkout.report("up", "参数", LC_ALL="C")
    assert (first["argv"], first["tiny"]) == (["up", "参数"], "1.0")
    assert first["path"][-2:] == [str(checkout.root), str(checkout.root / "gen")]  # type: ignore[index]
    # Another locale finds the environment as it is, and help needs no other lock.
    for locale in ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "POSIX"}, {"PYTHONUTF8": "0", "LC_ALL": "C"}):
        quiet = checkout.run("match", "--help", **locale)
        assert (quiet.returncode, quiet.stderr) == (0, "")
        assert json.loads(quiet.stdout)["extra"] is False
