"""Identifiers, their standard form, and the leaf.

The standard form is what identifiers are compared by. It is a pure, versioned function; the raw
value stays in the log.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from services.kernel.ids import IdentifierId, LeafId, hash_text

#: Strongest first. A namespace that is not listed is weaker than `phone` and stronger than
#: `anonymous_id`; among those the alphabet decides.
STRENGTH: tuple[str, ...] = ("user_id", "member_id", "wechat_unionid", "email", "phone")
WEAKEST: tuple[str, ...] = ("anonymous_id", "device_id", "cookie")

#: Values that name nobody, after standardising, in lower case.
JUNK: frozenset[str] = frozenset(
    {
        *("", "null", "none", "nil", "undefined", "nan", "n/a", "na", "anonymous", "guest"),
        *("unknown", "test", "test@test.com", "user", "true", "false", "[object object]", "-"),
        *("00000000-0000-0000-0000-000000000000", "your_user_id", "distinct_id", "not_specified"),
    }
)

MAX_VALUE = 512
MAX_NAMESPACE = 64
_NAMESPACE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.")


class Identifier(NamedTuple):
    """One way to name a person; both parts in standard form."""

    namespace: str
    value: str

    def id_in(self, workspace_id: str) -> IdentifierId:
        """The 16 bytes that stand for this identifier in a workspace."""
        return IdentifierId(hash_text(workspace_id, self.namespace, self.value))


def standard(namespace: str, value: str) -> Identifier | None:
    """The standard form of an identifier, or None where the value names nobody.

    `namespace` and `value` must be valid as `fault` says.
    """
    standardise = _STANDARD.get(namespace, str.strip)
    shaped = standardise(unicodedata.normalize("NFKC", value).strip())
    if _is_junk(shaped):
        return None
    return Identifier(namespace, shaped)


def fault(namespace: str, value: object) -> str | None:
    """What is wrong with an identifier as it came, for people; None where nothing is."""
    if not _is_namespace(namespace):
        return f"a namespace has 1 to {MAX_NAMESPACE} characters of a-z, 0-9, '_' and '.'"
    if not isinstance(value, str):
        return f"the value of {namespace} must be a string"
    if len(value) > MAX_VALUE:
        return f"the value of {namespace} has more than {MAX_VALUE} characters"
    if not value.isprintable():
        return f"the value of {namespace} has characters that cannot be printed"
    return None


def strongest(identifiers: Iterable[Identifier]) -> Identifier:
    """The identifier an event is kept under; a pure function of the set.

    Raises ValueError where there is none.
    """
    return min(identifiers, key=_rank)


def leaf_of(workspace_id: str, identifiers: Iterable[Identifier]) -> LeafId:
    """The leaf of an event with these identifiers (at least one)."""
    return LeafId(strongest(identifiers).id_in(workspace_id))


@lru_cache(maxsize=1024)
def _is_namespace(text: str) -> bool:
    return 0 < len(text) <= MAX_NAMESPACE and set(text) <= _NAMESPACE_LETTERS


def _rank(identifier: Identifier) -> tuple[int, str, str]:
    namespace = identifier.namespace
    return (_RANKS.get(namespace, len(STRENGTH)), namespace, identifier.value)


def _is_junk(value: str) -> bool:
    lowered = value.lower()
    return lowered in JUNK or not lowered.strip("0-. _")


def _phone(value: str) -> str:
    return value.translate(_PHONE_NOISE)


_PHONE_NOISE = str.maketrans("", "", " -().\u00a0")
_STANDARD: dict[str, Callable[[str], str]] = {"email": str.lower, "phone": _phone}
_RANKS = {n: i for i, n in enumerate(STRENGTH)} | {
    n: len(STRENGTH) + 1 + i for i, n in enumerate(WEAKEST)
}
