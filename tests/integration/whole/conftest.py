"""Fixtures: one running system for the tests of a file, each in a workspace of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from integration.whole.whole_system import WholeSystem, whole_system
from service_fixtures import MakeSettings


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    module_settings: MakeSettings, internal_key: str, module_folder: Path
) -> AsyncIterator[WholeSystem]:
    """Run all services for the tests of this file."""
    async with whole_system(module_settings, internal_key, module_folder) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def workspace(running: WholeSystem) -> WholeSystem:
    """A new workspace of the running system."""
    return await running.new_workspace()
