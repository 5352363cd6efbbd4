"""Settings of ingest."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from services.chassis.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """What ingest needs to know beside what every service does."""

    service: ClassVar[str] = "ingest"

    #: The first admin key of the workspace `default`; at least 32 characters. None = one is made
    #: on first start and written to `<data_dir>/admin.key`.
    admin_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    #: The largest body that is taken in over HTTP, unpacked, bytes.
    max_body_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    #: How long a request over HTTP may take, with the sending of its body, seconds.
    http_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    #: How often definitions that other replicas have told are looked for, seconds.
    definitions_poll_s: Annotated[float, Field(gt=0)] = 2.0
    #: Copies of what NATS publishers send, in a cluster of NATS.
    nats_replicas: Annotated[int, Field(ge=1, le=5)] = 1
