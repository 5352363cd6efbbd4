"""Laws 2 and 4 for identity: any order, repetition, batching and sharding gives one state."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from laws.identity_histories import (
    evidence_of,
    expected_digest,
    flood_policies,
    floods,
    histories,
    model_events,
    policies,
)
from laws.identity_memory import MemoryEvidence, run
from laws.identity_model import WORKSPACE, History, ModelDecision, ModelEvent, expected_state
from properties import examples

from services.identity.domain.delta import new_evidence
from services.identity.domain.policy import Policy
from services.identity.projection.apply_evidence import apply_evidence
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, shard_of
from tests.index_key import INDEX_KEY

event_histories = st.lists(model_events(), max_size=25)


def fold(
    history: History, batching: random.Random | None = None, policy: Policy | None = None
) -> MemoryEvidence:
    store = MemoryEvidence()
    store.policy = policy
    rest = list(history)
    while rest:
        size = batching.randint(1, len(rest)) if batching else len(rest)
        apply(store, rest[:size])
        rest = rest[size:]
    return store


def apply(store: MemoryEvidence, history: History) -> None:
    evidence = evidence_of(history)
    run(apply_evidence(store, evidence, run(store.load(evidence))))
    run(store.unlock())


def profiles(store: MemoryEvidence) -> dict[IdentifierId, bytes]:
    return {id_: row.profile_id for id_, row in store.rows.items()}


@examples(200)
@given(histories, policies)
def test_fold_any_history_equals_the_model(history: History, policy: Policy) -> None:
    store = fold(history, policy=policy)
    assert profiles(store) == expected_state(history, policy).profiles
    assert store.computed_digest() == expected_digest(history, policy)


@examples(200)
@given(histories, policies, st.randoms(use_true_random=False))
def test_fold_shuffled_repeated_and_batched_equals_the_model(
    history: History, policy: Policy, chance: random.Random
) -> None:
    shuffled = [*history, *chance.choices(history, k=len(history))] if history else []
    chance.shuffle(shuffled)
    store = fold(shuffled, chance, policy)
    assert profiles(store) == expected_state(history, policy).profiles
    assert store.computed_digest() == expected_digest(history, policy)


@examples(200)
@given(floods, flood_policies, st.randoms(use_true_random=False))
def test_fold_flood_of_claims_in_any_order_equals_the_model(
    history: History, policy: Policy, chance: random.Random
) -> None:
    shuffled = [*history]
    chance.shuffle(shuffled)
    store = fold(shuffled, chance, policy)
    assert profiles(store) == expected_state(history, policy).profiles
    assert store.computed_digest() == expected_digest(history, policy)


@given(histories, st.sampled_from([1, 4]), st.randoms(use_true_random=False))
def test_fold_interleaved_shards_equals_the_model(
    history: History, shards: int, chance: random.Random
) -> None:
    queues = [[f for f in history if shard_of(f.leaf, shards) == s] for s in range(shards)]
    store = MemoryEvidence(shards)
    while queues := [q for q in queues if q]:
        queue = chance.choice(queues)
        size = chance.randint(1, len(queue))
        apply(store, queue[:size])
        del queue[:size]
    assert store.computed_digest() == expected_digest(history)


@given(event_histories.filter(bool), st.data())
def test_digest_with_another_fact_changes(events: list[ModelEvent], data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(events))
    other = ModelEvent(changed.identifiers, -1, changed.message, changed.alias)
    assert fold([*events, other]).computed_digest() != fold(events).computed_digest()


@given(histories)
def test_new_evidence_of_stored_evidence_is_empty(
    history: list[ModelEvent | ModelDecision],
) -> None:
    store, evidence = fold(history), evidence_of(history)
    assert not new_evidence(evidence, run(store.load(evidence)))


@given(histories, policies)
def test_profile_id_is_the_id_of_one_of_its_members(history: History, policy: Policy) -> None:
    found = profiles(fold(history, policy=policy))
    assert all(found[IdentifierId(profile)] == profile for profile in found.values())


def test_profile_id_changes_to_an_earlier_member_that_arrives_late() -> None:
    visitor, user = Identifier("anonymous_id", "v"), Identifier("user_id", "u")
    late = ModelEvent((user,), 5, 1)
    early = ModelEvent((visitor, user), 3, 2)
    store = fold([late])
    assert set(profiles(store).values()) == {user.id_in(WORKSPACE, INDEX_KEY)}
    apply(store, [early, ModelEvent((visitor,), 1, 3)])
    assert set(profiles(store).values()) == {visitor.id_in(WORKSPACE, INDEX_KEY)}
