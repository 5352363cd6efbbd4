"""Settings of segment."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.runtime.settings import ServiceSettings


class SegmentSettings(ServiceSettings):
    """What segment needs to know beside what every service does."""

    service: ClassVar[str] = "segment"

    #: How long what was said is kept for activation and others to read again, seconds.
    outbox_retention_s: Annotated[float, Field(gt=0)] = 7 * 86_400.0
