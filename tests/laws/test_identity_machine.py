"""Runs identity against its model: facts in any order, decisions, policies and their rollouts."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from laws.identity_histories import evidence_of, held_edges, model_decisions, model_events, policies
from laws.identity_memory import MemoryEvidence, run
from laws.identity_model import WORKSPACE, ModelDecision, ModelEvent, expected_state
from properties import examples

from services.identity.domain.changes import ResolutionChanges
from services.identity.domain.co_occurrence import UNREMARKABLE
from services.identity.domain.digest import deltas
from services.identity.domain.evidence import DecisionKind, Evidence
from services.identity.domain.fast_path import flags_of
from services.identity.domain.full_resolution import full_resolution
from services.identity.domain.policy import DEFAULT, Policy
from services.identity.domain.resolution import classify_all, node_of
from services.identity.domain.rows import IdentifierFlag
from services.identity.projection.apply_evidence import apply_evidence
from services.kernel.digest import digest_of
from services.kernel.ids import shard_of

Facts = list[ModelEvent | ModelDecision]


class IdentityMachine(RuleBasedStateMachine):
    """Shards that fold in turns over one store in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folded: Facts = []
        self.pending: dict[int, Facts] = {}
        self.policy = DEFAULT
        self.digest = 0

    @initialize(shards=st.sampled_from([1, 4]))
    def create_store(self, shards: int) -> None:
        self.shards = shards
        self.store = MemoryEvidence(shards)

    @rule(
        facts=st.lists(
            st.one_of(model_events(), model_events(), model_events(), model_decisions),
            min_size=1,
            max_size=4,
        )
    )
    def append(self, facts: Facts) -> None:
        for fact in facts:
            self.pending.setdefault(shard_of(fact.leaf, self.shards), []).append(fact)

    @precondition(lambda self: any(self.pending.values()))
    @rule(data=st.data())
    def fold_batch(self, data: st.DataObject) -> None:
        shard = data.draw(st.sampled_from(sorted(s for s, some in self.pending.items() if some)))
        size = data.draw(st.integers(1, len(self.pending[shard])))
        batch, self.pending[shard] = self.pending[shard][:size], self.pending[shard][size:]
        self._fold(batch, shard if data.draw(st.booleans()) else -1)

    @precondition(lambda self: self.folded)
    @rule(data=st.data())
    def fold_again(self, data: st.DataObject) -> None:
        """Repeat folded facts; the state does not change."""
        before = self.store.computed_digest()
        repeated = data.draw(st.lists(st.sampled_from(self.folded), max_size=5))
        self._fold(repeated, -1)
        if not self.store.cursors:
            assert self.store.computed_digest() == before

    @precondition(lambda self: len(self.folded) > 1)
    @rule(data=st.data(), kind=st.sampled_from(list(DecisionKind)))
    def decide(self, data: st.DataObject, kind: DecisionKind) -> None:
        """A decision is made about two stored identifiers."""
        stored = sorted(expected_state(self.folded, self.policy).first_seen)
        one, other = data.draw(st.sampled_from(stored)), data.draw(st.sampled_from(stored))
        at = data.draw(st.integers(0, 5 * 86_400_000_000))
        self._fold([ModelDecision(one, other, kind, at, len(self.folded))], -1)

    @rule(policy=policies)
    def define_policy(self, policy: Policy) -> None:
        self.policy = self.store.policy = policy
        self.store.cursors = dict.fromkeys(range(self.shards), b"")

    @precondition(lambda self: self.store.cursors)
    @rule(data=st.data(), limit=st.integers(1, 5))
    def roll_out(self, data: st.DataObject, limit: int) -> None:
        """A shard resolves some profiles by the new policy."""
        shard = data.draw(st.sampled_from(sorted(self.store.cursors)))
        self._fold([], shard, limit)

    @precondition(lambda self: self.store.cursors)
    @rule()
    def finish_roll_out(self) -> None:
        while self.store.cursors:
            self._fold([], min(self.store.cursors), 3)

    @rule()
    def rebuild(self) -> None:
        """A state that is rebuilt from all facts at once is the same."""
        if self.store.cursors:
            return
        resolved = full_resolution(WORKSPACE, evidence_of(self.folded), self.policy)
        found = next(resolved.pages(1 << 20), ResolutionChanges())
        assert found.added == self.store.rows
        edges = {edge: change.after for edge, change in found.edges.items()}
        assert edges == self.store.edges
        assert {pair: one for pair, (_, one) in found.decisions.items()} == self.store.decisions
        digest = deltas(found, self.store.identifiers, ()).get(WORKSPACE, 0)
        assert digest_of([digest]) == self.store.computed_digest()

    def _fold(self, batch: Facts, shard: int, limit: int = 2) -> None:
        store = self.store
        evidence = evidence_of(batch) if batch else Evidence()
        profiles = store.next_profiles(shard, limit) if shard in store.cursors else []
        stored = run(store.load(evidence))
        applied = run(apply_evidence(store, evidence, stored, {WORKSPACE: profiles}))
        run(store.unlock())
        self.digest += applied.deltas.get(WORKSPACE, 0)
        self.folded += batch
        assigned = {a.identifier_id: a.profile_id for a in applied.assignments}
        assert len(assigned) == len(applied.assignments)
        for id_, profile in (assigned | dict(applied.profiles)).items():
            assert store.rows[id_].profile_id == profile

    @invariant()
    def digest_equals_rows(self) -> None:
        if self.folded:
            assert digest_of([self.digest]) == self.store.computed_digest()

    @invariant()
    def state_equals_model(self) -> None:
        """Profiles, held edges and flags are those of the model."""
        if not self.folded or self.store.cursors:
            return
        expected = expected_state(self.folded, self.policy)
        rows = self.store.rows
        assert {i: row.profile_id for i, row in rows.items()} == expected.profiles
        held = {edge: row.held for edge, row in self.store.edges.items() if row.held}
        assert held == held_edges(expected)
        contested = {i for e, why in held.items() if why.is_cross_profile for i in e[:2]}
        for pair, decision in self.store.decisions.items():
            if decision.kind == DecisionKind.SEPARATE:
                contested.update(pair)
        assert {i for i, row in rows.items() if row.flags & IdentifierFlag.CONTESTED} == contested
        nodes = {i: node_of(self.store.identifiers[i], row.first) for i, row in rows.items()}
        spans = {edge: row.span for edge, row in self.store.edges.items()}
        classes = classify_all(nodes, spans, self.policy)
        for id_, row in rows.items():
            flags = row.flags & ~IdentifierFlag.CONTESTED
            assert flags == flags_of(classes.get(id_, UNREMARKABLE))

    def teardown(self) -> None:
        """A rollout that has not finished is finished."""
        if hasattr(self, "store") and self.store.cursors:
            self.finish_roll_out()
            self.state_equals_model()


TestIdentityMachine = IdentityMachine.TestCase
TestIdentityMachine.settings = examples(200, stateful_step_count=25)
