"""Services that tests start as forks are their children, with an environment of their own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from services.devstack.service_process import ServiceProcess


@pytest.mark.usefixtures("forked_services")
async def test_forked_service_has_its_environment_and_log_and_its_exit_code_is_known(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    env = {"PATH": os.environ["PATH"], "ONEFOLD_DATA_DIR": str(tmp_path)}
    process = ServiceProcess("profile", env, log, "http://127.0.0.1:1/readyz")
    process.start()
    assert process._child
    assert await asyncio.to_thread(process._child.wait) == 2
    assert "ONEFOLD_POSTGRES_DSN: Field required" in log.read_text()
