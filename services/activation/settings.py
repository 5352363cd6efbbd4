"""Settings of activation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from services.chassis.runtime.settings import ServiceSettings


class ActivationSettings(ServiceSettings):
    """What activation needs to know beside what every service does."""

    service: ClassVar[str] = "activation"

    #: `allowed` lets webhooks reach loopback and private addresses. Refuse it where people whom
    #: you do not trust with your own network may define destinations.
    private_targets: Literal["refused", "allowed"] = "refused"
    #: How often a delivery is tried before it is dead.
    attempts: Annotated[int, Field(ge=1)] = 24
    #: Seconds before the second attempt; the pause doubles with each.
    first_pause_s: Annotated[float, Field(gt=0)] = 1.0
    #: The longest pause between two attempts, seconds.
    longest_pause_s: Annotated[float, Field(gt=0)] = 3_600.0
