"""Runs ingest: `python -m services.ingest`."""

from services.chassis.runtime.run import run
from services.ingest.service import serve
from services.ingest.settings import IngestSettings

run(IngestSettings, serve)
