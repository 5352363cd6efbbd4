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
    """Tell whether gen/ is what the protos give."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = {p.relative_to(scratch): p for p in Path(scratch).rglob("*.py*")}
        kept = {p.relative_to(GEN): p for p in GEN.rglob("*.py*") if "__pycache__" not in p.parts}
        stale = sorted(
            str(name)
            for name in fresh.keys() | kept.keys()
            if name not in fresh
            or name not in kept
            or not filecmp.cmp(fresh[name], kept[name], shallow=False)
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
    shutil.rmtree(GEN, ignore_errors=True)
    GEN.mkdir()
    generate(GEN)
