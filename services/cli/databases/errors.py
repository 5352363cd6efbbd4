"""Holds the errors of other systems' databases."""

from __future__ import annotations

from services.kernel.errors import OnefoldError


class DatabaseError(OnefoldError):
    """A database of another system refuses a read."""


class DatabaseUnreachable(DatabaseError):
    """A database of another system cannot be reached, or ends the connection."""
