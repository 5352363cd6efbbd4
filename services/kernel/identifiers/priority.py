"""The identifier that an event is kept under.

The leaf is a pure function of the event and decides where it lies in the log; so the order of the
namespaces is fixed here, for ever, and no policy changes it. First come the namespaces whose values
are least likely to be shared, as events that are kept under one leaf are never parted again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from services.kernel.identifiers.hashes import hash_algorithm_of
from services.kernel.identifiers.model import Identifier, base_namespace
from services.kernel.ids import LeafId

#: Strongest first. A namespace that is in neither list is weaker than these and stronger than those
#: of `DEVICE_NAMESPACES`; among those the alphabet decides. A digest comes right after what it stands for.
PRIORITY: tuple[str, ...] = (
    *("user_id", "member_id", "wechat_unionid", "wechat_openid", "email", "phone"),
)
#: Browsers before devices, and devices by how hard it is to give them another id: the harder, the
#: longer one id is handed from person to person.
DEVICE_NAMESPACES: tuple[str, ...] = (
    *("anonymous_id", "idfv", "android_id", "idfa", "gaid", "oaid", "imei", "device_id", "cookie"),
)


def primary_identifier(identifiers: Iterable[Identifier]) -> Identifier:
    """The identifier an event is kept under; a pure function of the set.

    Raises ValueError where there is none.
    """
    return min(identifiers, key=priority_of)


def leaf_of(workspace_id: str, identifiers: Iterable[Identifier]) -> LeafId:
    """The leaf of an event with these identifiers (at least one)."""
    return LeafId(primary_identifier(identifiers).id_in(workspace_id))


def priority_of(identifier: Identifier) -> tuple[int, str, str]:
    """What identifiers are sorted by, strongest first."""
    namespace = identifier.namespace
    return (_position(namespace), namespace, identifier.value)


@lru_cache(maxsize=1024)
def _position(namespace: str) -> int:
    """Even numbers for values, the odd ones after them for their digests."""
    algorithm = hash_algorithm_of(namespace)
    plain = namespace.removesuffix(f"_{algorithm}") if algorithm else namespace
    return 2 * _POSITIONS.get(base_namespace(plain), len(PRIORITY)) + bool(algorithm)


_POSITIONS = {n: i for i, n in enumerate(PRIORITY)} | {
    n: len(PRIORITY) + 1 + i for i, n in enumerate(DEVICE_NAMESPACES)
}
