"""Tests what evidence of public sources links, and what it must never link."""

from __future__ import annotations

from collections.abc import Collection
from itertools import permutations

import pytest
from laws.identity_histories import evidence_of
from laws.identity_memory import MemoryEvidence, run
from laws.identity_model import WORKSPACE, History, ModelDecision, ModelEvent

from services.identity.domain.co_occurrence import max_holders
from services.identity.domain.evidence import DecisionKind, Edge, EvidenceKind, span_of
from services.identity.domain.held import HeldReason
from services.identity.domain.normalize import observation_of
from services.identity.domain.policy import DEFAULT, DEFAULT_CLAIMED_DEVICES, Policy
from services.identity.domain.rows import ProfileGraph
from services.identity.projection.apply_evidence import apply_evidence
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, LeafId, ProfileId
from services.kernel.time import DAY_US
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY

VICTIM, MALLORY = Identifier("user_id", "victim"), Identifier("user_id", "mallory")
EMAIL, PHONE = Identifier("email", "v@example.cn"), Identifier("phone", "+8613800000000")
BROWSER, PHONE_APP = Identifier("anonymous_id", "browser"), Identifier("device_id", "app")
UNIONID = Identifier("wechat_unionid", "o6_bmasdasdsad6_2sgVt7hMZOPfL")
OPENID = Identifier("wechat_openid.wx1", "oLVPpjqs9BhvzwPj5A-vTYAX3GLc")


def public(*identifiers: Identifier, at: int = 1, alias: bool = False) -> ModelEvent:
    return ModelEvent(identifiers, at, at, alias, frozenset(identifiers), SourceTrust.PUBLIC)


def server(*identifiers: Identifier, at: int = 1) -> ModelEvent:
    return ModelEvent(identifiers, at, at, trust=SourceTrust.SERVER)


class CountingEvidence(MemoryEvidence):
    """Counts the identifiers and edges that the slow path loads."""

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

    async def load_claims(self, ids: Collection[IdentifierId], limit: int) -> ProfileGraph:
        found = await super().load_claims(ids, limit)
        self.loaded += len(found.edges)
        return found


FLOOD = 60
FEW_CLAIMS = Policy(rules=DEFAULT.rules, claimed_devices=3)


def browser(number: int) -> Identifier:
    return Identifier("anonymous_id", f"browser {number:04}")


def flooded(*facts: ModelEvent | ModelDecision) -> CountingEvidence:
    """Fold facts and a flood of claims by a policy that lets few of them link."""
    store = CountingEvidence()
    store.policy = FEW_CLAIMS
    flood = [public(VICTIM, browser(n), at=100 + n) for n in range(FLOOD)]
    fold_into(store, server(VICTIM, EMAIL), *facts, *flood)
    return store


def size(store: MemoryEvidence, of: Identifier = VICTIM) -> int:
    """Return the number of identifiers of a profile."""
    return next(len(each) for each in partition(store) if of in each)


def test_flood_of_claims_adds_as_many_devices_as_the_policy_allows_the_earliest_first() -> None:
    store = flooded()
    profile = next(each for each in partition(store) if VICTIM in each)
    assert profile == {VICTIM, EMAIL, browser(0), browser(1), browser(2)}
    reasons = list(held(store).values())
    assert reasons == [HeldReason.TOO_MANY_CLAIMS] * (FLOOD - 3)


def test_flood_costs_a_claim_no_more_than_the_profile_that_it_concerns() -> None:
    store = flooded()
    before = store.loaded
    fold_into(store, public(VICTIM, browser(FLOOD), at=500))
    assert store.loaded - before < FLOOD // 2
    before = store.loaded
    fold_into(store, public(VICTIM, browser(FLOOD + 1), at=2), server(VICTIM, PHONE, at=600))
    assert store.loaded - before < FLOOD
    assert size(store) == 6


def test_chain_of_claims_between_devices_is_bounded_too() -> None:
    store = MemoryEvidence()
    store.policy = FEW_CLAIMS
    chain = [public(browser(n), browser(n + 1), at=n + 2) for n in range(FLOOD)]
    fold_into(store, public(VICTIM, browser(0)), *chain)
    assert size(store) <= 1 + 3
    assert max(map(len, partition(store))) <= 2 * (1 + 3)


def test_devices_of_trusted_sources_are_not_limited_and_confirm_claims_that_are_held() -> None:
    store = flooded()
    fold_into(store, *(server(VICTIM, browser(n), at=900) for n in range(10, 20)))
    assert size(store) == 2 + 3 + 10
    # Three claims are confirmed, so the next three link.
    fold_into(store, *(server(VICTIM, browser(n), at=901) for n in range(3)))
    assert size(store) == 2 + 6 + 10


def test_flood_in_any_order_gives_one_outcome() -> None:
    facts = [server(VICTIM, EMAIL), *(public(VICTIM, browser(n), at=9 - n) for n in range(5))]
    digests = set()
    for order in permutations(facts):
        store = MemoryEvidence()
        store.policy = FEW_CLAIMS
        fold_into(store, *order)
        digests.add(store.computed_digest())
    assert len(digests) == 1


