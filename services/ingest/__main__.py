"""Runs ingest: `python -m services.ingest`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.runtime.run import Endpoints, run
from services.ingest.settings import IngestSettings


@asynccontextmanager
async def serve(settings: IngestSettings) -> AsyncIterator[Endpoints]:
    """Serve ingest until the scope ends."""
    # The process that only starts others needs none of this, and half of the memory without it.
    from services.ingest.service import serve as serve_ingest

    async with serve_ingest(settings) as running:
        yield running


run(IngestSettings, serve, processes=IngestSettings.process_count)
