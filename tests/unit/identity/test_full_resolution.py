"""Tests that the rows of a full resolution are made page by page."""

from __future__ import annotations

import tracemalloc

import pytest
from onefold.log.v1.log_pb2 import Fact
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER

from services.identity.codec.bus import EVENT
from services.identity.codec.compact_sets import CompactSets, SetCollector
from services.identity.domain.evidence import Evidence
from services.identity.domain.full_resolution import FullResolution, full_resolution
from services.identity.domain.policy import DEFAULT
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.rebuild.bulk_evidence import BulkEvidence
from services.identity.rebuild.bulk_load import EvidenceLoader
from services.kernel.ids import WorkspaceId
from tests.index_key import INDEX_KEY

PERSONS = 2_000
WORKSPACE = WorkspaceId("default")


def make_facts(persons: int) -> list[Fact]:
    """Return an event of each of some persons with two identifiers."""
    return [
        Fact(
            kind=EVENT,
            workspace_id=WORKSPACE,
            leaf_id=n.to_bytes(16, "big"),
            fact_id=n.to_bytes(16, "big"),
            occurred_at_us=n,
            payload=Event(
                type=EVENT_TYPE_TRACK,
                trust=SOURCE_TRUST_SERVER,
                identifiers=[
                    {"namespace": "user_id", "value": f"u-{n}"},
                    {"namespace": "phone", "value": f"138{n:08d}"},
                ],
            ).SerializeToString(),
        )
        for n in range(persons)
    ]


def make_sets(persons: int = PERSONS) -> CompactSets:
    """Return the sets of persons with two identifiers each."""
    collector = SetCollector()
    collector.add(make_facts(persons))
    return collector.by_workspace[WORKSPACE]


def make_bulk(sets: CompactSets) -> BulkEvidence:
    return BulkEvidence(WORKSPACE, EvidenceCache(10, INDEX_KEY), sets)


def make_evidence(sets: CompactSets) -> Evidence:
    [evidence] = make_bulk(sets).parts(len(sets))
    return evidence


def resolve() -> FullResolution:
    return full_resolution(WORKSPACE, make_evidence(make_sets()), DEFAULT)


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


def test_sets_are_given_up_as_their_evidence_is_added() -> None:
    sets = make_sets()
    assert make_evidence(sets)
    assert not sets


def test_parts_of_the_evidence_are_bounded_whatever_the_number_of_sets() -> None:
    for persons in (500, PERSONS):
        sets = make_sets(persons)
        sizes = [len(part.edges) for part in make_bulk(sets).parts(100)]
        assert len(sizes) == persons // 100
        # Three identifiers and three edges a person; no two persons are linked.
        assert max(sizes) <= 3 * 100
        assert not sets


async def test_loader_holds_at_most_the_sets_of_its_setting_and_of_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flushed: list[int] = []

    async def flush(loader: EvidenceLoader) -> None:
        flushed.append(len(loader._sets))
        loader._sets = SetCollector()

    monkeypatch.setattr(EvidenceLoader, "flush", flush)
    loader = EvidenceLoader(None, 1, EvidenceCache(10, INDEX_KEY), max_sets=250)  # type: ignore[arg-type]
    facts = make_facts(PERSONS)
    for start in range(0, PERSONS, 100):
        await loader.add(facts[start : start + 100])
    assert flushed == [300] * (PERSONS // 300)
