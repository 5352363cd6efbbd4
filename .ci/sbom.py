"""Writes sbom.json: the packages of requirements.lock as a CycloneDX bill of materials.

`python .ci/sbom.py` writes the file, `--check` fails where it is out of date. The same lock gives
the same file: it has no time, and its serial number is a hash.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK, SBOM = ROOT / "requirements.lock", ROOT / "sbom.json"
_PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_PARENT = re.compile(r"    #(?: via|  ) +(?P<name>[A-Za-z0-9._-]+)")


def bill(lock: str, version: str) -> dict[str, Any]:
    """Return the bill of materials of a lock; `version` is that of the project."""
    root = f"pkg:generic/onefold@{version}"
    packages: dict[str, str] = {}
    parents: dict[str, list[str]] = {}
    name = ""
    for line in lock.splitlines():
        if found := _PACKAGE.match(line):
            name = _normalized(found["name"])
            packages[name] = found["version"]
            parents[name] = []
        elif name and (found := _PARENT.match(line)):
            parents[name].append(_normalized(found["name"]))
    references = {name: f"pkg:pypi/{name}@{version}" for name, version in packages.items()}
    references["onefold"] = root
    children: dict[str, list[str]] = {reference: [] for reference in references.values()}
    for child, named in parents.items():
        for parent in named:
            children[references[parent]].append(references[child])
    digest = hashlib.sha256(lock.encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "onefold",
                "version": version,
                "bom-ref": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "properties": [{"name": "onefold:requirements.lock:sha256", "value": digest}],
        },
        "components": [
            {
                "type": "library",
                "name": name,
                "version": packages[name],
                "purl": references[name],
                "bom-ref": references[name],
            }
            for name in sorted(packages)
        ],
        "dependencies": [
            {"ref": reference, "dependsOn": sorted(set(children[reference]))}
            for reference in sorted(children)
        ],
    }


def _normalized(name: str) -> str:
    """Return the name of a package as package URLs have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def current() -> str:
    """Return the text that sbom.json should have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    made = bill(LOCK.read_text("utf-8"), project["version"])
    return json.dumps(made, indent=1) + "\n"


def main(argv: list[str]) -> int:
    """Write or check the file."""
    if "--check" in argv:
        fresh = SBOM.is_file() and SBOM.read_text("utf-8") == current()
        print("up to date" if fresh else "out of date: run python .ci/sbom.py")
        return 0 if fresh else 1
    SBOM.write_text(current(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
