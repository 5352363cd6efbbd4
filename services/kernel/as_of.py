"""Names a past to answer for: what was known in a state of the log, or what had happened."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.tokens import Token


@dataclass(frozen=True, slots=True)
class AsOf:
    """A past: by the facts before a token, or by those that occurred up to an instant."""

    token: Token | None = None
    #: Unix microseconds; it counts where there is no token.
    occurred_until_us: int = 0

    @property
    def before_us(self) -> int:
        """The first instant whose facts are no part of it; 0 = every fact before the token is."""
        return 0 if self.token is not None else self.occurred_until_us + 1
