"""Runs the service: `python -m services.segment`."""

from services.chassis.runtime.run import run
from services.segment.settings import SegmentSettings

run(SegmentSettings, "services.segment.service")
