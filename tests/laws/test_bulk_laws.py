"""Checks that evidence can be resolved in parts of whole components, whatever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from integration.identity.identity_log import fact_of
from laws.identity_histories import histories, policies
from laws.identity_model import WORKSPACE, History
from properties import examples

from services.identity.codec.bus import decode_facts
from services.identity.codec.compact_sets import SetCollector
from services.identity.domain.full_resolution import full_resolution
from services.identity.domain.policy import Policy
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import add_decisions, collect_evidence
from services.identity.rebuild.bulk_evidence import BulkEvidence
from tests.index_key import INDEX_KEY


def rows_by_parts(history: History, policy: Policy, size: int) -> dict[object, object]:
    """Return all rows by their keys, made of parts of at least `size` sets."""
    collector, cache = SetCollector(), EvidenceCache(10, INDEX_KEY)
    decisions = collector.add(map(fact_of, history)).decisions
    sets = collector.by_workspace.get(WORKSPACE, {})
    rows: dict[object, object] = {}
    for part in BulkEvidence(WORKSPACE, cache, sets, decisions).parts(size):
        found = full_resolution(WORKSPACE, part, policy)
        for key, row in (
            *found.identifier_rows(),
            *found.edge_rows(),
            *part.decisions.items(),
            *(((id_, "meaning"), one) for id_, one in part.identifiers.items()),
        ):
            assert key not in rows
            rows[key] = row
    return rows


def rows_at_once(history: History, policy: Policy) -> dict[object, object]:
    """Return all rows by their keys, made of the evidence as the live fold collects it."""
    cache, decoded = EvidenceCache(10, INDEX_KEY), decode_facts(map(fact_of, history))
    evidence, _ = collect_evidence(cache, decoded.observations.items())
    add_decisions(evidence, cache, decoded.decisions)
    found = full_resolution(WORKSPACE, evidence, policy)
    rows: dict[object, object] = dict(found.identifier_rows())
    rows |= found.edge_rows()
    rows |= evidence.decisions
    return rows | {(id_, "meaning"): one for id_, one in evidence.identifiers.items()}


@examples(300)
@given(histories, policies, st.integers(1, 4))
def test_rows_of_components_part_by_part_are_those_of_all_at_once(
    history: History, policy: Policy, size: int
) -> None:
    assert rows_by_parts(history, policy, size) == rows_at_once(history, policy)
