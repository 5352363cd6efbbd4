"""Who calls: the one door to keys, principals and roles.

A key decides the workspace, the role and, for a source, where its events belong. Services call
each other with the internal key and name the workspace in the metadata `onefold-workspace`.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.chassis.access.keys import hash_key
from services.chassis.access.principal import (
    Principal,
    Role,
)
from services.chassis.access.tables import (
    AccessKey,
    LoadKey,
    LoadRegion,
)
from services.chassis.runtime.deadlines import clip_to_deadline
from services.kernel.errors import NotAllowed, StoreUnavailable
from services.kernel.identifiers import DEFAULT_REGION
from services.kernel.ids import WorkspaceId

T = TypeVar("T")

_MAX_CACHED = 10_000
_LOOKUP_S = 5.0


class Authenticator:
    """Knows keys: looks them up, and believes an answer for a short while.

    A key that another replica's log tells to be disabled may be believed for `ttl_s`; one that is
    new, refused for `miss_ttl_s`.
    """

    #: How long lookups go past the cache after `forget`, seconds: longer than a fold takes to
    #: commit, so that nothing that was read before the commit is believed after it.
    CACHE_BYPASS_S = 5.0

    def __init__(
        self,
        load: LoadKey,
        internal_key: str,
        *,
        load_region: LoadRegion | None = None,
        ttl_s: float = 5.0,
        miss_ttl_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._load_region = load_region
        #: Of workspaces that internal calls have named. They never change.
        self._regions: dict[str, str] = {}
        self._internal = hash_key(internal_key)
        self._ttl_s = ttl_s
        self._miss_ttl_s = min(miss_ttl_s, ttl_s)
        self._clock = clock
        self._cache: dict[bytes, tuple[float, AccessKey]] = {}
        self._missing: dict[bytes, float] = {}
        self._settled_at = float("-inf")

    async def authenticate(self, key: str | None, workspace_id: str = "") -> Principal:
        """Who holds `key`. `workspace_id` is what an internal call names; else it is ignored.

        Raises NotAllowed (KEY_MISSING, KEY_UNKNOWN, KEY_DISABLED) and StoreUnavailable, also where
        the store does not answer in time.
        """
        if not key:
            raise NotAllowed("send a key: `authorization: Bearer KEY`", reason="KEY_MISSING")
        key_hash = hash_key(key)
        if hmac.compare_digest(key_hash, self._internal):
            named = await self._region_of(workspace_id)
            return Principal(WorkspaceId(workspace_id), Role.INTERNAL, "internal", region=named)
        found = await self._find(key_hash)
        if found is None:
            raise NotAllowed("this key is not known; check it", reason="KEY_UNKNOWN")
        if found.disabled:
            raise NotAllowed("this key is disabled; use another one", reason="KEY_DISABLED")
        return found.principal

    def invalidate(self) -> None:
        """Believe nothing that was looked up before; for when keys were just folded."""
        self._cache.clear()
        self._missing.clear()
        self._settled_at = self._clock() + self.CACHE_BYPASS_S

    async def _find(self, key_hash: bytes) -> AccessKey | None:
        now = self._clock()
        until, believed = self._cache.get(key_hash, _NOTHING)
        if now < until:
            return believed
        if now < self._missing.get(key_hash, 0.0):
            return None
        found = await _in_time(self._load(key_hash))
        if now >= self._settled_at:
            self._keep(key_hash, found, now)
        return found

    async def _region_of(self, workspace_id: str) -> str:
        """The default region of a workspace that an internal call names.

        Other services learn of a workspace from us or from further down the chain, so a call for
        one that is not known here yet asks for nothing that is.
        """
        known = self._regions.get(workspace_id)
        if known is None and workspace_id and self._load_region is not None:
            known = await _in_time(self._load_region(workspace_id))
            if known is not None:
                self._regions[workspace_id] = known
        return known or DEFAULT_REGION

    def _keep(self, key_hash: bytes, found: AccessKey | None, now: float) -> None:
        kept = self._missing if found is None else self._cache
        if len(kept) >= _MAX_CACHED:
            kept.clear()
        if found is None:
            self._missing[key_hash] = now + self._miss_ttl_s
        else:
            self._cache[key_hash] = (now + self._ttl_s, found)


async def _in_time(lookup: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(clip_to_deadline(_LOOKUP_S)):
            return await lookup
    except TimeoutError:
        raise StoreUnavailable("keys cannot be looked up in time; try again") from None


_NOTHING: tuple[float, AccessKey | None] = (float("-inf"), None)
