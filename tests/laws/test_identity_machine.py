"""The law of identity: whatever is said, in whatever order, people are what the model finds."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from laws.identity_model import WORKSPACE, Ruled, Seen, truth
from laws.identity_story import gather, held_edges, policies, ruled, seen
from laws.identity_tables import MemoryTables, now
from properties import examples

from services.identity.domain.evidence import DecisionKind
from services.identity.domain.linking import CROSS_PROFILE
from services.identity.domain.policy import DEFAULT, Policy
from services.identity.domain.rows import Evidence, StoredEvidence, IdentifierFlag
from services.identity.projection.apply_evidence import apply_evidence
from services.kernel.digest import digest_of
from services.kernel.ids import shard_of


class IdentityMachine(RuleBasedStateMachine):
    """Shards that learn in turns, over tables in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.story: list[Seen | Ruled] = []
        self.waiting: dict[int, list[Seen | Ruled]] = {}
        self.policy = DEFAULT
        self.digest = 0

    @initialize(shards=st.sampled_from([1, 4]))
    def begin(self, shards: int) -> None:
        self.shards = shards
        self.tables = MemoryTables(shards)

    @rule(said=st.lists(st.one_of(seen(), seen(), seen(), ruled), min_size=1, max_size=4))
    def say(self, said: list[Seen | Ruled]) -> None:
        """The log has more."""
        for fact in said:
            self.waiting.setdefault(shard_of(fact.leaf, self.shards), []).append(fact)

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        """A shard takes in a batch."""
        shard = data.draw(st.sampled_from(sorted(s for s, some in self.waiting.items() if some)))
        size = data.draw(st.integers(1, len(self.waiting[shard])))
        batch, self.waiting[shard] = self.waiting[shard][:size], self.waiting[shard][size:]
        self._learn(batch, shard if data.draw(st.booleans()) else -1)

    @precondition(lambda self: self.story)
    @rule(data=st.data())
    def hear_again(self, data: st.DataObject) -> None:
        """What was heard comes once more, and changes nothing."""
        before = self.tables.recounted()
        again = data.draw(st.lists(st.sampled_from(self.story), max_size=5))
        self._learn(again, -1)
        if not self.tables.cursors:
            assert self.tables.recounted() == before

    @precondition(lambda self: len(self.story) > 1)
    @rule(data=st.data(), verdict=st.sampled_from(list(DecisionKind)))
    def decide(self, data: st.DataObject, verdict: DecisionKind) -> None:
        """A person decides about two who are known."""
        known = sorted(truth(self.story, self.policy).firsts)
        one, other = data.draw(st.sampled_from(known)), data.draw(st.sampled_from(known))
        at = data.draw(st.integers(0, 5 * 86_400_000_000))
        self._learn([Ruled(one, other, verdict, at, len(self.story))], -1)

    @rule(policy=policies)
    def define(self, policy: Policy) -> None:
        """Another policy holds from now on."""
        self.policy = self.tables.policy = policy
        self.tables.cursors = dict.fromkeys(range(self.shards), b"")

    @precondition(lambda self: self.tables.cursors)
    @rule(data=st.data(), most=st.integers(1, 5))
    def look_anew(self, data: st.DataObject, most: int) -> None:
        """A shard looks at some people by the new policy."""
        shard = data.draw(st.sampled_from(sorted(self.tables.cursors)))
        self._learn([], shard, most)

    @precondition(lambda self: self.tables.cursors)
    @rule()
    def finish(self) -> None:
        """All shards look at everybody."""
        while self.tables.cursors:
            self._learn([], min(self.tables.cursors), 3)

    @rule()
    def rebuild(self) -> None:
        """A state built anew from all that was heard is the same."""
        if self.tables.cursors:
            return
        anew = MemoryTables(1)
        anew.policy = self.tables.policy
        evidence = gather(self.story)
        now(apply_evidence(anew, evidence, StoredEvidence()))
        assert anew.recounted() == self.tables.recounted()
        assert anew.identifiers == self.tables.identifiers

    def _learn(self, batch: list[Seen | Ruled], shard: int, most: int = 2) -> None:
        tables = self.tables
        evidence = gather(batch) if batch else Evidence()
        again = tables.next_profiles(shard, most) if shard in tables.cursors else []
        kept = now(tables.load(evidence))
        learnt = now(apply_evidence(tables, evidence, kept, {WORKSPACE: again}))
        now(tables.unlock())
        self.digest += learnt.deltas.get(WORKSPACE, 0)
        self.story += batch
        told = {a.identifier_id: a.profile_id for a in learnt.assignments}
        assert len(told) == len(learnt.assignments)
        for id_, profile in (told | dict(learnt.profiles)).items():
            assert tables.identifiers[id_].profile_id == profile

    @invariant()
    def digest_is_kept_up(self) -> None:
        """The digest is that of the rows."""
        if self.story:
            assert digest_of([self.digest]) == self.tables.recounted()

    @invariant()
    def people_are_who_they_are(self) -> None:
        """The partition, and what is held."""
        if not self.story or self.tables.cursors:
            return
        expected = truth(self.story, self.policy)
        known = self.tables.identifiers
        assert {i: row.profile_id for i, row in known.items()} == expected.profiles
        held = {edge: row.held for edge, row in self.tables.edges.items() if row.held}
        assert held == held_edges(expected)
        contested = {i for e, why in held.items() if why.reason in CROSS_PROFILE for i in e[:2]}
        for pair, decision in self.tables.decisions.items():
            if decision.kind == DecisionKind.SEPARATE:
                contested.update(pair)
        assert {i for i, row in known.items() if row.flags & IdentifierFlag.CONTESTED} == contested

    def teardown(self) -> None:
        """Whatever is left half done is finished."""
        if hasattr(self, "tables") and self.tables.cursors:
            self.finish()
            self.people_are_who_they_are()


TestIdentityMachine = IdentityMachine.TestCase
TestIdentityMachine.settings = examples(200, stateful_step_count=25)
