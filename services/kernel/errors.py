"""Defines every error that crosses the border of a service.

`reason` is a name of onefold.type.v1.ErrorReason without its prefix. A message states the next step
and contains nothing personal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class OnefoldError(Exception):
    """The base of all errors of Onefold; itself an internal error."""

    reason: str = "INTERNAL"

    def __init__(self, message: str, *, field: str = "", **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.metadata = metadata


class ClientError(OnefoldError):
    """The caller must change something before a retry."""


class InvalidField(ClientError):
    """A field is missing or wrong; `field` is its path."""

    reason = "FIELD_INVALID"


class NotFound(ClientError):
    """The requested entry does not exist."""

    reason = "NOT_FOUND"


class NotAllowed(ClientError):
    """The caller is unknown or may not do this."""

    REASONS: ClassVar[frozenset[str]] = frozenset(
        {
            *("KEY_MISSING", "KEY_UNKNOWN", "KEY_DISABLED", "KEY_EXPIRED"),
            *("ORIGIN_NOT_ALLOWED", "ADDRESS_NOT_ALLOWED", "NOT_ALLOWED", "CLOCK_NOT_ADJUSTABLE"),
        }
    )

    def __init__(self, message: str, *, reason: str = "NOT_ALLOWED", **metadata: str) -> None:
        super().__init__(message, **metadata)
        if reason not in self.REASONS:
            raise ValueError(f"{reason} is not a reason of NotAllowed")
        self.reason = reason


class Conflict(ClientError):
    """Another caller has written in between."""

    reason = "ETAG_MISMATCH"


class TooLarge(ClientError):
    """A request exceeds a limit."""

    reason = "TOO_LARGE"


class RangeExpired(ClientError):
    """The requested range is older than the oldest stored message."""

    reason = "RANGE_EXPIRED"


class UpstreamWentBack(ClientError):
    """The requested range begins after the end of the stream, which was restored from a backup."""

    reason = "UPSTREAM_WENT_BACK"


class RetryableError(OnefoldError):
    """Something is unavailable for a while; the same call may succeed later."""

    #: Seconds before a retry.
    retry_after: float = 1.0


class StoreUnavailable(RetryableError):
    """PostgreSQL cannot be reached."""

    reason = "STORE_UNAVAILABLE"


class ServiceUnavailable(RetryableError):
    """Another service cannot be reached, or did not respond in time."""

    reason = "SERVICE_UNAVAILABLE"


class TokenNotReached(RetryableError):
    """A required token was not reached in time."""

    reason = "TOKEN_NOT_REACHED"


class RateLimited(RetryableError):
    """A caller exceeds its rate; nothing of the call was stored."""

    reason = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after: float = 1.0, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.retry_after = retry_after


class RuleError(InvalidField):
    """A rule is wrong at `field`, such as `all[1].distinct.property`; empty = the rule itself.

    `problem` describes the mistake, `remedy` the correct form.
    """

    def __init__(self, problem: str, remedy: str, *, field: str = "") -> None:
        prefix = f"{field}: " if field else ""
        super().__init__(f"{prefix}{problem}; {remedy}", field=field)
        self.problem = problem
        self.remedy = remedy

    def under(self, path: str) -> RuleError:
        """Return the same error as seen from the rule that has this part at `path`."""
        return RuleError(self.problem, self.remedy, field=join_path(path, self.field))


class RuleTooLarge(RuleError):
    """A rule exceeds a limit as a whole; its other mistakes are not looked for."""

    def under(self, path: str) -> RuleTooLarge:
        """Return the same error as seen from the rule that has this part at `path`."""
        return RuleTooLarge(self.problem, self.remedy, field=join_path(path, self.field))


class RuleErrors(RuleError):
    """Several parts of a rule are wrong. It names all of them; its field is that of the first."""

    def __init__(self, errors: Sequence[RuleError]) -> None:
        super().__init__(errors[0].problem, errors[0].remedy, field=errors[0].field)
        self.errors = [part for error in errors for part in getattr(error, "errors", [error])]
        self.message = "; ".join(dict.fromkeys(error.message for error in self.errors))
        self.args = (self.message,)

    def under(self, path: str) -> RuleErrors:
        """Return the same errors as seen from the rule that has this part at `path`."""
        return RuleErrors([error.under(path) for error in self.errors])


def join_path(parent: str, child: str) -> str:
    """Join two parts of a path: `all[1]` and `distinct` make `all[1].distinct`."""
    if not parent or not child or child.startswith("["):
        return parent + child
    return f"{parent}.{child}"
