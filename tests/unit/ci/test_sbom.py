"""The bill of materials lists what the lock installs."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCK = """\
alpha==1.0 \\
    --hash=sha256:00
    # via
    #   Beta.B
    #   onefold (pyproject.toml)
beta-b[extra]==2.0 ; python_version >= "3.11" \\
    --hash=sha256:01
    # via onefold (pyproject.toml)
"""


@pytest.fixture(scope="module")
def sbom() -> Any:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / ".ci" / "sbom.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_bill_has_each_package_with_its_version_and_its_dependents(sbom: Any) -> None:
    made = sbom.bill(LOCK, "0.1")
    assert [c["purl"] for c in made["components"]] == ["pkg:pypi/alpha@1.0", "pkg:pypi/beta-b@2.0"]
    graph = {each["ref"]: each["dependsOn"] for each in made["dependencies"]}
    assert graph == {
        "pkg:generic/onefold@0.1": ["pkg:pypi/alpha@1.0", "pkg:pypi/beta-b@2.0"],
        "pkg:pypi/beta-b@2.0": ["pkg:pypi/alpha@1.0"],
        "pkg:pypi/alpha@1.0": [],
    }
    assert sbom.bill(LOCK, "0.1") == made
    assert sbom.bill(LOCK + "\n", "0.1")["serialNumber"] != made["serialNumber"]


def test_file_is_up_to_date_and_complete(sbom: Any) -> None:
    text = (ROOT / "sbom.json").read_text("utf-8")
    assert text == sbom.current(), "run python .ci/sbom.py"
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len(set(references)) > 50
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[^@]+", reference) for reference in references)
    graph = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    reached: set[str] = set()
    pending = [bill["metadata"]["component"]["bom-ref"]]
    while pending:
        if (reference := pending.pop()) not in reached:
            reached.add(reference)
            pending += graph[reference]
    assert reached == {*references, bill["metadata"]["component"]["bom-ref"]}
