"""Chooses the identifier that decides the leaf of an event.

The leaf is a pure function of the event and decides its shard of the log. So the order of the
namespaces is fixed for ever, and no policy changes it. The namespaces whose values are least likely
to be shared come first, as events of one leaf can never be separated.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from services.kernel.identifiers.hashes import hash_algorithm_of
from services.kernel.identifiers.model import Identifier, base_namespace
from services.kernel.identifiers.normalize import account_of
from services.kernel.ids import LeafId
from services.kernel.index_key import IndexKey

#: Highest priority first. A namespace in neither list comes after these and before
#: `DEVICE_NAMESPACES`, in alphabetical order. A digest comes right after the plain value.
PRIORITY: tuple[str, ...] = (
    "user_id",
    "member_id",
    "wechat_unionid",
    "wechat_openid",
    "email",
    "phone",
)
#: Browsers before devices. The harder an id of a device is to reset, the later it comes, as the
#: device takes it along from person to person.
DEVICE_NAMESPACES: tuple[str, ...] = (
    "anonymous_id",
    "idfv",
    "android_id",
    "idfa",
    "gaid",
    "oaid",
    "imei",
    "device_id",
    "cookie",
)
#: Addresses at which a person is reached; several persons may share one.
CONTACT_NAMESPACES: tuple[str, ...] = ("email", "phone")


def primary_identifier(identifiers: Iterable[Identifier]) -> Identifier:
    """Return the identifier with the highest priority; a pure function of the set.

    Raises ValueError if the set is empty.
    """
    return min(identifiers, key=priority_of)


def leaf_of(workspace_id: str, identifiers: Iterable[Identifier], index_key: IndexKey) -> LeafId:
    """Return the leaf of an event with these identifiers (at least one)."""
    return LeafId(primary_identifier(identifiers).id_in(workspace_id, index_key))


@lru_cache(maxsize=1 << 12)
def account_leaf(workspace_id: str, group_id: str, index_key: IndexKey) -> LeafId | None:
    """Return the leaf of a group id; None if it identifies no account."""
    account = account_of(group_id)
    return None if account is None else LeafId(account.id_in(workspace_id, index_key))


def priority_of(identifier: Identifier) -> tuple[int, str, str]:
    """Return the sort key of an identifier; the highest priority is the smallest key."""
    namespace = identifier.namespace
    return (_position(namespace), namespace, identifier.value)


@lru_cache(maxsize=1024)
def is_device_namespace(namespace: str) -> bool:
    """Return whether identifiers of a namespace are devices; its scoped forms and digests too.

    All others identify a person or an account.
    """
    return base_namespace(plain_namespace(namespace)) in DEVICE_NAMESPACES


@lru_cache(maxsize=1024)
def is_contact_namespace(namespace: str) -> bool:
    """Return whether identifiers of a namespace are addresses; its scoped forms and digests too."""
    return base_namespace(plain_namespace(namespace)) in CONTACT_NAMESPACES


@lru_cache(maxsize=1024)
def _position(namespace: str) -> int:
    """Return an even number for values, and the odd number after it for their digests."""
    position = _POSITIONS.get(base_namespace(plain_namespace(namespace)), len(PRIORITY))
    return 2 * position + bool(hash_algorithm_of(namespace))


def plain_namespace(namespace: str) -> str:
    """Return the namespace of the values whose digests a namespace has."""
    algorithm = hash_algorithm_of(namespace)
    return namespace.removesuffix(f"_{algorithm}") if algorithm else namespace


_POSITIONS = {n: i for i, n in enumerate(PRIORITY)} | {
    n: len(PRIORITY) + 1 + i for i, n in enumerate(DEVICE_NAMESPACES)
}
