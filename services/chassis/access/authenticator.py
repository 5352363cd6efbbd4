"""Authenticates callers by their keys and caches the lookups.

A key decides the workspace, the role and, for a source, which source its events belong to.
Services call each other with the internal key and name the workspace in the metadata
`onefold-workspace`; the endpoints for clients of other systems do not accept that key.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Container
from typing import TypeVar

from cachetools import TTLCache

from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Principal, Role, require_role
from services.chassis.access.tables import AccessKey, LoadKey, LoadRegion
from services.chassis.access.uses import KeyUses
from services.chassis.runtime.addresses import address_group
from services.chassis.runtime.tasks import clip_to_deadline
from services.kernel.errors import NotAllowed, RateLimited, StoreUnavailable
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.ids import WorkspaceId
from services.kernel.rate_limit import UNLIMITED, RateLimit, RateLimiter
from services.kernel.restrictions import NO_RESTRICTIONS, UNKNOWN_PEER, Peer, Restrictions

T = TypeVar("T")

_MAX_CACHED = 10_000
_LOOKUP_TIMEOUT_S = 5.0


class Authenticator:
    """Looks keys up, caches them, and checks that they may be used now and from here.

    If another replica folds the disabling of a key, the key stays valid here for up to `ttl_s`; a
    new key may stay unknown for up to `miss_ttl_s`.
    """

    #: How long lookups bypass the cache after `invalidate`, seconds: longer than a fold takes to
    #: commit, so that no key that was read before the commit is cached after it.
    CACHE_BYPASS_S = 5.0

    def __init__(
        self,
        load: LoadKey,
        *internal_keys: str,
        load_region: LoadRegion | None = None,
        ttl_s: float = 5.0,
        miss_ttl_s: float = 1.0,
        refusals: RateLimit = UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`internal_keys`: the keys with which other services call.

        `refusals`: the rate of refused calls of one address.

        `wall_clock`: seconds since 1970; keys expire by it.
        """
        self._load = load
        #: The keys that were accepted; a task of the service hands them over to ingest.
        self.uses = KeyUses()
        self._wall_clock = wall_clock
        self._load_region = load_region
        #: By workspace that internal calls have named. A region never changes.
        self._regions: dict[str, str] = {}
        self._internal_hashes = [hash_key(key) for key in internal_keys]
        self._clock = clock
        #: By the group of addresses of the caller.
        self._refusals: RateLimiter[str] = RateLimiter(refusals)
        self._cache: TTLCache[bytes, AccessKey] = TTLCache(_MAX_CACHED, ttl_s, clock)
        self._unknown: TTLCache[bytes, bool] = TTLCache(_MAX_CACHED, min(miss_ttl_s, ttl_s), clock)
        self._bypassed_until = float("-inf")
        self._on_invalidate: list[Callable[[], object]] = []

    async def authenticate_internal(
        self, key: str | None, workspace_id: str, peer: Peer = UNKNOWN_PEER
    ) -> Principal:
        """Return the principal that holds `key`, which may be the internal key.

        Use it at internal endpoints only. `workspace_id` is the workspace that an internal call
        names; for other keys it is ignored. Raises what `authenticate` raises.
        """
        key_hash = hash_key(key) if key else b""
        if key and self._is_internal(key_hash):
            region = await self._region_of(workspace_id)
            return Principal(WorkspaceId(workspace_id), Role.INTERNAL, "internal", region=region)
        return await self._authenticate(key_hash, peer)

    def _is_internal(self, key_hash: bytes) -> bool:
        return any(hmac.compare_digest(key_hash, each) for each in self._internal_hashes)

    async def authenticate(self, key: str | None, peer: Peer = UNKNOWN_PEER) -> Principal:
        """Return the principal that holds `key`; the internal key is unknown to it.

        `peer`: where the call comes from, for keys that are restricted to origins or addresses.
        Raises NotAllowed (KEY_MISSING, KEY_UNKNOWN, KEY_DISABLED, KEY_EXPIRED, ORIGIN_NOT_ALLOWED,
        ADDRESS_NOT_ALLOWED), RateLimited in its place where the address of `peer` has made too many
        calls that were refused, and StoreUnavailable also if the store does not respond in time.
        """
        return await self._authenticate(hash_key(key) if key else b"", peer)

    async def _authenticate(self, key_hash: bytes, peer: Peer) -> Principal:
        try:
            return await self._accept(key_hash, peer)
        except NotAllowed:
            self._count_refusal(peer.address)
            raise

    async def _accept(self, key_hash: bytes, peer: Peer) -> Principal:
        """Return the principal of a key by its hash; empty = there is no key."""
        if not key_hash:
            raise NotAllowed("send a key: `authorization: Bearer KEY`", reason="KEY_MISSING")
        found = await self._lookup(key_hash)
        if found is None:
            raise NotAllowed(
                "this key is not known; check it. One that was just issued is known to every"
                " service within some seconds: then call again",
                reason="KEY_UNKNOWN",
            )
        if found.disabled:
            raise NotAllowed("this key is disabled; use another one", reason="KEY_DISABLED")
        now_s = self._wall_clock()
        at_us = peer.arrived_at_us or now_s * 1_000_000
        if found.expires_at_us and at_us >= found.expires_at_us:
            raise NotAllowed("this key has expired; use another one", reason="KEY_EXPIRED")
        if found.restrictions is not NO_RESTRICTIONS:
            _check_restrictions(found.restrictions, peer)
        self.uses.note(found.principal, now_s)
        return found.principal

    def check_role(self, caller: Principal, allowed: Container[Role], method: str) -> None:
        """Raise NotAllowed unless the caller's role may call a method; note a key that may not."""
        try:
            require_role(caller, allowed)
        except NotAllowed:
            if caller.role is not Role.INTERNAL:
                self.uses.note(caller, self._wall_clock(), method)
            raise

    def _count_refusal(self, address: str) -> None:
        caller, now = address_group(address), self._clock()
        delay = self._refusals.delay(caller, 1, now) if caller else 0
        if delay > 0:
            raise RateLimited(
                "this address has made too many calls that were refused: check its keys, or raise"
                " refused_calls_per_s in the settings",
                retry_after=delay,
            ) from None
        if caller:
            self._refusals.take(caller, 1, now)

    def on_invalidate(self, call: Callable[[], object]) -> None:
        """Call `call` at each `invalidate` from now on."""
        self._on_invalidate.append(call)

    def invalidate(self) -> None:
        """Drop everything that is cached; call it after keys were folded."""
        self._cache.clear()
        self._unknown.clear()
        self._bypassed_until = self._clock() + self.CACHE_BYPASS_S
        for call in self._on_invalidate:
            call()

    async def _lookup(self, key_hash: bytes) -> AccessKey | None:
        cached = self._cache.get(key_hash)
        if cached is not None:
            return cached
        if key_hash in self._unknown:
            return None
        began = self._clock()
        found = await _in_time(self._load(key_hash))
        if began >= self._bypassed_until:
            if found is None:
                self._unknown[key_hash] = True
            else:
                self._cache[key_hash] = found
        return found

    async def _region_of(self, workspace_id: str) -> str:
        """Return the default region of a workspace that an internal call names.

        Other services learn of a workspace from ingest or from further down the chain, so a call
        for a workspace that is unknown here cannot concern its data yet: the default will do.
        """
        region = self._regions.get(workspace_id)
        if region is None and workspace_id and self._load_region is not None:
            region = await _in_time(self._load_region(workspace_id))
            if region is not None:
                self._regions[workspace_id] = region
        return region or DEFAULT_REGION


def _check_restrictions(restrictions: Restrictions, peer: Peer) -> None:
    """Raise NotAllowed where a key may not be used from a peer."""
    if not restrictions.allow_address(peer.address):
        raise NotAllowed(
            "this key may not be used from this address; call from an address that the key allows,"
            " or issue another key",
            reason="ADDRESS_NOT_ALLOWED",
        )
    if not restrictions.allow_origin(peer.origin):
        raise NotAllowed(
            "this key is for web pages of certain origins, which send `Origin` over HTTP; send from"
            " such a page, or issue another key",
            reason="ORIGIN_NOT_ALLOWED",
        )


async def _in_time(lookup: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(clip_to_deadline(_LOOKUP_TIMEOUT_S)):
            return await lookup
    except TimeoutError:
        raise StoreUnavailable("keys cannot be looked up in time; try again") from None