def test_decision_links_a_device_beyond_the_limit_of_claims() -> None:
    link = ModelDecision(VICTIM, browser(FLOOD - 1), DecisionKind.LINK, 999, 1)
    store = flooded()
    fold_into(store, link)
    assert size(store) == 2 + 3 + 1


def test_default_policy_lets_a_thousand_claims_link() -> None:
    evidence = evidence_of([public(VICTIM, browser(n), at=n + 1) for n in range(1_100)])
    store = MemoryEvidence()
    run(apply_evidence(store, evidence, run(store.load(evidence))))
    run(store.unlock())
    assert size(store) == 1 + DEFAULT_CLAIMED_DEVICES == 1_001


def fold(*facts: ModelEvent | ModelDecision) -> MemoryEvidence:
    """Fold facts one by one."""
    store = MemoryEvidence()
    fold_into(store, *facts)
    return store


def fold_into(store: MemoryEvidence, *facts: ModelEvent | ModelDecision) -> None:
    for fact in facts:
        evidence = evidence_of([fact])
        run(apply_evidence(store, evidence, run(store.load(evidence))))
        run(store.unlock())


def fold_in_every_order(*history: ModelEvent | ModelDecision) -> MemoryEvidence:
    """Fold the same facts in every order; all must give one state."""
    found = [fold(*order) for order in permutations(history)]
    assert len({store.computed_digest() for store in found}) == 1
    return found[0]


def partition(store: MemoryEvidence) -> set[frozenset[Identifier]]:
    """Return the identifiers of each profile."""
    by_profile: dict[bytes, set[Identifier]] = {}
    for id_, row in store.rows.items():
        identifier = store.identifiers[id_].identifier
        assert identifier is not None
        by_profile.setdefault(row.profile_id, set()).add(identifier)
    return {frozenset(some) for some in by_profile.values()}


def profiles_of(*profiles: tuple[Identifier, ...]) -> set[frozenset[Identifier]]:
    return {frozenset(some) for some in profiles}


def held(store: MemoryEvidence) -> dict[Edge, int]:
    return {edge: row.held.reason for edge, row in store.edges.items() if row.held}


# What public sources may link.


def test_claim_login_on_a_new_device_links_the_device_to_the_customer() -> None:
    store = fold_in_every_order(
        server(VICTIM, EMAIL, PHONE, at=1),
        public(BROWSER, at=2),
        public(BROWSER, VICTIM, at=3),
        public(PHONE_APP, VICTIM, at=4),
    )
    assert partition(store) == profiles_of((VICTIM, EMAIL, PHONE, BROWSER, PHONE_APP))
    assert held(store) == {}


def test_claim_login_by_alias_links_the_device_to_the_customer() -> None:
    store = fold_in_every_order(public(BROWSER, at=1), public(BROWSER, VICTIM, at=2, alias=True))
    assert partition(store) == profiles_of((BROWSER, VICTIM))


def test_claim_newsletter_form_links_the_device_to_the_address() -> None:
    store = fold_in_every_order(public(BROWSER, at=1), public(BROWSER, EMAIL, at=2))
    assert partition(store) == profiles_of((BROWSER, EMAIL))


def test_claim_registration_form_links_device_to_user_and_holds_the_address() -> None:
    store = fold(public(VICTIM, EMAIL, BROWSER))
    assert partition(store) == profiles_of((VICTIM, BROWSER), (EMAIL,))
    assert list(held(store).values()) == [HeldReason.UNTRUSTED]


def test_claim_registration_form_links_all_once_the_back_end_confirms_it() -> None:
    store = fold_in_every_order(public(VICTIM, EMAIL, BROWSER, at=1), server(VICTIM, EMAIL, at=5))
    assert partition(store) == profiles_of((VICTIM, BROWSER, EMAIL))


def test_claim_mini_program_login_at_the_back_end_links_openid_unionid_and_device() -> None:
    store = fold_in_every_order(
        public(OPENID, PHONE_APP, at=1), server(OPENID, UNIONID, at=2), public(UNIONID, BROWSER)
    )
    assert partition(store) == profiles_of((OPENID, UNIONID, PHONE_APP, BROWSER))


def test_claim_under_a_leaf_of_an_earlier_normalisation_stays_with_its_user() -> None:
    """The id of such a leaf is all that is known of it, and it is no person of its own."""
    leaf = LeafId(b"an earlier form.")
    raw = tuple((i.namespace, i.value, False) for i in (VICTIM, BROWSER))
    found = observation_of((WORKSPACE, leaf, EvidenceKind.CLAIMED, raw), "CN", INDEX_KEY)
    evidence = evidence_of([server(VICTIM, EMAIL)])
    evidence.add(found, span_of(public(VICTIM, at=9).first))
    store = MemoryEvidence()
    run(apply_evidence(store, evidence, run(store.load(evidence))))
    assert len({row.profile_id for row in store.rows.values()}) == 1
    assert len(store.rows) == 4


# What public sources must not link.


