"""Every error that crosses a room's border::

    OnefoldError
    ├── Refused                  the caller must change something
    │   ├── InvalidField         FIELD_INVALID, with the field's path
    │   ├── NotFound             NOT_FOUND
    │   ├── NotAllowed           KEY_MISSING, KEY_UNKNOWN, KEY_DISABLED, NOT_ALLOWED, CLOCK_NOT_ADJUSTABLE
    │   ├── EtagMismatch         ETAG_MISMATCH
    │   ├── TooLarge             TOO_LARGE
    │   └── RangeGone            RANGE_EXPIRED
    └── Unavailable              try again
        ├── StoreUnavailable     STORE_UNAVAILABLE
        ├── ServiceUnavailable   SERVICE_UNAVAILABLE
        └── TokenNotReached      TOKEN_NOT_REACHED

`reason` is a name of onefold.type.v1.ErrorReason without its prefix. A message tells what to do
next and holds nothing personal.
"""

from __future__ import annotations

from typing import ClassVar


class OnefoldError(Exception):
    """What every error of Onefold is."""

    reason: str = "INTERNAL"

    def __init__(self, message: str, *, field: str = "", **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.metadata = metadata


class ClientError(OnefoldError):
    """The caller must change something before trying again."""


class InvalidField(ClientError):
    """A field is missing or wrong; `field` is its path."""

    reason = "FIELD_INVALID"


class NotFound(ClientError):
    """What was asked for does not exist."""

    reason = "NOT_FOUND"


class NotAllowed(ClientError):
    """The caller is not known, or may not do this."""

    REASONS: ClassVar[frozenset[str]] = frozenset(
        {"KEY_MISSING", "KEY_UNKNOWN", "KEY_DISABLED", "NOT_ALLOWED", "CLOCK_NOT_ADJUSTABLE"}
    )

    def __init__(self, message: str, *, reason: str = "NOT_ALLOWED", **metadata: str) -> None:
        super().__init__(message, **metadata)
        if reason not in self.REASONS:
            raise ValueError(f"{reason} is no reason of NotAllowed")
        self.reason = reason


class Conflict(ClientError):
    """Somebody else wrote in between."""

    reason = "ETAG_MISMATCH"


class TooLarge(ClientError):
    """A request is over a limit."""

    reason = "TOO_LARGE"


class RangeExpired(ClientError):
    """What is asked for is older than what is kept."""

    reason = "RANGE_EXPIRED"


class RetryableError(OnefoldError):
    """Something is away for a while; the same call may succeed later."""

    #: Seconds after which to try again.
    retry_after: float = 1.0


class StoreUnavailable(RetryableError):
    """PostgreSQL cannot be reached."""

    reason = "STORE_UNAVAILABLE"


class ServiceUnavailable(RetryableError):
    """Another service cannot be reached, or did not answer in time."""

    reason = "SERVICE_UNAVAILABLE"


class TokenNotReached(RetryableError):
    """A demanded token was not reached in time."""

    reason = "TOKEN_NOT_REACHED"
