"""Settings of identity."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.runtime.settings import ServiceSettings


class IdentitySettings(ServiceSettings):
    """What identity needs to know beside what every service does."""

    service: ClassVar[str] = "identity"

    #: How long what was said is kept for profile to read again, seconds.
    outbox_retention_s: Annotated[float, Field(gt=0)] = 86_400.0
    #: Sets of identifiers whose evidence is remembered to be known; about 0.5 KB each.
    remembered: Annotated[int, Field(ge=0)] = 100_000
