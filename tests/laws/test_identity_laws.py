"""Laws 2 and 4 for identity: any order, repetition, batching and sharding gives one state."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from laws.identity_model import WORKSPACE, Ruled, Seen, Story, truth
from laws.identity_story import digest_of_truth, gather, policies, seen, stories
from laws.identity_tables import MemoryTables, now
from properties import examples

from services.identity.domain.delta import new_evidence
from services.identity.domain.policy import Policy
from services.identity.projection.apply_evidence import apply_evidence
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, shard_of

#: The machine may be busy: how long an example takes says nothing.
histories = st.lists(seen(), max_size=25)


def folded(
    story: Story, cuts: random.Random | None = None, policy: Policy | None = None
) -> MemoryTables:
    tables = MemoryTables()
    tables.policy = policy
    rest = list(story)
    while rest:
        size = cuts.randint(1, len(rest)) if cuts else len(rest)
        take_in(tables, rest[:size])
        rest = rest[size:]
    return tables


def take_in(tables: MemoryTables, story: Story) -> None:
    evidence = gather(story)
    now(apply_evidence(tables, evidence, now(tables.load(evidence))))
    now(tables.unlock())


def profiles(tables: MemoryTables) -> dict[IdentifierId, bytes]:
    return {id_: row.profile_id for id_, row in tables.identifiers.items()}


@examples(200)
@given(stories, policies)
def test_the_fold_finds_what_the_obvious_model_finds(story: Story, policy: Policy) -> None:
    tables = folded(story, policy=policy)
    assert profiles(tables) == truth(story, policy).profiles
    assert tables.recounted() == digest_of_truth(story, policy)


@examples(200)
@given(stories, policies, st.randoms(use_true_random=False))
def test_any_order_repetition_and_batching_gives_the_same(
    story: Story, policy: Policy, chance: random.Random
) -> None:
    shuffled = [*story, *chance.choices(story, k=len(story))] if story else []
    chance.shuffle(shuffled)
    tables = folded(shuffled, chance, policy)
    assert profiles(tables) == truth(story, policy).profiles
    assert tables.recounted() == digest_of_truth(story, policy)


@given(stories, st.sampled_from([1, 4]), st.randoms(use_true_random=False))
def test_shards_that_take_turns_give_the_same(
    story: Story, shards: int, chance: random.Random
) -> None:
    queues = [[f for f in story if shard_of(f.leaf, shards) == s] for s in range(shards)]
    tables = MemoryTables(shards)
    while queues := [q for q in queues if q]:
        queue = chance.choice(queues)
        size = chance.randint(1, len(queue))
        take_in(tables, queue[:size])
        del queue[:size]
    assert tables.recounted() == digest_of_truth(story)


@given(histories.filter(bool), st.data())
def test_another_fact_gives_another_digest(events: list[Seen], data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(events))
    other = Seen(changed.identifiers, -1, changed.message, changed.alias)
    assert folded([*events, other]).recounted() != folded(events).recounted()


@given(stories)
def test_what_is_known_is_no_news(story: list[Seen | Ruled]) -> None:
    tables, evidence = folded(story), gather(story)
    assert not new_evidence(evidence, now(tables.load(evidence)))


@given(stories, policies)
def test_every_profile_is_named_by_one_of_its_own(story: Story, policy: Policy) -> None:
    known = profiles(folded(story, policy=policy))
    assert all(known[IdentifierId(profile)] == profile for profile in known.values())


def test_a_person_is_called_by_what_was_seen_first() -> None:
    visitor, user = Identifier("anonymous_id", "v"), Identifier("user_id", "u")
    late = Seen((user,), 5, 1)
    early = Seen((visitor, user), 3, 2)
    tables = folded([late])
    assert set(profiles(tables).values()) == {user.id_in(WORKSPACE)}
    take_in(tables, [early, Seen((visitor,), 1, 3)])
    assert set(profiles(tables).values()) == {visitor.id_in(WORKSPACE)}
