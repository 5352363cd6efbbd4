"""Keys identify principals, and the authenticator caches them for a short time."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.ingest.v1 import ingest_facts_pb2

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import hash_key, issue_key, key_from_authorization
from services.chassis.access.principal import (
    Principal,
    Role,
    principal,
    require_role,
    set_principal,
    workspace_id,
)
from services.chassis.access.tables import AccessKey
from services.chassis.access.uses import KeyUse, KeyUses
from services.chassis.rpc.guard import address_of
from services.chassis.runtime.tasks import start_deadline
from services.kernel.errors import NotAllowed, RateLimited, StoreUnavailable
from services.kernel.ids import SourceId, WorkspaceId
from services.kernel.rate_limit import RateLimit
from services.kernel.restrictions import UNKNOWN_PEER, Peer, Restrictions

T = TypeVar("T")
INTERNAL = "an-internal-key-of-this-test"
SHOP = Principal(WorkspaceId("shop"), Role.SOURCE, "key_1", SourceId("web"))


@dataclass
class Store:
    """Keys in memory, with a clock that the test sets and a count of lookups."""

    keys: dict[bytes, AccessKey] = field(default_factory=dict)
    now: float = 1000.0
    #: Seconds since 1970.
    wall: float = 1_800_000_000.0
    lookups: int = 0
    down: bool = False

    def put(
        self,
        key: str,
        *,
        disabled: bool = False,
        expires_in_s: float = 0,
        origins: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> None:
        expires_at_us = int((self.wall + expires_in_s) * 1e6) if expires_in_s else 0
        restrictions = Restrictions.load(origins, addresses)
        self.keys[hash_key(key)] = AccessKey(SHOP, disabled, expires_at_us, restrictions)

    async def load(self, key_hash: bytes) -> AccessKey | None:
        self.lookups += 1
        if self.down:
            raise StoreUnavailable("down")
        return self.keys.get(key_hash)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def authenticator(store: Store) -> Authenticator:
    return Authenticator(
        store.load,
        INTERNAL,
        ttl_s=5.0,
        miss_ttl_s=1.0,
        clock=lambda: store.now,
        wall_clock=lambda: store.wall,
    )


async def _reason(authenticator: Authenticator, key: str | None) -> str:
    with pytest.raises(NotAllowed) as caught:
        await authenticator.authenticate_internal(key, "shop")
    return caught.value.reason


def test_roles_equal_those_of_the_protos() -> None:
    contract = {
        name.removeprefix("ROLE_"): number
        for name, number in ingest_facts_pb2.Role.items()
        if number
    }
    ours = {role.name: role.value for role in Role if role is not Role.INTERNAL}
    assert ours == contract


async def test_known_key_returns_its_principal(authenticator: Authenticator, store: Store) -> None:
    store.put("k")
    assert await authenticator.authenticate("k") == SHOP


async def test_named_workspace_is_ignored_for_a_source_key(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k")
    caller = await authenticator.authenticate_internal("k", "another")
    assert caller.workspace_id == "shop"


@pytest.mark.parametrize("key", [None, ""])
async def test_missing_key_is_rejected(authenticator: Authenticator, key: str | None) -> None:
    assert await _reason(authenticator, key) == "KEY_MISSING"


@pytest.mark.parametrize("key", ["wrong", INTERNAL + "x", INTERNAL[:-1], "\ud800", "键"])
async def test_unknown_key_is_rejected(authenticator: Authenticator, key: str) -> None:
    assert await _reason(authenticator, key) == "KEY_UNKNOWN"


async def test_disabled_key_is_rejected(authenticator: Authenticator, store: Store) -> None:
    store.put("k", disabled=True)
    assert await _reason(authenticator, "k") == "KEY_DISABLED"


async def test_key_is_accepted_until_it_expires(authenticator: Authenticator, store: Store) -> None:
    store.put("k", expires_in_s=60)
    store.wall += 59.9
    assert await authenticator.authenticate("k") == SHOP
    store.wall += 0.1
    assert await _reason(authenticator, "k") == "KEY_EXPIRED"


async def test_cached_key_that_expires_meanwhile_is_rejected(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k", expires_in_s=60)
    await authenticator.authenticate("k")
    store.wall += 60  # and no time passes for the cache
    assert await _reason(authenticator, "k") == "KEY_EXPIRED"
    assert store.lookups == 1


async def test_message_that_arrived_before_its_key_expired_is_accepted_later(
    authenticator: Authenticator, store: Store
) -> None:
    arrived_at_us = int(store.wall * 1e6)
    store.put("k", expires_in_s=60)
    store.wall += 3600
    assert await authenticator.authenticate("k", Peer(arrived_at_us=arrived_at_us)) == SHOP
    for late in (Peer(), Peer(arrived_at_us=arrived_at_us + 60_000_000)):
        with pytest.raises(NotAllowed, match="expired"):
            await authenticator.authenticate("k", late)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (Peer("10.0.0.1", "https://shop.example"), None),
        (Peer("::ffff:10.0.0.1", "https://SHOP.example:443"), None),
        (Peer("10.0.0.1", "https://attacker.example"), "ORIGIN_NOT_ALLOWED"),
        (Peer("10.0.0.1", "null"), "ORIGIN_NOT_ALLOWED"),
        (Peer("10.0.0.1"), "ORIGIN_NOT_ALLOWED"),
        (Peer("192.0.2.1", "https://shop.example"), "ADDRESS_NOT_ALLOWED"),
        (UNKNOWN_PEER, "ADDRESS_NOT_ALLOWED"),
    ],
)
async def test_restricted_key_is_accepted_only_from_its_origins_and_addresses(
    authenticator: Authenticator, store: Store, peer: Peer, reason: str | None
) -> None:
    store.put("k", origins=["https://shop.example"], addresses=["10.0.0.0/8"])
    calls = (
        lambda: authenticator.authenticate("k", peer),
        lambda: authenticator.authenticate_internal("k", "", peer),
    )
    for call in calls:
        if reason is None:
            assert await call() == SHOP
            continue
        with pytest.raises(NotAllowed) as caught:
            await call()
        assert caught.value.reason == reason
        assert "192.0.2.1" not in caught.value.message


async def test_disabled_key_is_reported_before_everything_else(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k", disabled=True, expires_in_s=-1, addresses=["10.0.0.0/8"])
    assert await _reason(authenticator, "k") == "KEY_DISABLED"


@pytest.mark.parametrize("key", ["", "wrong", "disabled", "expired", "foreign"])
async def test_rejected_key_does_not_count_as_used(
    authenticator: Authenticator, store: Store, key: str
) -> None:
    store.put("disabled", disabled=True)
    store.put("expired", expires_in_s=-1)
    store.put("foreign", addresses=["10.0.0.0/8"])
    await _reason(authenticator, key)
    assert await _handed_over(authenticator.uses) == []


async def test_accepted_key_counts_as_used_once_a_day(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k")
    today = int(store.wall // 86_400)
    for _ in range(3):
        await authenticator.authenticate("k")
    assert await _handed_over(authenticator.uses) == [KeyUse("shop", "key_1", today)]
    await authenticator.authenticate("k")
    assert await _handed_over(authenticator.uses) == []
    store.wall += 86_400
    await authenticator.authenticate("k")
    assert await _handed_over(authenticator.uses) == [KeyUse("shop", "key_1", today + 1)]


async def test_refused_method_is_handed_over_once_a_day_for_each_key(
    authenticator: Authenticator, store: Store
) -> None:
    caller = Principal(WorkspaceId("a"), Role.READER, "k1")
    for method in ("/a/B", "/a/B", "/a/C"):
        with pytest.raises(NotAllowed):
            authenticator.check_role(caller, {Role.ADMIN}, method)
    authenticator.check_role(caller, {Role.READER}, "/a/D")
    inside = Principal(WorkspaceId("a"), Role.INTERNAL, "internal")
    with pytest.raises(NotAllowed):  # a service of this system is no caller of a workspace
        authenticator.check_role(inside, {Role.ADMIN}, "/a/B")
    today = int(store.wall // 86_400)
    handed = await _handed_over(authenticator.uses)
    assert handed == [KeyUse("a", "k1", today, method) for method in ("/a/B", "/a/C")]


async def _handed_over(uses: KeyUses) -> list[KeyUse]:
    found: list[KeyUse] = []

    async def record(page: Sequence[KeyUse]) -> None:
        found.extend(page)

    await uses.hand_over(record)
    return found


async def test_uses_that_cannot_be_recorded_are_handed_over_later() -> None:
    uses, calls = KeyUses(), list[int]()
    for number in range(5_001):
        uses.note(Principal(WorkspaceId("shop"), Role.ADMIN, f"key_{number}"), 86_400.0)

    async def fail_at_first(page: Sequence[KeyUse]) -> None:
        calls.append(len(page))
        if len(calls) == 1:
            raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        await uses.hand_over(fail_at_first)
    await uses.hand_over(fail_at_first)
    assert calls == [5_000, 5_000, 1]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:50051", "192.0.2.1"),
        ("ipv6:[2001:db8::1]:50051", "2001:db8::1"),
        ("ipv6:%5B2001:db8::1%5D:50051", "2001:db8::1"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:50051", "::ffff:192.0.2.1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::1%eth0"),
        ("unix:/run/socket", ""),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_address_of_the_peer_of_a_call(peer: str, address: str) -> None:
    assert address_of(peer) == address


async def test_internal_key_needs_no_lookup(authenticator: Authenticator, store: Store) -> None:
    caller = await authenticator.authenticate_internal(INTERNAL, "shop")
    assert (caller.internal, caller.workspace_id, store.lookups) == (True, "shop", 0)


async def test_internal_key_at_an_endpoint_for_clients_is_unknown(
    authenticator: Authenticator,
) -> None:
    with pytest.raises(NotAllowed) as caught:
        await authenticator.authenticate(INTERNAL)
    assert caught.value.reason == "KEY_UNKNOWN"


async def test_known_key_is_looked_up_once_within_its_ttl(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k")
    for _ in range(3):
        await authenticator.authenticate("k")
    assert store.lookups == 1
    store.now += 5.0
    await authenticator.authenticate("k")
    assert store.lookups == 2


async def test_unknown_key_is_cached_for_a_shorter_ttl(
    authenticator: Authenticator, store: Store
) -> None:
    for _ in range(3):
        await _reason(authenticator, "k")
    assert store.lookups == 1
    store.put("k")
    store.now += 1.0
    assert await authenticator.authenticate("k") == SHOP


async def test_key_read_before_the_commit_of_a_fold_is_not_cached_after_it(
    authenticator: Authenticator, store: Store
) -> None:
    await _reason(authenticator, "k")
    authenticator.invalidate()  # the fold has run, but is not committed
    await _reason(authenticator, "k")
    store.put("k")  # the commit
    assert await authenticator.authenticate("k") == SHOP


async def test_cache_of_unknown_keys_is_bounded(authenticator: Authenticator, store: Store) -> None:
    for number in range(10_001):
        await _reason(authenticator, str(number))
    assert len(authenticator._unknown) <= 10_000


async def test_cached_key_stays_valid_while_the_store_is_down(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k")
    await authenticator.authenticate("k")
    store.down = True
    await authenticator.authenticate("k")
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate("another")


async def test_store_that_does_not_respond_in_time_is_unavailable() -> None:
    async def never(_: bytes) -> None:
        await asyncio.Event().wait()

    async def call() -> None:
        start_deadline(0.01)
        await Authenticator(never, INTERNAL).authenticate("k")

    with pytest.raises(StoreUnavailable):
        await asyncio.create_task(call())


def test_principal_outside_of_a_call_raises_not_allowed() -> None:
    with pytest.raises(NotAllowed):
        principal()


def call_as(caller: Principal, work: Callable[[], T]) -> T:
    context = copy_context()
    context.run(set_principal, caller)
    return context.run(work)


def test_principal_and_workspace_of_a_call_are_those_of_its_caller() -> None:
    assert call_as(SHOP, lambda: (principal(), workspace_id())) == (SHOP, "shop")


def test_workspace_id_of_a_call_that_names_none_raises_not_allowed() -> None:
    unnamed = Principal(WorkspaceId(""), Role.INTERNAL, "internal")
    with pytest.raises(NotAllowed, match="onefold-workspace"):
        call_as(unnamed, workspace_id)


@pytest.mark.parametrize("allowed", [(), (Role.ADMIN,), (Role.SERVICE, Role.INTERNAL)])
def test_role_that_is_not_allowed_raises_not_allowed(allowed: tuple[Role, ...]) -> None:
    with pytest.raises(NotAllowed) as caught:
        require_role(SHOP, allowed)
    assert caught.value.reason == "NOT_ALLOWED"


@pytest.mark.parametrize("role", [Role.SOURCE, Role.READER, Role.SERVICE, Role.ADMIN])
def test_issued_key_names_its_role_and_is_unique(role: Role) -> None:
    issued = issue_key(role)
    assert re.fullmatch(rf"ofk_{role.name.lower()}_[A-Za-z0-9_-]{{43}}", issued.key)
    assert re.fullmatch(r"key_[0-9a-f]{16}", issued.key_id)
    assert issued.key_hash == hash_key(issued.key)
    assert issue_key(role).key != issued.key


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("BASIC " + base64.b64encode(b"abc:").decode(), "abc"),
        (_basic("abc:secret"), "abc"),
        (_basic("abc"), "abc"),
        (_basic(":secret"), None),
        ("Basic !!!", None),
        ("Basic /w==", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer " + "x" * 257, None),
        ("Digest abc", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_key_from_authorization_reads_bearer_and_basic(header: str | None, key: str | None) -> None:
    assert key_from_authorization(header) == key


@given(st.text())
def test_key_from_authorization_with_any_text_does_not_raise(header: str) -> None:
    for sent in (header, f"Bearer {header}", f"Basic {header}"):
        key = key_from_authorization(sent)
        assert key is None or key in sent or sent.startswith("Basic")


REFUSALS = RateLimit(1.0, 3.0)


@pytest.fixture
def strict(store: Store) -> Authenticator:
    """An authenticator that refuses three calls of an address at once, and one a second."""
    return Authenticator(store.load, INTERNAL, refusals=REFUSALS, clock=lambda: store.now)


async def refusals_of(authenticator: Authenticator, peer: Peer, count: int) -> list[str]:
    reasons = []
    for number in range(count):
        with pytest.raises((NotAllowed, RateLimited)) as caught:
            await authenticator.authenticate(f"unknown {number}" if number % 2 else None, peer)
        reasons.append(caught.value.reason)
    return reasons


async def test_address_with_too_many_refused_calls_is_limited(
    strict: Authenticator, store: Store
) -> None:
    peer = Peer("2001:db8::1")
    unlimited = ["KEY_MISSING", "KEY_UNKNOWN", "KEY_MISSING"]
    assert await refusals_of(strict, peer, 5) == [*unlimited, "RATE_LIMITED", "RATE_LIMITED"]
    assert await refusals_of(strict, Peer("2001:db8::ffff"), 1) == ["RATE_LIMITED"]
    assert await refusals_of(strict, Peer("2001:db8:0:1::1"), 1) == ["KEY_MISSING"]
    store.now += 1.0
    assert await refusals_of(strict, peer, 2) == ["KEY_MISSING", "RATE_LIMITED"]


async def test_known_key_is_accepted_from_an_address_that_is_limited(
    strict: Authenticator, store: Store
) -> None:
    peer = Peer("203.0.113.7")
    await refusals_of(strict, peer, 5)
    store.put("k")
    assert await strict.authenticate("k", peer) == SHOP


async def test_caller_without_an_address_has_no_limit_of_refusals(strict: Authenticator) -> None:
    assert "RATE_LIMITED" not in await refusals_of(strict, Peer(), 20)


async def test_unknown_key_is_refused_with_what_to_do_about_a_new_one() -> None:
    async def load(_: bytes) -> AccessKey | None:
        return None

    with pytest.raises(NotAllowed, match=r"just issued is known .* within some seconds"):
        await Authenticator(load).authenticate("new")
