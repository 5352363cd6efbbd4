"""Settings of ingest."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from services.chassis.runtime.settings import ServiceSettings
from services.kernel.identifiers import is_region


def _region(told: str) -> str:
    region = told.upper()
    if region and not is_region(region):
        raise ValueError("no region that telephone numbers are known of, such as CN or US")
    return region


class IngestSettings(ServiceSettings):
    """What ingest needs to know beside what every service does."""

    service: ClassVar[str] = "ingest"

    #: The first admin key of the workspace `default`; at least 32 characters. None = one is made
    #: on first start and written to `<data_dir>/admin.key`.
    admin_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    #: Where telephone numbers without a country code are dialled, in the workspace `default`: two
    #: letters of ISO 3166. Given once, on first start; empty = `CN`, or what was given then.
    default_region: Annotated[str, AfterValidator(_region)] = ""
    #: The largest body that is taken in over HTTP, unpacked, bytes.
    max_body_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    #: How long a request over HTTP may take, with the sending of its body, seconds.
    http_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    #: How often definitions that other replicas have told are looked for, seconds.
    definitions_poll_s: Annotated[float, Field(gt=0)] = 2.0
    #: Copies of what NATS publishers send, in a cluster of NATS.
    nats_replicas: Annotated[int, Field(ge=1, le=5)] = 1
