"""Caches the predicates and awaited events of all definitions until a shard registers others."""

from __future__ import annotations

from typing import Protocol

from asyncpg import Connection

from services.profile.domain.evaluation import PredicateIndexes
from services.profile.domain.journeys import Awaited
from services.profile.store import definitions as definition_store
from services.profile.store.definitions import load_awaited, load_indexes


class PredicateSource(Protocol):
    """Provides the predicates to evaluate."""

    async def for_all_shards(self, conn: Connection) -> PredicateIndexes:
        """Return the predicates that any shard has registered; see `PredicateIndexCache`."""


class PredicateIndexCache:
    """The predicates of each workspace: as one shard registered them, and as any shard did."""

    def __init__(self) -> None:
        self._shards: dict[int, tuple[int, PredicateIndexes]] = {}
        self._awaited: dict[int, tuple[int, Awaited]] = {}
        self._awaited_anywhere: tuple[tuple[tuple[int, int], ...], Awaited] = ((), {})
        self._all_shards: tuple[tuple[tuple[int, int], ...], PredicateIndexes] = ((), {})

    def forget(self, shard: int) -> None:
        """Drop what was read for a shard: a database that went back repeats its versions."""
        self._shards.pop(shard, None)
        self._awaited.pop(shard, None)
        self._all_shards = ((), {})
        self._awaited_anywhere = ((), {})

    async def for_shard(self, conn: Connection, shard: int, version: int) -> PredicateIndexes:
        """Return the predicates that a shard folds with; `version`: its `predicates_version`."""
        cached = self._shards.get(shard)
        if cached is None or cached[0] != version:
            cached = (version, await load_indexes(conn, shard, cached and cached[1]))
            self._shards[shard] = cached
        return cached[1]

    async def awaited(self, conn: Connection, shard: int, version: int) -> Awaited:
        """Return what journeys wait for by the definitions that a shard has folded."""
        cached = self._awaited.get(shard)
        if cached is None or cached[0] != version:
            cached = self._awaited[shard] = (version, await load_awaited(conn, shard))
        return cached[1]

    async def awaited_anywhere(self, conn: Connection) -> Awaited:
        """Return what journeys wait for by the definitions that any shard has folded."""
        versions = await definition_store.load_predicates_versions(conn)
        if self._awaited_anywhere[0] != versions:
            self._awaited_anywhere = (versions, await load_awaited(conn, None))
        return self._awaited_anywhere[1]

    def put(self, shard: int, version: int, indexes: PredicateIndexes) -> None:
        """Cache the predicates of a shard: no other transaction gets this version."""
        self._shards[shard] = (version, indexes)

    async def for_all_shards(self, conn: Connection) -> PredicateIndexes:
        """Return the predicates that any shard has registered, which profiles are evaluated with.

        Call this while holding the profiles' locks: only then is every definition visible that the
        previous lock holder evaluated with, and none of its results is left out.
        """
        versions = await definition_store.load_predicates_versions(conn)
        if self._all_shards[0] != versions:
            self._all_shards = (versions, await load_indexes(conn, None, self._all_shards[1]))
        return self._all_shards[1]
