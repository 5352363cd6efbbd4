"""Related objects: their types, their traits, and whose evaluations a change of one concerns."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.rules_oracle import rule_holds

from services.kernel.fold.events import GROUP, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers.normalize import object_type_of
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.features import Related
from services.kernel.rules.filters import PropertyFilter
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.profile.domain.backfill import Sweep, sweep_scopes
from services.profile.domain.evaluation import (
    ALL_PREDICATES,
    DUE_ONLY,
    Evaluation,
    EvaluationScope,
    ProfileState,
    evaluate_all,
    related_only,
    scopes_by_profile,
)
from services.profile.domain.facts import AttributedFact, ProfileAssignment, lock_set
from services.profile.domain.leaves import fold_events
from services.profile.domain.objects import (
    MemberCursor,
    ObjectChange,
    ObjectLeaf,
    RelatedObjects,
    encode_traits,
    job_of,
    object_changes,
    object_leaves,
    object_of,
    split_by_members,
)

W = WorkspaceId("school")
P = ProfileId(b"p" * 16)
ANN, BOB = LeafId(b"a" * 16), LeafId(b"b" * 16)
GOLD = (PropertyFilter("plan", Operator.EQ, "gold"),)
GOLD_ACCOUNT = Predicate(Related("account", GOLD), Operator.GE, 1)
TWO_COURSES = Predicate(Related("course", ()), Operator.GE, 2)
GOLD_COURSE = Predicate(Related("course", GOLD), Operator.GE, 1)
INDEX = PredicateIndex([GOLD_ACCOUNT, TWO_COURSES, GOLD_COURSE])
NO_RULES = PredicateIndex()


def leaf(name: str) -> LeafId:
    return LeafId(name.encode().ljust(16, b"."))


def event(number: int, **parts: Any) -> EventView:
    return EventView(GROUP, "", number, number.to_bytes(16, "big"), **parts)


def membership(
    number: int, person: LeafId, group: str, traits: dict[str, Any]
) -> tuple[AttributedFact, AttributedFact]:
    """Return both facts of a group event: of the person and of the object."""
    raw, object_leaf = msgspec.json.encode(traits), leaf(group)
    copies = (
        (person, event(number, traits=raw, account_leaf=object_leaf)),
        (
            object_leaf,
            event(number, traits=raw, member_leaf=person, object_type=object_type_of(group)),
        ),
    )
    one, other = (
        AttributedFact(number, number, W, leaf_id, ProfileId(leaf_id), view, None)
        for leaf_id, view in copies
    )
    return one, other


@pytest.mark.parametrize(
    ("group_id", "expected"),
    [
        *(("course:c1", "course"), ("vehicle:沪A12345", "vehicle"), (" course:c1 ", "course")),
        *(("acme", "account"), ("Acme:1", "account"), ("https://acme.example", "account")),
        *(("urn:uuid:1", "account"), ("course:", "account"), (":c1", "account")),
        ("９course:1", "account"),
    ],
)
def test_object_type_of_a_group_id_is_the_word_before_its_only_colon(
    group_id: str, expected: str
) -> None:
    assert object_type_of(group_id) == expected


class TestRelatedObjects:
    def objects(self, *leaves: tuple[str, str, dict[str, Any]]) -> RelatedObjects:
        """Return objects of leaves: (profile, group id, traits)."""
        return RelatedObjects(
            ObjectLeaf(
                ProfileId(profile.encode() * 16),
                leaf(group),
                object_type_of(group),
                encode_traits(self.state(i, group, traits)),
            )
            for i, (profile, group, traits) in enumerate(leaves, 1)
        )

    def state(self, number: int, group: str, traits: dict[str, Any]) -> LeafState:
        state = LeafState()
        fold_event(state, membership(number, ANN, group, traits)[1].event, INDEX)  # type: ignore[arg-type]
        return state

    def test_objects_are_grouped_by_type_with_their_traits(self) -> None:
        objects = self.objects(
            ("1", "acme", {"plan": "gold"}),
            ("2", "course:c1", {"level": 3}),
            ("3", "course:c2", {}),
        )
        named = [leaf("acme"), leaf("course:c1"), leaf("course:c2"), leaf("not folded yet")]
        assert objects.of(named) == {"account": [{"plan": "gold"}], "course": [{"level": 3}, {}]}

    def test_merged_object_counts_once_with_the_traits_of_all_its_leaves(self) -> None:
        objects = self.objects(
            ("1", "acme", {"plan": "gold"}), ("1", "acme-sz", {"city": "深圳", "plan": "free"})
        )
        both = [leaf("acme"), leaf("acme-sz")]
        assert objects.of(both) == {"account": [{"plan": "free", "city": "深圳"}]}
        assert objects.of(both[:1]) == objects.of(both)

    def test_removed_trait_is_absent(self) -> None:
        assert self.objects(("1", "acme", {"plan": None})).of([leaf("acme")]) == {"account": [{}]}

    def test_traits_of_an_object_are_stored_without_its_members(self) -> None:
        state = self.state(1, "acme", {"plan": "gold"})
        before = encode_traits(state)
        state.members = bytes(16) * 100_000
        assert encode_traits(state) == before


class TestScopes:
    def folded(
        self, *facts: AttributedFact, states: dict[LeafId, LeafState], index: PredicateIndex = INDEX
    ) -> Any:
        return fold_events(facts, states, {W: index})

    def test_new_relation_of_a_person_concerns_the_rules_that_read_objects(self) -> None:
        states = {ANN: LeafState()}
        fact, _ = membership(1, ANN, "acme", {})
        assert self.folded(fact, states=states).scopes == {
            ANN: EvaluationScope(INDEX.related_predicates, False, 1, 1)
        }
        assert not self.folded(fact, states=states).scopes

    def test_changed_trait_of_an_object_concerns_its_members(self) -> None:
        states = {leaf("acme"): LeafState()}
        _, joined = membership(1, ANN, "acme", {"plan": "gold"})
        _, late = membership(0, ANN, "acme", {"plan": "free"})
        result = self.folded(joined, states=states)
        assert result.scopes == {leaf("acme"): related_only(1, 1)}
        assert result.new_members == {ANN: related_only(1, 1)}
        result = self.folded(late, states=states)
        assert (result.scopes, result.new_members) == ({}, {})

    def test_members_of_a_changed_object_have_the_own_time_of_its_event(self) -> None:
        states = {leaf("acme"): LeafState()}
        _, joined = membership(3, ANN, "acme", {"plan": "gold"})
        joined = joined._replace(recorded_at_us=9)
        result = self.folded(joined, states=states)
        account = ProfileState(P, W, None, view_of(result.states.values()))
        [changed] = object_changes({P: result.scopes[leaf("acme")]}, [account], {W: INDEX})
        assert (changed.members, changed.scope) == ([ANN], related_only(9, 3))

    def test_new_member_alone_does_not_concern_the_others(self) -> None:
        states = {leaf("acme"): LeafState()}
        self.folded(membership(1, ANN, "acme", {})[1], states=states)
        result = self.folded(membership(2, BOB, "acme", {})[1], states=states)
        assert result.scopes == {leaf("acme"): DUE_ONLY}
        assert not result.scopes[leaf("acme")].concerns_members
        assert result.new_members == {BOB: related_only(2, 2)}

    def test_without_rules_that_read_objects_no_member_is_evaluated(self) -> None:
        states = {leaf("acme"): LeafState()}
        _, joined = membership(1, ANN, "acme", {"plan": "gold"})
        result = self.folded(joined, states=states, index=NO_RULES)
        assert (result.scopes, result.new_members) == ({}, {})

    def test_members_are_locked_and_evaluated_by_their_stored_profiles(self) -> None:
        stored = {IdentifierId(ANN): ProfileAssignment(W, IdentifierId(ANN), P, 1, None)}
        assert lock_set({}, stored, [ANN, BOB]) == {P, BOB}
        members = {ANN: related_only(7, 5), BOB: related_only(8)}
        assert scopes_by_profile({}, {}, stored, (), members) == {P: related_only(7, 5)}

    def test_sweep_evaluates_members_of_objects_only_for_rules_that_read_objects(self) -> None:
        states = {ANN: LeafState(), leaf("acme"): LeafState(members=ANN)}
        new = Sweep(INDEX.related_predicates, frozenset())
        scopes = sweep_scopes(states, states, new, INDEX)
        assert scopes == {ANN: EvaluationScope(new.added), leaf("acme"): related_only()}
        erased = Sweep(frozenset(), frozenset([7]))
        assert sweep_scopes(states, states, erased, INDEX) == {ANN: ALL_PREDICATES}


class TestJobs:
    def test_objects_with_few_members_are_evaluated_at_once_and_large_ones_by_jobs(self) -> None:
        small, medium, large = (
            ObjectChange(W, ProfileId(bytes([n]) * 16), [ANN] * n) for n in (2, 3, 4)
        )
        assert split_by_members([large, small, medium], 5) == ([small, medium], [large])
        assert split_by_members([large], 3) == ([], [large])

    def test_job_names_its_object(self) -> None:
        assert object_of(job_of(P)) == P
        assert object_of("predicates") is None

    @given(st.integers(1, 30), st.integers(1, 7), st.lists(st.integers(0, 29), max_size=5))
    def test_each_request_is_followed_by_a_page_of_every_member(
        self, members: int, size: int, requests: list[int]
    ) -> None:
        """Requests come before some steps; rounds are whole, and the job ends."""
        ids = [bytes([n]) * 16 for n in range(1, members + 1)]
        seen: dict[bytes, int] = {}
        raw, run, steps = b"", 1, 0
        while True:
            run += requests.count(steps)
            cursor = MemberCursor.decode(raw)
            page = [id_ for id_ in ids if id_ > cursor.reached][:size]
            seen |= dict.fromkeys(page, run)
            after = cursor.after(page, run, is_last=not page or page[-1] == ids[-1])
            steps += 1
            if after is None:
                break
            assert after.encode() != raw
            raw = after.encode()
        assert seen == dict.fromkeys(ids, run)
        assert steps <= (len(requests) + 1) * members


class World:
    """Folds facts and merges profiles as the projection does, in memory."""

    def __init__(self) -> None:
        self.states: dict[LeafId, LeafState] = {}
        self.profile_of: dict[LeafId, ProfileId] = {}
        self.evaluations: dict[ProfileId, Evaluation] = {}

    def fold(self, facts: list[AttributedFact]) -> None:
        known = {f.leaf_id: self.states[f.leaf_id] for f in facts if f.leaf_id in self.states}
        result = fold_events(facts, known, {W: INDEX})
        self.states |= result.states
        for leaf_id in result.states:
            self.profile_of.setdefault(leaf_id, ProfileId(leaf_id))
        self._evaluate(self._scopes(result.scopes, result.new_members))

    def merge(self, one: LeafId, other: LeafId) -> None:
        into, gone = self.profile_of.get(one), self.profile_of.get(other)
        if into is None or gone is None or into == gone:
            return
        self.profile_of = {leaf: into if p == gone else p for leaf, p in self.profile_of.items()}
        self.evaluations.pop(gone, None)
        self._evaluate({into: ALL_PREDICATES})

    def _scopes(
        self, scopes: Mapping[LeafId, EvaluationScope], members: Mapping[LeafId, EvaluationScope]
    ) -> dict[ProfileId, EvaluationScope]:
        stored = {
            IdentifierId(leaf): ProfileAssignment(W, IdentifierId(leaf), profile, 1, None)
            for leaf, profile in self.profile_of.items()
        }
        return scopes_by_profile(scopes, {}, stored, (), members)

    def _evaluate(self, scopes: Mapping[ProfileId, EvaluationScope]) -> None:
        profiles = [
            ProfileState(p, W, self.evaluations.get(p), view_of(self._leaves(p))) for p in scopes
        ]
        read = object_leaves(profiles, {W: INDEX})
        objects = RelatedObjects(
            ObjectLeaf(p, leaf_id, self.states[leaf_id].object_type, traits)
            for leaf_id, p in self.profile_of.items()
            if p in {self.profile_of.get(LeafId(name)) for name in read}
            and self.states[leaf_id].members
            for traits in [encode_traits(self.states[leaf_id])]
        )
        changes = evaluate_all(scopes, map(objects.add_to, profiles), {W: INDEX}, 100)
        self.evaluations |= {e.profile_id: e for e in (*changes.changed, *changes.rescheduled)}
        for changed in object_changes(scopes, profiles, {W: INDEX}):
            self._evaluate(self._scopes({}, dict.fromkeys(changed.members, changed.scope)))

    def _leaves(self, profile_id: ProfileId) -> list[LeafState]:
        return [self.states[leaf] for leaf, p in self.profile_of.items() if p == profile_id]


def expected(
    memberships: list[tuple[int, LeafId, str, dict[str, Any]]], profile_of: Mapping[LeafId, Any]
) -> dict[Any, frozenset[int]]:
    """Return the true predicates of each person, by the slow oracle over all group events."""
    traits: dict[Any, dict[str, Any]] = defaultdict(dict)
    related: dict[Any, set[tuple[str, Any]]] = defaultdict(set)
    for _, person, group, stated in sorted(memberships, key=lambda m: m[0]):
        traits[profile_of[leaf(group)]] |= stated
        related[profile_of[person]].add((object_type_of(group), profile_of[leaf(group)]))
    evaluations: dict[Any, frozenset[int]] = {}
    for person, own in related.items():
        by_type: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for object_type, profile in own:
            present = {k: v for k, v in traits[profile].items() if v is not None}
            by_type[object_type].append(present)
        evaluations[person] = frozenset(
            id_
            for id_, compiled in INDEX.predicates.items()
            if rule_holds(compiled.predicate, [], 100, by_type)
        )
    return evaluations


GROUPS = ["acme", "hq", "course:c1", "course:c2", "vehicle:v1"]


@settings(max_examples=200)
@given(st.randoms(use_true_random=False))
def test_any_order_of_relations_traits_and_merges_ends_in_the_evaluations_of_the_oracle(
    rng: random.Random,
) -> None:
    people = [LeafId(bytes([n]) * 16) for n in range(1, 5)]
    memberships = [
        (
            number,
            rng.choice(people),
            rng.choice(GROUPS),
            {"plan": rng.choice(["gold", "free", None])},
        )
        for number in range(1, rng.randrange(2, 20))
    ]
    facts = [fact for each in memberships for fact in membership(*each)]
    merges = [rng.sample(people, 2), rng.sample(list(map(leaf, GROUPS)), 2)]
    final: list[Any] = []
    for _ in range(2):
        world, merge_at = World(), rng.randrange(len(facts))
        rng.shuffle(facts)
        for start in range(0, len(facts), 3):
            if start <= merge_at < start + 3:
                for one, other in merges:
                    world.merge(one, other)
            world.fold(facts[start : start + 3])
        for one, other in merges:
            world.merge(one, other)
        evaluations = {p: e.true_predicates for p, e in world.evaluations.items()}
        assert evaluations == expected(memberships, world.profile_of)
        final.append(sorted(map(sorted, evaluations.values())))
    assert final[0] == final[1]
