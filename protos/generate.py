"""Generate gen/ from protos/: `python protos/generate.py [--check]`.

`--check` generates into a scratch folder and fails if gen/ differs.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"


def generate(target: Path) -> None:
    """Write the Python modules of every proto below `target`."""
    files = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    services = [f for f in files if f.endswith("_service.proto")]
    include = str(resources.files("grpc_tools") / "_proto")
    base = ["protoc", f"-I{PROTOS}", f"-I{include}"]
    _run([*base, f"--python_out={target}", f"--pyi_out={target}", *files])
    _run([*base, f"--grpc_python_out={target}", *services])


def check() -> int:
    """Compare gen/ with freshly generated code; return the exit code and print stale files."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = {p.relative_to(scratch): p for p in Path(scratch).rglob("*.py*")}
        files = (p for p in GEN.rglob("*.py*") if "__pycache__" not in p.parts)
        committed = {p.relative_to(GEN): p for p in files}
        stale = sorted(
            str(name)
            for name in fresh.keys() | committed.keys()
            if name not in fresh
            or name not in committed
            or not filecmp.cmp(fresh[name], committed[name], shallow=False)
        )
    for name in stale:
        print(f"stale: gen/{name} (run: python protos/generate.py)")
    return 1 if stale else 0


def _run(arguments: list[str]) -> None:
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its message is above")


if __name__ == "__main__":
    if "--check" in sys.argv:
        raise SystemExit(check())
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))  # an error leaves gen/ as it is
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(scratch, GEN)
