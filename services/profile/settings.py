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
    #: The declared limit from recording a fact in the log to its being visible in the profile,
    #: seconds. Facts that take longer are counted: see `./onefold status`, and the metrics.
    visible_within_s: Annotated[float, Field(gt=0)] = 1.0
    #: The declared limit from a request for a profile, by an identifier or a name, to what is
    #: found, seconds. The time for which it waits for a token is not part of it. Requests that take
    #: longer are counted: see `./onefold status`, and the metrics.
    found_within_s: Annotated[float, Field(gt=0)] = 0.5
    #: Predicates over events of one name, and over traits, that the rules of one workspace may have
    #: in all their versions. Each one adds about 5 us to an event that it matches.
    max_predicates_per_event: Annotated[int, Field(ge=1)] = 2_000
    #: Property filters of predicates over events of one name in one workspace.
    max_filters_per_event: Annotated[int, Field(ge=1)] = 10_000
    #: Predicates in all that the rules of one workspace may have in all their versions.
    max_predicates: Annotated[int, Field(ge=1)] = 10_000
    #: The number of recently folded leaves that are cached; about 1 KB each.
    cached_leaves: Annotated[int, Field(ge=0)] = 50_000
