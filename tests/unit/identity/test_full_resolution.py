"""Tests that the rows of a full resolution are made page by page."""

from __future__ import annotations

import tracemalloc

from services.identity.domain.evidence import Evidence, EvidenceKind, FirstSeen, span_of
from services.identity.domain.full_resolution import FullResolution, full_resolution
from services.identity.domain.policy import DEFAULT
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.rebuild.bulk_load import EvidenceLoader
from services.kernel.ids import LeafId, WorkspaceId
from tests.index_key import INDEX_KEY

PERSONS = 2_000
WORKSPACE = WorkspaceId("default")


def make_observations() -> dict[object, object]:
    """Return observations of persons with two identifiers each."""
    return {
        (
            WORKSPACE,
            LeafId(n.to_bytes(16, "big")),
            EvidenceKind.OBSERVED,
            (("user_id", f"u-{n}", False), ("phone", f"138{n:08d}", False)),
        ): span_of(FirstSeen(n, n.to_bytes(16, "big")))  # type: ignore[arg-type]
        for n in range(PERSONS)
    }


def make_evidence(observations: dict[object, object]) -> Evidence:
    cache = EvidenceCache(10, INDEX_KEY)
    loader = EvidenceLoader(None, 1, cache, 10)  # type: ignore[arg-type]
    return loader._evidence(observations, [])  # type: ignore[arg-type]


def resolve() -> FullResolution:
    return full_resolution(WORKSPACE, make_evidence(make_observations()), DEFAULT)


def test_pages_have_every_row_once_in_the_order_of_their_keys() -> None:
    resolved = resolve()
    pages = list(resolved.pages(100))
    assert all(len(page.added) <= 100 and len(page.edges) <= 100 for page in pages)
    ids = [id_ for page in pages for id_ in page.added]
    edges = [edge for page in pages for edge in page.edges]
    assert ids == sorted(resolved.evidence.first_seen)
    assert edges == sorted(resolved.evidence.edges)
    assert len(ids) == 3 * PERSONS


def test_pages_take_a_part_of_the_memory_of_all_rows() -> None:
    resolved = resolve()

    def peak(size: int) -> int:
        tracemalloc.start()
        try:
            for _ in resolved.pages(size):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(100) < peak(1 << 20) / 5


def test_observations_are_given_up_as_their_evidence_is_added() -> None:
    observations = make_observations()
    assert make_evidence(observations)
    assert not observations
