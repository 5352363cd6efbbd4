"""Defines the settings of segment."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.runtime.settings import ServiceSettings


class SegmentSettings(ServiceSettings):
    """The settings of segment beside those of every service."""

    service: ClassVar[str] = "segment"

    #: How long published messages stay in the outbox, seconds; older ones are replayed from the
    #: history.
    outbox_retention_s: Annotated[float, Field(gt=0)] = 7 * 86_400.0
