"""Runs ingest: `python -m services.ingest`."""

from services.chassis.runtime.run import run
from services.ingest.settings import IngestSettings

run(IngestSettings, "services.ingest.service", processes=IngestSettings.process_count)
