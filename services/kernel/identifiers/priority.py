"""The identifier that an event is kept under.

The leaf is a pure function of the event and decides where it lies in the log; so the order of the
namespaces is fixed here, for ever, and no policy changes it. First come the namespaces whose values
are least likely to be shared, as events that are kept under one leaf are never parted again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from services.kernel.identifiers.hashes import algorithm_of
from services.kernel.identifiers.model import Identifier, family
from services.kernel.ids import LeafId

#: Strongest first. A namespace that is in neither list is weaker than these and stronger than those
#: of `WEAKEST`; among those the alphabet decides. A digest comes right after what it stands for.
STRENGTH: tuple[str, ...] = (
    *("user_id", "member_id", "wechat_unionid", "wechat_openid", "email", "phone"),
)
#: Browsers before devices, and devices by how hard it is to give them another id: the harder, the
#: longer one id is handed from person to person.
WEAKEST: tuple[str, ...] = (
    *("anonymous_id", "idfv", "android_id", "idfa", "gaid", "oaid", "imei", "device_id", "cookie"),
)


def strongest(identifiers: Iterable[Identifier]) -> Identifier:
    """The identifier an event is kept under; a pure function of the set.

    Raises ValueError where there is none.
    """
    return min(identifiers, key=rank)


def leaf_of(workspace_id: str, identifiers: Iterable[Identifier]) -> LeafId:
    """The leaf of an event with these identifiers (at least one)."""
    return LeafId(strongest(identifiers).id_in(workspace_id))


def rank(identifier: Identifier) -> tuple[int, str, str]:
    """What identifiers are sorted by, strongest first."""
    namespace = identifier.namespace
    return (_place(namespace), namespace, identifier.value)


@lru_cache(maxsize=1024)
def _place(namespace: str) -> int:
    """Even numbers for values, the odd ones after them for their digests."""
    algorithm = algorithm_of(namespace)
    plain = namespace.removesuffix(f"_{algorithm}") if algorithm else namespace
    return 2 * _RANKS.get(family(plain), len(STRENGTH)) + bool(algorithm)


_RANKS = {n: i for i, n in enumerate(STRENGTH)} | {
    n: len(STRENGTH) + 1 + i for i, n in enumerate(WEAKEST)
}
