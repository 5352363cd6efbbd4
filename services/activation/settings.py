"""Defines the settings of activation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from services.chassis.runtime.settings import ServiceSettings


class ActivationSettings(ServiceSettings):
    """The settings of activation, in addition to those of every service."""

    service: ClassVar[str] = "activation"

    #: `allowed` lets webhooks reach loopback and private addresses. Refuse it if the users who may
    #: define destinations may not reach your own network.
    private_targets: Literal["refused", "allowed"] = "refused"
    #: Attempts at a delivery before it is dead.
    max_attempts: Annotated[int, Field(ge=1)] = 24
    #: Seconds before the second attempt; the delay doubles with each attempt.
    initial_backoff_s: Annotated[float, Field(gt=0)] = 1.0
    #: The longest delay between two attempts, seconds.
    max_backoff_s: Annotated[float, Field(gt=0)] = 3_600.0
