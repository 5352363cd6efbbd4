"""Tests the gateway with the official conformance suite of Connect, a program in Go.

The suite is taken from the variable CONNECTCONFORMANCE or from the path of programs; with `--deep`
it is built, which needs Go and takes minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from grpc_tools import protoc
from properties import PROFILE

from services.devstack.folders import ROOT

MODULE, VERSION = "connectrpc.com/conformance", "v1.0.7"
HERE = Path(__file__).parent
CASES = 384
_PROTOS = ("config", "server_compat", "service")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of the suite's program."""
    found = os.environ.get("CONNECTCONFORMANCE") or shutil.which("connectconformance")
    if found:
        return found
    if os.environ.get(PROFILE) != "deep":
        pytest.skip("connectconformance is not installed; --deep builds it with Go")
    go = shutil.which("go")
    if go is None:
        pytest.skip("connectconformance is not installed, and there is no Go to build it with")
    folder = tmp_path_factory.mktemp("go")
    program = f"{MODULE}/cmd/connectconformance@{VERSION}"
    environment = {**os.environ, "GOBIN": str(folder)}
    subprocess.run([go, "install", program], env=environment, check=True, capture_output=True)
    return str(folder / "connectconformance")


@pytest.fixture(scope="module")
def protos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the modules that are generated from the suite's protos."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("the protos of the suite are in its Go module, and there is no Go")
    listed = ["list", "-m", "-f", "{{.Dir}}", f"{MODULE}@{VERSION}"]
    done = subprocess.run([go, *listed], check=True, capture_output=True, text=True)
    include = Path(done.stdout.strip()) / "proto"
    target = tmp_path_factory.mktemp("protos")
    base = ["protoc", f"-I{include}", f"-I{resources.files('grpc_tools') / '_proto'}"]
    files = [f"connectrpc/conformance/v1/{name}.proto" for name in _PROTOS]
    assert not protoc.main([*base, f"--python_out={target}", f"--grpc_python_out={target}", *files])
    return target


def test_gateway_passes_the_official_suite(suite: str, protos: Path) -> None:
    config = ["--conf", str(HERE / "conformance.yaml"), "--mode", "server"]
    server = [sys.executable, str(HERE / "conformance_server.py"), str(protos)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "gen")])
    done = subprocess.run(
        [suite, *config, "--", *server],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(rf"^{CASES} passed, 0 failed$", done.stdout, re.MULTILINE), done.stdout
