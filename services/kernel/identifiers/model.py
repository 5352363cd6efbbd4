"""Defines identifiers and validates raw ones."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from services.kernel.ids import IdentifierId, hash_text

MAX_VALUE = 512
MAX_NAMESPACE = 64
_NAMESPACE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.")

#: Namespaces with one scope per app, as in `wechat_openid.<appid>`.
SCOPED = frozenset({"wechat_openid"})


class Identifier(NamedTuple):
    """An identifier of a person or an account; both parts are in canonical form."""

    namespace: str
    value: str

    def id_in(self, workspace_id: str) -> IdentifierId:
        """Return the id of this identifier in a workspace (16 bytes)."""
        return IdentifierId(hash_text(workspace_id, self.namespace, self.value))


def validation_error(namespace: str, value: object) -> str | None:
    """Return what is wrong with a raw identifier, as a text for people; None if it is valid."""
    if not _is_namespace(namespace):
        return f"a namespace has 1 to {MAX_NAMESPACE} characters of a-z, 0-9, '_' and '.'"
    if not isinstance(value, str):
        return f"the value of {namespace} must be a string"
    if len(value) > MAX_VALUE:
        return f"the value of {namespace} has more than {MAX_VALUE} characters"
    if not value.isprintable():
        return f"the value of {namespace} has characters that cannot be printed"
    return None


def base_namespace(namespace: str) -> str:
    """Return the namespace without its scope: `wechat_openid` for `wechat_openid.wx5f1a`."""
    first, dot, _ = namespace.partition(".")
    return first if dot and first in SCOPED else namespace


@lru_cache(maxsize=1024)
def _is_namespace(text: str) -> bool:
    return 0 < len(text) <= MAX_NAMESPACE and set(text) <= _NAMESPACE_LETTERS
