"""Issues, rotates, disables and lists keys, and keeps the admin key of the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.chassis.access.keys import IssuedKey, issue_key
from services.chassis.access.principal import Role
from services.chassis.access.uses import KeyUse
from services.ingest.commands.admin import Administration
from services.ingest.commands.refused_calls import RefusedCalls
from services.ingest.domain.definitions import KeyDefinition
from services.ingest.domain.keys import (
    KeyState,
    bootstrap_changes,
    check_key,
    check_lifetime,
    check_overlap,
    expiring,
    expiry,
    state_of,
    successor,
)
from services.ingest.store.definitions import DefinitionStore
from services.ingest.store.key_uses import KeyUseStore
from services.kernel.errors import Conflict, InvalidField, NotFound, TooLarge
from services.kernel.time import DAY_US
from services.kernel.tokens import Token

MAX_USES = 10_000
#: How often a change is tried where others change the same keys at the same time.
_MAX_ATTEMPTS = 5
_ACTOR = "ingest"


def now_us() -> int:
    """Return the instant by the clock of the server: keys do not follow the clock of the log."""
    return time.time_ns() // 1_000


class KeyRotated(NamedTuple):
    """A key, and the one that it replaces."""

    issued: IssuedKey
    key: KeyDefinition
    replaced: KeyDefinition
    token: Token


class ListedKey(NamedTuple):
    """A key, and its use."""

    key: KeyDefinition
    state: KeyState
    #: The day of the last use, as the number of days since 1970-01-01; None = it was never used.
    last_used_day: int | None


class KeyCommands:
    """The commands and queries about keys. All methods raise StoreUnavailable."""

    def __init__(
        self,
        administration: Administration,
        store: DefinitionStore,
        uses: KeyUseStore,
        refused: RefusedCalls,
        *,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """`clock`: the instant by the clock of the server, microseconds."""
        self._administration = administration
        self._store = store
        self._uses = uses
        self._refused = refused
        self._clock = clock

    async def issue(
        self, key: KeyDefinition, lifetime_us: int, actor: str
    ) -> tuple[IssuedKey, KeyDefinition, Token]:
        """Define a new key like `key`, which has neither an id nor a hash yet.

        Raises InvalidField, and NotFound where its source is not defined.
        """
        check_key(key)
        check_lifetime(lifetime_us)
        await self._administration.refresh()
        if key.source_id and not await self._store.source(key.workspace_id, key.source_id):
            raise NotFound(
                f"the workspace has no source {key.source_id!r}: define it first", field="source_id"
            )
        issued, now = issue_key(Role(key.role)), self._clock()
        key = key._replace(
            key_id=issued.key_id,
            key_hash=issued.key_hash,
            created_at_us=now,
            expires_at_us=expiry(now, lifetime_us),
        )
        return issued, key, await self._administration.append(actor, key)

    async def rotate(
        self, workspace_id: str, key_id: str, *, overlap_us: int, lifetime_us: int, actor: str
    ) -> KeyRotated:
        """Replace a key by a new one, and let it expire after the overlap.

        Raises NotFound, InvalidField where the key is not active, Conflict.
        """
        check_overlap(overlap_us)
        check_lifetime(lifetime_us)
        for _ in range(_MAX_ATTEMPTS):
            current = await self._find(workspace_id, key_id)
            issued, now = issue_key(Role(current.role)), self._clock()
            key = successor(current, issued.key_id, issued.key_hash, now, lifetime_us)
            replaced = expiring(current, now + overlap_us)
            try:
                token = await self._administration.append(actor, key, replaced)
            except Conflict:  # another call has changed the key since it was loaded
                continue
            return KeyRotated(issued, key, replaced, token)
        raise Conflict("others change this key at the same time; list the keys, then retry")

    async def disable(self, workspace_id: str, key_id: str, actor: str) -> Token:
        """Disable a key. Raises NotFound, Conflict, and InvalidField for the caller's own key."""
        if key_id == actor:
            raise InvalidField("a key cannot disable itself: use another one", field="key_id")
        for _ in range(_MAX_ATTEMPTS):
            current = await self._find(workspace_id, key_id)
            if current.disabled:
                return await self._administration.head()
            changed = current._replace(version=current.version + 1, disabled=True)
            try:
                return await self._administration.append(actor, changed)
            except Conflict:
                continue
        raise Conflict("others change this key at the same time; list the keys, then retry")

    async def listed(self, workspace_id: str) -> list[ListedKey]:
        """Return the keys of a workspace, by id."""
        await self._administration.refresh()
        sources = await self._store.sources(workspace_id)
        disabled = {source.source_id for source in sources if source.disabled}
        days, now = await self._uses.last_days(workspace_id), self._clock()
        return [
            ListedKey(
                key,
                state_of(key, now, source_disabled=key.source_id in disabled),
                days.get(key.key_id),
            )
            for key in await self._store.keys(workspace_id)
        ]

    async def record_uses(self, uses: Sequence[KeyUse]) -> None:
        """Record on which days keys were used and refused. Raises TooLarge, InvalidField."""
        if len(uses) > MAX_USES:
            raise TooLarge(f"a call has at most {MAX_USES} uses: split it", limit=str(MAX_USES))
        tomorrow = self._clock() // DAY_US + 1
        if any(not 0 < use.day <= tomorrow for use in uses):
            raise InvalidField("a day is one of the past, and not before 1970", field="uses")
        await self._uses.record([use for use in uses if not use.refused_method])
        await self._refused.record([use for use in uses if use.refused_method])

    async def ensure_bootstrap(
        self, workspace_id: str, key: IssuedKey, *, overlap_us: int
    ) -> KeyState:
        """Define the admin key of the settings, and let the keys before it expire.

        Return its state, which is not ACTIVE where it was replaced, disabled or has expired: such a
        key is not defined again. Raises Conflict.
        """
        for _ in range(_MAX_ATTEMPTS):
            await self._administration.refresh()
            keys = await self._store.keys(workspace_id)
            current = KeyDefinition(
                workspace_id,
                key.key_id,
                key.key_hash,
                Role.ADMIN,
                title="the admin key of the settings",
                created_at_us=self._clock(),
                bootstrap=True,
            )
            changes = bootstrap_changes(current, keys, overlap_us)
            if not changes:
                return self._bootstrap_state(next(k for k in keys if k.key_id == key.key_id))
            try:
                await self._administration.append(_ACTOR, *changes)
            except Conflict:  # another replica starts at the same time
                continue
            return KeyState.ACTIVE
        raise Conflict("others change the keys at the same time; start again")

    def _bootstrap_state(self, key: KeyDefinition) -> KeyState:
        """Return the state of a key of the settings; one that is replaced counts as expired."""
        state = state_of(key, self._clock())
        return KeyState.EXPIRED if state is KeyState.ACTIVE and key.expires_at_us else state

    async def _find(self, workspace_id: str, key_id: str) -> KeyDefinition:
        await self._administration.refresh()
        key = await self._store.key(workspace_id, key_id)
        if key is None:
            raise NotFound("the workspace has no such key; list the keys", field="key_id")
        return key
