"""Tests that nothing of an earlier life of the database is taken for stored."""

from __future__ import annotations

from services.kernel.fold.leaf import LeafState
from services.kernel.ids import LeafId
from services.profile.projection.leaves import CachedLeaf, CacheVersion, LeafCache

LEAF = LeafId(bytes(16))


def test_leaf_of_an_earlier_lease_is_not_returned_for_the_same_version() -> None:
    cache, version = LeafCache(10), CacheVersion(7, 1)
    cache.put(0, version, {LEAF: CachedLeaf(LeafState(), b"")})
    cache.put(1, version, {LEAF: CachedLeaf(LeafState(), b"")})
    cache.forget(0)
    assert cache.take(0, version) == {}
    assert set(cache.take(1, version)) == {LEAF}
