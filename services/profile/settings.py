"""Defines the settings of profile."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.runtime.settings import IndexKeyText, ServiceSettings


class ProfileSettings(ServiceSettings):
    """The settings of profile, in addition to those of every service."""

    service: ClassVar[str] = "profile"

    #: The secret that ids of identifiers are derived with: `1.` and 64 hexadecimal digits, the same
    #: for ingest, identity and profile for as long as the log exists. Required.
    index_key: IndexKeyText
    #: Seconds for which published messages can be read again by segment and others.
    outbox_retention_s: Annotated[float, Field(gt=0)] = 86_400.0
    #: The number of recently folded leaves that are cached; about 1 KB each.
    cached_leaves: Annotated[int, Field(ge=0)] = 50_000
