"""Defines the settings of identity."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from services.chassis.runtime.settings import IndexKeyText, ServiceSettings


class IdentitySettings(ServiceSettings):
    """The settings of identity, in addition to those of every service."""

    service: ClassVar[str] = "identity"

    #: The secret that ids of identifiers are derived with: `1.` and 64 hexadecimal digits, the same
    #: for ingest, identity and profile for as long as the log exists. Required.
    index_key: IndexKeyText
    #: How long published messages are stored for profile to read again, seconds.
    outbox_retention_s: Annotated[float, Field(gt=0)] = 86_400.0
    #: Identifier sets whose evidence is cached; about 0.5 KB each.
    evidence_cache_size: Annotated[int, Field(ge=0)] = 100_000
    #: Identifier sets that a rebuild holds at once; about 0.6 KB each. If the log has more of them,
    #: each further part is compared with what is stored, which takes several times as long.
    rebuild_identifier_sets: Annotated[int, Field(ge=1)] = 250_000
