"""Recognises placeholders: values that programs and forms send instead of an identifier.

The list is the same for every workspace. A workspace blocks further values in its identity policy,
which a leaf never depends on.
"""

from __future__ import annotations

#: In lower case.
PLACEHOLDERS: frozenset[str] = frozenset(
    {
        *("", "null", "(null)", "none", "nil", "undefined", "nan", "n/a", "na", "anonymous"),
        *("guest", "unknown", "test", "test@test.com", "user", "true", "false", "-", "default"),
        *("00000000-0000-0000-0000-000000000000", "your_user_id", "distinct_id"),
        *("not_specified", "not set", "(not set)", "empty", "blank", "string", "无", "空", "未知"),
    }
)

# A variable that was not filled in: {{user_id}}, ${uid}, %uid%, <id>, [object Object], __IDFA__.
_TEMPLATE_BRACKETS = {"{": "}", "$": "}", "%": "%", "<": ">", "[": "]"}


def is_placeholder(value: str) -> bool:
    """Return whether a value in canonical form identifies no one, in any namespace."""
    lowered = value.lower()
    if lowered in PLACEHOLDERS or not lowered.strip("0-. _"):
        return True
    # A masked value such as 138****0000 stands for ten thousand numbers.
    return "**" in lowered or (value[0] in "{$%<[_" and _is_template(value))


def _is_template(value: str) -> bool:
    if value.startswith("__"):
        return len(value) > 4 and value.endswith("__")
    return len(value) > 1 and value.endswith(_TEMPLATE_BRACKETS.get(value[0], "\0"))
