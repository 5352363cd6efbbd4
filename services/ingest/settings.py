"""Defines the settings of ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from services.chassis.runtime.cpu import usable_processors
from services.chassis.runtime.settings import IndexKeyText, Port, ServiceSettings
from services.chassis.runtime.shared_ports import CAN_SPREAD
from services.kernel.identifiers.phones import is_region

#: Each appends to the same log, one after the other, so more of them hardly help.
_MOST_PROCESSES = 8


def _region(text: str) -> str:
    region = text.upper()
    if region and not is_region(region):
        raise ValueError("a region is two letters of ISO 3166, such as CN or US")
    return region


class IngestSettings(ServiceSettings):
    """The settings of ingest beside those of every service."""

    service: ClassVar[str] = "ingest"

    #: The secret that ids are derived with: `1.` and 64 hexadecimal digits, the same for ingest,
    #: identity and profile for as long as the log exists. Without it no identifier can be found
    #: again: store a copy apart from the database. Required.
    index_key: IndexKeyText
    #: The number of processes that serve the endpoints together, on the same ports; 0 = one for
    #: each processor that the service may use, and at most 8. Elsewhere than on Linux it is 1.
    #: `postgres_connections` is divided among them, and each has at least 6; all other limits count
    #: in each process.
    processes: Annotated[int, Field(ge=0, le=64)] = 0
    #: The port for events over HTTP; 0 = any free port.
    http_port: Port = 0
    #: The first admin key of the workspace `default`; at least 32 characters. Unset = the first
    #: start creates one and writes it to `<data_dir>/admin.key`.
    admin_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    #: How long the previous admin key stays valid after another one is set, seconds; 0 = it expires
    #: at once.
    admin_key_overlap_s: Annotated[float, Field(ge=0, le=90 * 86_400)] = 86_400.0
    #: The region of phone numbers without a country code in the workspace `default`: two letters of
    #: ISO 3166. The first start fixes it; empty = `CN`, or the region that is fixed already.
    default_region: Annotated[str, AfterValidator(_region)] = ""
    #: The largest body of an HTTP request after decompression, bytes.
    max_body_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    #: The time limit of an HTTP request, and of sending its body, seconds.
    http_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    #: The most open connections of the HTTP endpoint.
    http_connections: Annotated[int, Field(ge=1)] = 2_000
    #: The most open connections of one address that is no trusted proxy; 0 = no limit of its own.
    http_connections_per_address: Annotated[int, Field(ge=0)] = 500
    #: The most bytes of all bodies of HTTP requests in flight. Senders without a known key share an
    #: eighth of it, and one key has at most half.
    http_memory_bytes: Annotated[int, Field(ge=1024 * 1024)] = 128 * 1024 * 1024
    #: The most events a second of one key of a public source; ten times as many at once. 0 = no
    #: limit.
    public_events_per_s: Annotated[float, Field(ge=0)] = 5_000.0
    #: The most bytes a second of one key of a public source; ten times as many at once. 0 = no
    #: limit.
    public_bytes_per_s: Annotated[float, Field(ge=0)] = 5_000_000.0
    #: The part of both that one address may use with the key.
    public_address_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    #: The most events a second of one key of another source; ten times as many at once. 0 = no
    #: limit.
    server_events_per_s: Annotated[float, Field(ge=0)] = 0.0
    #: The most bytes a second of one key of another source; ten times as many at once. 0 = no
    #: limit.
    server_bytes_per_s: Annotated[float, Field(ge=0)] = 0.0
    #: The most events that the quarantine stores of one source.
    quarantine_entries: Annotated[int, Field(ge=0)] = 100_000
    #: The most bytes of events that the quarantine stores of one source.
    quarantine_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024
    #: How long an event stays in quarantine, days.
    quarantine_days: Annotated[float, Field(gt=0)] = 30.0
    #: The file of the receipts of erasures, outside of the database: after the restore of an older
    #: backup the first start erases these persons again. Unset = `<data_dir>/erasures.jsonl`.
    erasure_receipts: Path | None = None
    #: How long it is listed that a message was sent again, days since the last time.
    duplicate_days: Annotated[float, Field(gt=0)] = 30.0
    #: Nothing is appended while the clock of PostgreSQL is further than this ahead of the machine's
    #: and an hour after the last fact, seconds: nothing takes back what the log has recorded. To
    #: accept such a clock, set more for one start.
    max_clock_ahead_s: Annotated[float, Field(gt=0)] = 3_600.0
    #: How often definitions that other replicas appended are folded, seconds.
    definitions_poll_s: Annotated[float, Field(gt=0)] = 2.0

    def receipts_file(self) -> Path | None:
        """Return the file of the receipts of erasures; None where there is no folder for it."""
        own = self.data_dir / "erasures.jsonl" if self.data_dir else None
        return self.erasure_receipts or own

    def process_count(self) -> int:
        """Return the number of processes."""
        if not CAN_SPREAD:
            return 1
        return self.processes or min(usable_processors(), _MOST_PROCESSES)
