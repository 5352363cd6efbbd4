"""The demo as a newcomer starts it, with fewer visitors: it compares every figure of its report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.devstack.folders import ROOT

MIN_LINES = 50


@pytest.mark.timeout(300)
def test_demo_succeeds_with_all_figures_as_expected(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "--visitors", "300"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4_000:] + run.stderr[-4_000:]
    assert "All figures are as expected." in run.stdout
    assert "precision 1.0000, recall 1.0000" in run.stdout
    assert "high-intent-trial" in run.stdout
    assert not [line for line in run.stderr.splitlines() if "error" in line.lower()]
    assert len(run.stdout.splitlines()) > MIN_LINES
