"""Decides what a correction changes, and what an id of a model is."""

from __future__ import annotations

import re

from services.kernel.errors import NotFound
from services.kernel.fold.additions import last_correction
from services.kernel.fold.leaf import ProfileView
from services.kernel.fold.trait_values import canonical_value

_MODEL_ID = re.compile("[a-z0-9][a-z0-9_-]{0,62}")


def is_model_id(text: str) -> bool:
    """Return whether a text can be the id of a model."""
    return _MODEL_ID.fullmatch(text) is not None


def correction_before(view: ProfileView, trait: str, value: bytes, reason: str) -> bytes | None:
    """Return the fact that a correction follows, b"" for the first one; None where it counts
    already.

    `value` is JSON, and empty where the corrections are withdrawn. Raises NotFound where there is
    nothing to withdraw.
    """
    last = last_correction(view.additions, trait)
    if not value and (last is None or not last[2]):
        raise NotFound("the trait has no correction to withdraw")
    if last is None:
        return b""
    counts = value and (canonical_value(value), reason) == (last[2], last[4])
    return None if counts else last[1]
