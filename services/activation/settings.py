"""Defines the settings of activation."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr, field_validator

from services.activation.domain.sealing import SecretKeys
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.targets import AllowedTargets
from services.chassis.runtime.settings import ServiceSettings


class ActivationSettings(ServiceSettings):
    """The settings of activation, in addition to those of every service."""

    service: ClassVar[str] = "activation"

    #: The keys that seal the secrets of destinations, `VERSION.<64 hexadecimal digits>`, separated
    #: by commas. The one with the highest version seals; the others open what they have sealed.
    #: Required; keep it outside of PostgreSQL and its backups.
    secrets_key: SecretStr
    #: Private targets that destinations may reach, such as
    #: `coupons.internal:8080,10.1.2.3:443,10.2.0.0/16:8443,[fd00::/8]:443`. An entry without a port
    #: stands for ports 80 and 443. All users who may define destinations can reach them. Brokers of
    #: Kafka stand here one by one, public ones too.
    private_targets: str = ""
    #: NATS subjects outside of `onefold.out.WORKSPACE.` that destinations may publish on, such as
    #: `school=orders.created,school=coupons.>`; `*=` stands for every workspace. The service's user
    #: of NATS needs the permission to publish there.
    nats_subjects: str = ""
    #: Attempts at a delivery before it is dead.
    max_attempts: Annotated[int, Field(ge=1)] = 24
    #: Seconds before the second attempt; the delay doubles with each attempt.
    initial_backoff_s: Annotated[float, Field(gt=0)] = 1.0
    #: The longest delay between two attempts, seconds.
    max_backoff_s: Annotated[float, Field(gt=0)] = 3_600.0

    #: Calls of one destination that a replica makes beside each other. If the process is killed, at
    #: most so many messages without an answer are sent a second time, and those whose answers of
    #: about the last tenth of a second are not recorded, with the same key. More of them send
    #: faster to a receiver that responds slowly.
    max_in_flight: Annotated[int, Field(ge=1, le=1_000)] = 32
    #: The declared limit from recording an event to the decisions that follow the change of a
    #: membership by it, seconds. Changes that exceed it are counted.
    decided_within_s: Annotated[float, Field(gt=0)] = 2.0
    #: The declared limit from recording an event to the answer of the receiver that gets the change
    #: of a membership by it, seconds. Messages that exceed it are counted, but not those of
    #: journeys, which wait on purpose.
    sent_within_s: Annotated[float, Field(gt=0)] = 5.0
    #: Days after the end of a delivery for which its message is stored; then the message, which is
    #: personal, is deleted. The state of the delivery and its reason stay.
    payload_retention_days: Annotated[float, Field(gt=0)] = 7.0

    @field_validator("secrets_key")
    @classmethod
    def _check_secrets_key(cls, value: SecretStr) -> SecretStr:
        SecretKeys.parse(value.get_secret_value())
        return value

    @field_validator("private_targets")
    @classmethod
    def _check_private_targets(cls, value: str) -> str:
        AllowedTargets.parse(value)
        return value

    @field_validator("nats_subjects")
    @classmethod
    def _check_nats_subjects(cls, value: str) -> str:
        AllowedSubjects.parse(value)
        return value
