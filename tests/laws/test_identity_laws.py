"""Laws 2 and 4 for identity: any order, repetition, batching and sharding gives one state."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from laws.identity_model import WORKSPACE, Seen, gather, truth

from services.identity.domain.decide import decide, news
from services.identity.domain.digest import edge_share, identifier_share
from services.identity.domain.facts import Edge, First
from services.identity.domain.model import Evidence, Known
from services.kernel.digest import digest_of
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, ProfileId, shard_of

names = st.builds(
    Identifier,
    st.sampled_from(["user_id", "phone", "anonymous_id", "device_id"]),
    st.sampled_from("abcd"),
)
seen = st.builds(
    Seen,
    st.lists(names, min_size=1, max_size=3, unique=True).map(tuple),
    st.integers(1, 9),
    st.integers(0, 3),
    st.booleans(),
)
histories = st.lists(seen, max_size=25)
#: The machine may be busy: how long an example takes says nothing.
unhurried = settings(deadline=None)


class Tables:
    """The tables as dicts."""

    def __init__(self) -> None:
        self.known: dict[IdentifierId, Known] = {}
        self.edges: dict[Edge, First] = {}

    def learn(self, evidence: Evidence) -> None:
        fresh = news(evidence, self.known, self.edges)
        outcome = decide(fresh, self.known, self.edges)
        for id_, first in outcome.added.items():
            assert id_ not in self.known
            self.known[id_] = Known(outcome.profiles[id_], first)
        for id_, first in outcome.earlier.items():
            assert first < self.known[id_].first
            self.known[id_] = Known(self.known[id_].profile_id, first)
        for id_, row in self.known.items():
            moved = outcome.moved.get(row.profile_id, row.profile_id)
            self.known[id_] = Known(moved, row.first)
        assert outcome.added_edges.keys().isdisjoint(self.edges)
        assert all(first < self.edges[e] for e, first in outcome.earlier_edges.items())
        self.edges.update({**outcome.added_edges, **outcome.earlier_edges})

    @property
    def profiles(self) -> dict[IdentifierId, ProfileId]:
        return {id_: row.profile_id for id_, row in self.known.items()}

    @property
    def digest(self) -> int:
        rows = [identifier_share(i, row.profile_id, row.first) for i, row in self.known.items()]
        return digest_of(rows + [edge_share(e, first) for e, first in self.edges.items()])


def folded(events: list[Seen], cuts: random.Random | None = None) -> Tables:
    tables = Tables()
    rest = list(events)
    while rest:
        size = cuts.randint(1, len(rest)) if cuts else len(rest)
        tables.learn(gather(rest[:size]))
        rest = rest[size:]
    return tables


@unhurried
@given(histories)
def test_the_fold_finds_what_the_obvious_model_finds(events: list[Seen]) -> None:
    expected = truth(events)
    tables = folded(events)
    assert tables.profiles == expected.profiles
    assert tables.digest == expected.digest


@unhurried
@given(histories, st.randoms(use_true_random=False))
def test_any_order_repetition_and_batching_gives_the_same(
    events: list[Seen], chance: random.Random
) -> None:
    shuffled = events + chance.choices(events, k=len(events)) if events else []
    chance.shuffle(shuffled)
    tables = folded(shuffled, chance)
    expected = truth(events)
    assert tables.profiles == expected.profiles
    assert {i: row.first for i, row in tables.known.items()} == expected.firsts
    assert tables.digest == expected.digest


@unhurried
@given(histories, st.sampled_from([1, 4]), st.randoms(use_true_random=False))
def test_shards_that_take_turns_give_the_same(
    events: list[Seen], shards: int, chance: random.Random
) -> None:
    queues = [[e for e in events if shard_of(e.leaf, shards) == s] for s in range(shards)]
    tables = Tables()
    while queues := [q for q in queues if q]:
        queue = chance.choice(queues)
        size = chance.randint(1, len(queue))
        tables.learn(gather(queue[:size]))
        del queue[:size]
    assert tables.digest == truth(events).digest


@unhurried
@given(histories.filter(bool), st.data())
def test_another_fact_gives_another_digest(events: list[Seen], data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(events))
    other = Seen(changed.identifiers, 0, changed.message, changed.alias)
    assert folded([*events, other]).digest != folded(events).digest


@unhurried
@given(histories)
def test_what_is_known_is_no_news(events: list[Seen]) -> None:
    tables = folded(events)
    assert not news(gather(events), tables.known, tables.edges)


@unhurried
@given(histories)
def test_every_profile_is_named_by_one_of_its_own(events: list[Seen]) -> None:
    profiles = folded(events).profiles
    assert all(profiles[IdentifierId(profile)] == profile for profile in profiles.values())


def test_a_person_is_called_by_what_was_seen_first() -> None:
    visitor, user = Identifier("anonymous_id", "v"), Identifier("user_id", "u")
    late = Seen((user,), 5, 1)
    early = Seen((visitor, user), 3, 2)
    tables = folded([late])
    assert set(tables.profiles.values()) == {user.id_in(WORKSPACE)}
    tables.learn(gather([early, Seen((visitor,), 1, 3)]))
    assert set(tables.profiles.values()) == {visitor.id_in(WORKSPACE)}
