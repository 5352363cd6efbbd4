"""Tests how identity resolves shared, recycled, late, repeated and contradictory evidence."""

from __future__ import annotations

from collections.abc import Collection
from itertools import permutations

import pytest
from laws.identity_histories import evidence_of
from laws.identity_memory import MemoryEvidence, run
from laws.identity_model import WORKSPACE, History, ModelDecision, ModelEvent, expected_state

from services.identity.domain.evidence import DecisionKind, Evidence, EvidenceKind, span_of
from services.identity.domain.held import HeldReason
from services.identity.domain.normalize import observation_of
from services.identity.domain.policy import DEFAULT, NamespaceRule, Policy
from services.identity.domain.rows import ProfileGraph
from services.identity.projection.apply_evidence import apply_evidence
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.time import DAY_US
from tests.index_key import INDEX_KEY

PHONE = Identifier("phone", "+8613800000000")
COOKIE, KIOSK = Identifier("cookie", "c"), Identifier("device_id", "kiosk")
A, B, C = (Identifier("user_id", letter) for letter in "abc")
CARD, MAIL = Identifier("member_id", "card"), Identifier("email", "a@example.cn")
BROWSER = Identifier("anonymous_id", "browser")


class CountingEvidence(MemoryEvidence):
    """Counts the rows that the slow path loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = 0

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        found = await super().load_profiles(profiles)
        self.loaded += len(found.members) + len(found.edges)
        return found

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        found = await super().load_edges(ids)
        self.loaded += len(found.edges)
        return found


def fold(
    *facts: ModelEvent | ModelDecision, store: CountingEvidence | None = None
) -> CountingEvidence:
    """Fold facts one by one."""
    store = store or CountingEvidence()
    for fact in facts:
        apply(store, evidence_of([fact]))
    return store


def apply(store: CountingEvidence, evidence: Evidence) -> None:
    run(apply_evidence(store, evidence, run(store.load(evidence))))
    run(store.unlock())


def event(*identifiers: Identifier, at: int = 1, n: int = 1, alias: bool = False) -> ModelEvent:
    return ModelEvent(identifiers, at, n, alias)


def decision(
    one: Identifier, other: Identifier, kind: DecisionKind, at: int = 1_000
) -> ModelDecision:
    return ModelDecision(one, other, kind, at, at)


def profile(store: MemoryEvidence, identifier: Identifier) -> ProfileId:
    return store.rows[identifier.id_in(WORKSPACE, INDEX_KEY)].profile_id


def profiles(store: MemoryEvidence) -> dict[IdentifierId, ProfileId]:
    return {id_: row.profile_id for id_, row in store.rows.items()}


def are_one(store: MemoryEvidence, *identifiers: Identifier) -> bool:
    return len({profile(store, identifier) for identifier in identifiers}) == 1


def held_reasons(store: MemoryEvidence) -> set[int]:
    return {row.held.reason for row in store.edges.values() if row.held}


def fold_in_every_order(history: History) -> list[CountingEvidence]:
    """Fold the same facts in every order; all must give one state."""
    found = [fold(*order) for order in permutations(history)]
    assert len({store.computed_digest() for store in found}) == 1
    return found


def test_phone_shared_by_a_family_belongs_to_none_of_them() -> None:
    family = [event(user, PHONE, at=n, n=n) for n, user in enumerate((A, B, C), 1)]
    for store in fold_in_every_order(family):
        assert len({profile(store, one) for one in (A, B, C, PHONE)}) == 4
        assert held_reasons(store) == {HeldReason.SHARED}


def test_account_and_card_of_spouses_with_one_phone_are_two_persons() -> None:
    """Ids of persons of different namespaces count together."""
    for store in fold_in_every_order([event(A, PHONE, at=1, n=1), event(CARD, PHONE, at=2, n=2)]):
        assert len({profile(store, one) for one in (A, CARD, PHONE)}) == 3
        assert held_reasons(store) == {HeldReason.SHARED}


def test_account_and_card_that_one_event_has_share_their_phone() -> None:
    joint = event(A, CARD, at=9, n=3)
    history = [event(A, PHONE, at=1, n=1), event(CARD, PHONE, at=2, n=2), joint]
    for store in fold_in_every_order(history):
        assert are_one(store, A, CARD, PHONE)
        assert not held_reasons(store)


def test_link_of_account_and_card_releases_their_phone_until_it_is_withdrawn() -> None:
    store = fold(event(A, PHONE, at=1, n=1), event(CARD, PHONE, at=2, n=2))
    fold(decision(A, CARD, DecisionKind.LINK), store=store)
    assert are_one(store, A, CARD, PHONE)
    fold(decision(A, CARD, DecisionKind.WITHDRAW, at=2_000), store=store)
    assert len({profile(store, one) for one in (A, CARD, PHONE)}) == 3


def test_chain_of_a_device_and_a_phone_joins_no_two_persons() -> None:
    """The browser is of one person and the phone of another one; one form has both."""
    history = [
        event(A, COOKIE, at=1, n=1),
        event(CARD, PHONE, at=2, n=2),
        event(MAIL, PHONE, at=3, n=3),
        event(COOKIE, MAIL, at=4, n=4),
    ]
    for store in fold_in_every_order(history):
        assert not are_one(store, A, CARD)


def test_devices_of_two_persons_that_one_event_has_join_no_two_persons() -> None:
    history = [
        event(A, COOKIE, at=1, n=1),
        event(CARD, BROWSER, at=2, n=2),
        event(COOKIE, BROWSER, at=3, n=3),
    ]
    for store in fold_in_every_order(history):
        assert are_one(store, A, COOKIE)
        assert are_one(store, CARD, BROWSER)
        assert not are_one(store, A, CARD)
        assert held_reasons(store) == {HeldReason.OTHER_PERSON}


def test_kiosk_with_too_many_users_links_none_of_them() -> None:
    limit = DEFAULT.rule("device_id").shared_after
    users = [Identifier("email", f"p{n}@example.cn") for n in range(limit + 1)]
    store = fold(*(event(user, KIOSK, at=n, n=n) for n, user in enumerate(users)))
    assert len({profile(store, user) for user in users}) == len(users)
    assert profile(store, KIOSK) == KIOSK.id_in(WORKSPACE, INDEX_KEY)
    assert held_reasons(store) == {HeldReason.SHARED}


def test_hub_above_its_limit_loads_no_rows() -> None:
    users = [Identifier("user_id", f"p{n}") for n in range(300)]
    store = CountingEvidence()
    for n, user in enumerate(users):
        if n == 30:
            store.loaded = 0
        fold(event(user, KIOSK, at=n, n=n), store=store)
    assert store.loaded == 0
    assert len(store.edges) == 300


def test_chain_of_shared_phones_loads_the_same_at_any_length() -> None:
    users = [Identifier("user_id", f"p{n}") for n in range(100)]
    phones = [Identifier("phone", f"+861380000{n:04}") for n in range(101)]
    store, loaded = CountingEvidence(), list[int]()
    for n, user in enumerate(users):
        store.loaded = 0
        fold(
            event(user, phones[n], at=2 * n, n=2 * n),
            event(user, phones[n + 1], at=2 * n + 1, n=2 * n + 1),
            store=store,
        )
        loaded.append(store.loaded)
    assert 0 < loaded[10] == loaded[99]


def test_recycled_phone_leaves_its_earlier_holder() -> None:
    year = 365 * DAY_US
    history = [
        event(A, PHONE, at=1, n=1),
        event(A, PHONE, at=9 * DAY_US, n=2),
        event(B, PHONE, at=year, n=3),
        event(B, PHONE, at=year + 30 * DAY_US, n=5),
    ]
    for store in fold_in_every_order(history):
        assert are_one(store, B, PHONE)
        assert not are_one(store, A, PHONE)
        assert HeldReason.RECYCLED in held_reasons(store)
    returned = fold(*history, event(A, PHONE, at=year - DAY_US, n=4))
    reasons = held_reasons(returned)
    assert reasons == {HeldReason.SHARED}, "it was used shortly before, so it was not recycled"


def test_phone_that_another_person_used_once_is_shared_and_not_recycled() -> None:
    """A lent card or a mistyped number takes no phone from its person for another one."""
    year = 365 * DAY_US
    history = [event(A, PHONE, at=1, n=1), event(B, PHONE, at=year, n=2)]
    again = event(B, PHONE, at=year + 1, n=3)
    for store in fold_in_every_order([*history, again]):
        assert not are_one(store, B, PHONE)
        assert not are_one(store, A, PHONE)
        assert held_reasons(store) == {HeldReason.SHARED}


def test_same_email_in_two_workspaces_is_two_profiles() -> None:
    mail = Identifier("email", "li@example.cn")
    store = fold(event(A, mail))
    other = WorkspaceId("another school")
    raw = tuple((i.namespace, i.value, False) for i in (B, mail))
    leaf = leaf_of(other, (B, mail), INDEX_KEY)
    evidence = Evidence()
    observation = observation_of((other, leaf, EvidenceKind.OBSERVED, raw), "CN", INDEX_KEY)
    evidence.add(observation, span_of(event(B).first))
    apply(store, evidence)
    here, there = mail.id_in(WORKSPACE, INDEX_KEY), mail.id_in(other, INDEX_KEY)
    assert here != there
    assert store.rows[here].profile_id != store.rows[there].profile_id
    assert store.rows[there].profile_id == min(there, B.id_in(other, INDEX_KEY))


def test_cycle_of_aliases_is_one_profile() -> None:
    ring = [Identifier("cookie", f"c{n}") for n in range(5)]
    pairs = zip(ring, ring[1:] + ring[:1], strict=True)
    store = fold(*(event(*pair, at=n, n=n, alias=True) for n, pair in enumerate(pairs)))
    assert are_one(store, *ring)
    assert not held_reasons(store)


def test_alias_to_itself_makes_no_edge() -> None:
    store = fold(event(A, A, alias=True))
    assert not store.edges
    assert profile(store, A) == A.id_in(WORKSPACE, INDEX_KEY)


def test_links_that_arrive_in_any_order_give_one_profile() -> None:
    history = [event(B, COOKIE, at=2, n=2), event(B, PHONE, at=3, n=3), event(A, A, n=1)]
    for store in fold_in_every_order(history):
        assert are_one(store, B, COOKIE, PHONE)
    chain = [event(B, C, at=2, n=2, alias=True), event(A, B, at=1, n=1, alias=True)]
    for store in fold_in_every_order(chain):
        assert are_one(store, A, B, C)
        assert profile(store, C) == min(
            A.id_in(WORKSPACE, INDEX_KEY), B.id_in(WORKSPACE, INDEX_KEY)
        )


def test_late_link_counts_from_its_time_of_occurrence() -> None:
    store = CountingEvidence()
    store.policy = Policy(1, {"user_id": NamespaceRule(limit=1), "phone": NamespaceRule()})
    fold(event(A, PHONE, at=5, n=1), event(B, PHONE, at=2, n=2), store=store)
    assert are_one(store, B, PHONE)
    assert not are_one(store, A, PHONE)


def test_thousand_aliases_of_one_id_are_one_profile_on_the_fast_path() -> None:
    aliases = [Identifier("user_id", f"u{n}") for n in range(1_000)]
    store = CountingEvidence()
    for start in range(0, 1_000, 50):
        events = [
            event(A, other, at=n, n=n, alias=True)
            for n, other in enumerate(aliases[start : start + 50])
        ]
        apply(store, evidence_of(events))
    assert are_one(store, A, *aliases)
    assert not held_reasons(store)
    assert store.loaded == 0


def test_separation_of_unlinked_identifiers_holds_until_it_is_withdrawn() -> None:
    store = fold(event(A), event(B), decision(A, B, DecisionKind.SEPARATE))
    assert not are_one(store, A, B)
    fold(event(A, B, at=2, n=9, alias=True), store=store)
    assert not are_one(store, A, B)
    assert held_reasons(store) == {HeldReason.SEPARATED}
    fold(decision(A, B, DecisionKind.WITHDRAW, at=2_000), store=store)
    assert are_one(store, A, B)


def test_withdrawal_without_a_decision_changes_nothing() -> None:
    store = fold(event(A, PHONE), decision(A, PHONE, DecisionKind.WITHDRAW))
    assert are_one(store, A, PHONE)


@pytest.mark.parametrize("pair", [(A, B), (COOKIE, PHONE)])
def test_link_before_the_identifiers_are_seen_joins_them(
    pair: tuple[Identifier, Identifier],
) -> None:
    one, other = pair
    store = fold(decision(one, other, DecisionKind.LINK), event(one), event(other, at=2, n=2))
    assert are_one(store, one, other)


def test_decisions_in_any_order_the_latest_counts() -> None:
    history = [
        event(A, PHONE, at=1),
        decision(A, PHONE, DecisionKind.SEPARATE, at=10),
        decision(A, PHONE, DecisionKind.LINK, at=20),
        decision(A, PHONE, DecisionKind.SEPARATE, at=15),
    ]
    for store in fold_in_every_order(history):
        assert are_one(store, A, PHONE)


def test_chain_of_links_withdrawn_in_any_order_is_split_again() -> None:
    links = [decision(A, B, DecisionKind.LINK, at=10), decision(B, C, DecisionKind.LINK, at=11)]
    apart = [event(A, at=1), event(B, at=2, n=2), event(C, at=3, n=3)]
    withdrawals = [
        decision(A, B, DecisionKind.WITHDRAW, at=20),
        decision(B, C, DecisionKind.WITHDRAW, at=21),
    ]
    later = event(A, COOKIE, at=30, n=4)
    never = fold(*apart, later)
    for order in permutations([*links, *withdrawals]):
        store = fold(*apart, *order, later)
        assert profiles(store) == profiles(never)
        assert profiles(store) == expected_state([*apart, *order, later]).profiles
