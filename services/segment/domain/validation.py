"""Validates the ids and titles of segments."""

from __future__ import annotations

from services.kernel.errors import InvalidField

MAX_ID = 128
MAX_TITLE = 200


def check_segment_id(segment_id: str, field: str) -> None:
    """Check that a text can be the id of a segment. Raises InvalidField."""
    if not 0 < len(segment_id) <= MAX_ID or not segment_id.isprintable():
        raise InvalidField(f"segment_id has 1 to {MAX_ID} printable characters", field=field)


def check_segment_title(title: str) -> None:
    """Check the length of a title, and that it has no NUL. Raises InvalidField."""
    if len(title) > MAX_TITLE or "\0" in title:
        raise InvalidField(
            f"title has at most {MAX_TITLE} characters and no NUL", field="segment.title"
        )
