"""An identifier, and what is wrong with one as it came."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from services.kernel.ids import IdentifierId, hash_text

MAX_VALUE = 512
MAX_NAMESPACE = 64
_NAMESPACE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.")

#: Namespaces that come once for each app or place, as `wechat_openid.<appid>`.
SCOPED = frozenset({"wechat_openid"})


class Identifier(NamedTuple):
    """One way to name a person; both parts in standard form."""

    namespace: str
    value: str

    def id_in(self, workspace_id: str) -> IdentifierId:
        """The 16 bytes that stand for this identifier in a workspace."""
        return IdentifierId(hash_text(workspace_id, self.namespace, self.value))


def validation_error(namespace: str, value: object) -> str | None:
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


def base_namespace(namespace: str) -> str:
    """The namespace without its scope: `wechat_openid` for `wechat_openid.wx5f1a`."""
    first, dot, _ = namespace.partition(".")
    return first if dot and first in SCOPED else namespace


@lru_cache(maxsize=1024)
def _is_namespace(text: str) -> bool:
    return 0 < len(text) <= MAX_NAMESPACE and set(text) <= _NAMESPACE_LETTERS
