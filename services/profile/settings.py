"""Settings of profile."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.runtime.settings import ServiceSettings


class ProfileSettings(ServiceSettings):
    """What profile needs to know beside what every service does."""

    service: ClassVar[str] = "profile"

    #: How long what was said is kept for segment and others to read again, seconds.
    outbox_retention_s: Annotated[float, Field(gt=0)] = 86_400.0
    #: Leaves that were folded last and need not be loaded again; about 1 KB each.
    remembered_leaves: Annotated[int, Field(ge=0)] = 50_000
