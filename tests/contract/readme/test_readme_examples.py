"""Runs the shell commands of the README on a fresh system."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.devstack.ports import FIRST_PORT_VARIABLE

ROOT = Path(__file__).resolve().parents[3]
ONEFOLD = [str(ROOT / "onefold")]


def shell_blocks(section: str) -> list[str]:
    """Return the shell blocks of a section of the README."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(rf"^## {section}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {section!r}"
    return re.findall(r"^```sh\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ONEFOLD_")}
    own = {"ONEFOLD_DATA": str(tmp_path / "data"), FIRST_PORT_VARIABLE: "0", "COLUMNS": "120"}
    environment = inherited | own
    try:
        yield environment
    finally:
        subprocess.run([*ONEFOLD, "down"], env=environment, check=False, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_first_events_of_the_readme_make_a_member_of_the_segment(
    environment: dict[str, str],
) -> None:
    *sending, query = shell_blocks("First events")
    # The last event is published to NATS, which acknowledges it before ingest receives it.
    folded = "until ./onefold segments | grep -Eq 'high-intent-trial .* 1 '; do :; done"
    script = "\n".join(["set -euo pipefail", *sending, folded, query])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "email: li@example.cn" in done.stdout
    assert "entered high-intent-trial" in done.stdout
    assert '"success":true' in done.stdout.replace(" ", "")