@pytest.mark.parametrize(
    "forged",
    [
        public(MALLORY, EMAIL, at=9),
        public(MALLORY, EMAIL, PHONE, BROWSER, at=9),
        public(EMAIL, MALLORY, at=9, alias=True),
        public(MALLORY, VICTIM, at=9, alias=True),
        public(MALLORY, VICTIM, EMAIL, PHONE, at=-1),
    ],
)
def test_claim_about_two_known_persons_is_held_and_joins_nothing(forged: ModelEvent) -> None:
    history = (server(VICTIM, EMAIL, PHONE, at=1), server(MALLORY, at=2), forged)
    store = fold_in_every_order(*history)
    victims = next(some for some in partition(store) if VICTIM in some)
    assert victims == {VICTIM, EMAIL, PHONE}
    assert HeldReason.UNTRUSTED in held(store).values()


def test_claim_of_verified_identifiers_is_a_claim_all_the_same() -> None:
    assert {edge.kind for edge in fold(public(VICTIM, EMAIL)).edges} == {EvidenceKind.CLAIMED}


def test_claim_over_a_device_never_joins_the_two_persons_beyond_it() -> None:
    store = fold_in_every_order(
        server(VICTIM, EMAIL, at=1),
        public(BROWSER, EMAIL, at=2),
        public(BROWSER, PHONE_APP, at=3),
        public(PHONE_APP, MALLORY, at=4),
    )
    assert partition(store) == profiles_of((VICTIM, EMAIL, BROWSER, PHONE_APP), (MALLORY,))
    assert list(held(store).values()) == [HeldReason.OTHER_PERSON]


def test_claim_gives_way_to_trusted_evidence_about_the_same_device() -> None:
    """The device goes to the person that the back end saw, and the earlier claim is held."""
    member = Identifier("crm", "7")
    store = fold_in_every_order(
        public(BROWSER, MALLORY, at=1), server(BROWSER, member, at=9), server(member, PHONE, at=2)
    )
    assert partition(store) == profiles_of((BROWSER, member, PHONE), (MALLORY,))
    assert list(held(store).values()) == [HeldReason.OTHER_PERSON]


def test_claim_that_is_held_links_after_a_decision_and_is_held_again_after_its_withdrawal() -> None:
    history = [server(VICTIM, PHONE, at=1), server(EMAIL, at=2), public(VICTIM, EMAIL, at=3)]
    link = ModelDecision(VICTIM, EMAIL, DecisionKind.LINK, 10, 10)
    assert partition(fold(*history, link)) == profiles_of((VICTIM, PHONE, EMAIL))
    withdraw = ModelDecision(VICTIM, EMAIL, DecisionKind.WITHDRAW, 11, 11)
    store = fold(*history, link, withdraw)
    assert partition(store) == profiles_of((VICTIM, PHONE), (EMAIL,))
    assert list(held(store).values()) == [HeldReason.UNTRUSTED]


def test_claims_of_many_users_leave_a_phone_with_its_customer() -> None:
    """Otherwise a public key could make any number a shared one."""
    limit = DEFAULT.rule("phone").shared_after
    users = [Identifier("user_id", f"forged{n}") for n in range(limit + 5)]
    forged: History = [public(user, PHONE, at=n) for n, user in enumerate(users, 10)]
    store = fold(server(VICTIM, PHONE, at=1), *forged)
    assert frozenset((VICTIM, PHONE)) in partition(store)
    assert set(held(store).values()) == {HeldReason.UNTRUSTED}


def test_claims_about_a_phone_load_no_more_the_more_there_are() -> None:
    """Each is decided by its two ends, so a flood of them costs a customer's evidence nothing."""
    loaded = []
    for forged in (5, 50):
        store = CountingEvidence()
        fold_into(store, server(VICTIM, PHONE, at=1))
        for n in range(forged):
            fold_into(store, public(Identifier("user_id", f"forged{n}"), PHONE, at=10 + n))
        fold_into(store, public(BROWSER, at=900), server(VICTIM, EMAIL, at=901))
        fold_into(store, public(BROWSER, VICTIM, at=902))
        assert frozenset((VICTIM, PHONE, EMAIL, BROWSER)) in partition(store)
        loaded.append(store.loaded)
    assert loaded == [0, 0]


def test_claims_of_many_users_make_a_browser_a_shared_one() -> None:
    limit = max_holders(DEFAULT.rule("anonymous_id"))
    users = [Identifier("user_id", f"u{n}") for n in range(limit + 1)]
    store = fold(*(public(user, BROWSER, at=n) for n, user in enumerate(users)))
    assert frozenset((BROWSER,)) in partition(store)
    assert set(held(store).values()) == {HeldReason.SHARED}


def test_claim_does_not_renew_the_evidence_of_a_number_that_was_recycled() -> None:
    later = 400 * DAY_US
    taken = [server(MALLORY, PHONE, at=at) for at in (later, later + 30 * DAY_US)]
    history = [server(VICTIM, PHONE, at=1), *taken]
    store = fold_in_every_order(*history, public(VICTIM, PHONE, at=later + 1))
    assert partition(store) == profiles_of((VICTIM,), (MALLORY, PHONE))
