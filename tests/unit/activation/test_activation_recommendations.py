"""Tests recommendations: planted tastes are found, and nothing that a person has is shown."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.activation.domain.item_similarity import (
    HALF_LIFE_US,
    MAX_SIMILAR,
    SHRINKAGE,
    Ranked,
    compute_table,
)
from services.activation.domain.recommendations import (
    ItemReason,
    PersonItems,
    Recommendation,
    rank_items,
)
from services.kernel.errors import RuleError
from services.kernel.journeys.decisions import dump_slot, parse_slot, slot_problems
from services.kernel.rules.defaults import Defaults
from services.kernel.time import DAY_US

NOW_US = 1_000 * DAY_US
ITEMS = st.sampled_from([f"i{n}" for n in range(12)])
HISTORIES = st.dictionaries(
    st.integers(0, 30).map(lambda n: bytes([n])),
    st.dictionaries(ITEMS, st.integers(0, 1_000).map(lambda day: day * DAY_US), max_size=6),
    max_size=20,
)


def ranked_for(person: PersonItems, table: Any, count: int = 10) -> list[Recommendation]:
    found = rank_items(person, table.similar, table.popular, table.categories)
    return list(islice(found, count))


def test_planted_tastes_are_hit_three_times_as_often_as_by_what_is_popular() -> None:
    """PER-02: each person has one of 20 tastes of 15 items, buys 6 of them and 2 that are popular.

    One item of the taste is left out, and has to be among the ten that are recommended.
    """
    random = Random(7)
    tastes = [[f"t{taste}-{n}" for n in range(15)] for taste in range(20)]
    everyday = [f"e{n}" for n in range(30)]
    bought: dict[bytes, dict[str, int]] = {}
    left_out: dict[bytes, str] = {}
    for number in range(2_000):
        own = random.sample(random.choice(tastes), 7) + random.sample(everyday[:10], 2)
        person = number.to_bytes(4, "big")
        left_out[person] = own[0]
        bought[person] = {item: NOW_US - random.randrange(60) * DAY_US for item in own[1:]}
    table = compute_table(bought, {}, NOW_US)
    hits = Counter[str]()
    for person, own in bought.items():
        items = PersonItems(list(own), own)
        hits["ours"] += left_out[person] in [r.item for r in ranked_for(items, table)]
        best = (each.item for each in table.popular[""] if each.item not in own)
        hits["popular"] += left_out[person] in list(islice(best, 10))
    assert hits["ours"] > 0.6 * len(bought)
    assert hits["ours"] >= 3 * hits["popular"]


@given(HISTORIES, st.lists(ITEMS, unique=True), st.sets(ITEMS), st.lists(ITEMS, unique=True))
@examples(200)
def test_nothing_that_a_person_has_is_shown_and_nothing_twice(
    bought: dict[bytes, dict[str, int]], recent: list[str], own: set[str], named: list[str]
) -> None:
    categories = {f"i{n}": "even" if n % 2 == 0 else "odd" for n in range(9)}
    table = compute_table(bought, categories, NOW_US)
    found = ranked_for(PersonItems(recent, own, named), table, 100)
    shown = [each.item for each in found]
    assert not own & set(shown)
    assert len(set(shown)) == len(shown)
    # Everything that a person got is shown, sooner or later, and another recommender goes first.
    assert set(shown) == {i for items in bought.values() for i in items if i not in own} | (
        set(named) - own
    )
    wanted = [item for item in named if item not in own]
    assert shown[: len(wanted)] == wanted
    order = [ItemReason.RECOMMENDED, ItemReason.SIMILAR]
    order += [ItemReason.POPULAR_IN_CATEGORY, ItemReason.POPULAR]
    assert [order.index(each.reason) for each in found] == sorted(
        order.index(each.reason) for each in found
    )


@given(HISTORIES, st.randoms())
@examples(100)
def test_table_is_the_same_in_any_order(bought: dict[bytes, dict[str, int]], random: Any) -> None:
    persons = list(bought.items())
    random.shuffle(persons)
    other = {person: dict(reversed(list(items.items()))) for person, items in persons}
    assert compute_table(other, {}, NOW_US) == compute_table(bought, {}, NOW_US)


def test_similarity_is_the_shrunk_cosine_of_what_counts_half_after_90_days() -> None:
    old = NOW_US - HALF_LIFE_US
    bought = {b"1": {"a": NOW_US, "b": old}, b"2": {"a": NOW_US}, b"3": {"b": NOW_US}}
    table = compute_table(bought, {}, NOW_US)
    common = 1 * 0.5
    cosine = common / ((1 + 1) ** 0.5 * (0.25 + 1) ** 0.5)
    [found] = table.similar["a"]
    assert found == ("b", pytest.approx(cosine * common / (common + SHRINKAGE)))
    assert table.similar["b"] == (Ranked("a", found.score),)
    assert table.popular[""] == (Ranked("a", 2.0), Ranked("b", 1.5))


def test_item_is_explained_by_the_item_that_contributes_most() -> None:
    similar = {"a": [Ranked("x", 0.1)], "b": [Ranked("x", 0.3), Ranked("y", 0.2)]}
    popular = {"": [Ranked("z", 9.0)], "shoes": [Ranked("w", 4.0)]}
    person = PersonItems(["a", "b"], ["a", "y"])
    assert list(rank_items(person, similar, popular, {"a": "shoes"})) == [
        Recommendation("x", pytest.approx(0.4), ItemReason.SIMILAR, "b"),
        Recommendation("w", 4.0, ItemReason.POPULAR_IN_CATEGORY),
        Recommendation("z", 9.0, ItemReason.POPULAR),
    ]


def test_item_has_a_bounded_number_of_similar_ones() -> None:
    bought = {bytes([n]): {"a": NOW_US, f"b{n}": NOW_US} for n in range(MAX_SIMILAR + 9)}
    assert len(compute_table(bought, {}, NOW_US).similar["a"]) == MAX_SIMILAR


FORM: dict[str, Any] = {
    "id": "home",
    "items": {
        "bought": [
            {"event": "order_paid", "where": {"test": {"ne": True}}, "item": "products.sku"}
        ],
        "seen": [{"event": ["product_viewed", "liked"], "item": "sku"}],
        "recommended": [{"event": "items_recommended", "item": "items"}],
        "catalogue": "product",
        "category": "category",
        "unavailable": {"stock": {"at_most": 0}},
    },
    "fallback": {"items": []},
}


def test_slot_with_items_is_read_and_written_and_finds_items_in_events() -> None:
    slot = parse_slot(FORM, "slots[0]", Defaults())
    assert parse_slot(dump_slot(slot, Defaults()), "", Defaults()) == slot
    assert not slot_problems(slot)
    ranking = slot.items
    assert ranking is not None
    assert ranking.names() == ["items_recommended", "liked", "order_paid", "product_viewed"]
    [bought], [seen] = ranking.bought, ranking.seen
    order = {"products": [{"sku": "a"}, {"sku": 7}, {"sku": "a"}, {"sku": None}, {"sku": True}]}
    assert bought.items_in("order_paid", order) == ["a", "7"]
    assert bought.items_in("order_paid", {**order, "test": True}) == []
    assert bought.items_in("product_viewed", order) == []
    assert seen.items_in("liked", {"sku": "b"}) == ["b"]
    assert seen.items_in("liked", {"sku": {}}) == seen.items_in("liked", {}) == []
    assert not ranking.is_available({"stock": 0})
    assert ranking.is_available({"stock": 1})
    assert ranking.is_available({})


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({}, "no event says"),
        ({"bought": [{"event": "*", "item": "a"}]}, "no name"),
        ({"bought": [{"event": "a", "item": "a"}], "category": "c"}, "nothing describes"),
    ],
)
def test_mistake_of_a_ranking_is_named(items: dict[str, Any], message: str) -> None:
    slot = parse_slot({"id": "home", "items": items}, "", Defaults())
    assert any(message in str(problem) for problem in slot_problems(slot))


def test_slot_has_variants_or_items_and_each_key_of_items_is_known() -> None:
    variants = [{"id": "a", "content": {}}]
    both = parse_slot({**FORM, "variants": variants}, "", Defaults())
    assert any("has no variants" in str(problem) for problem in slot_problems(both))
    for wrong in ({"bought": [{"event": "a"}]}, {"sold": []}):
        with pytest.raises(RuleError):
            parse_slot({"id": "home", "items": wrong}, "", Defaults())
