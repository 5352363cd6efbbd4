"""Keys, principals and the cache of the authenticator."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.ingest.v1 import ingest_facts_pb2

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import hash_key, issue_key, key_from_authorization
from services.chassis.access.principal import (
    Principal,
    Role,
    as_principal,
    principal,
    require_role,
    workspace_id,
)
from services.chassis.access.tables import AccessKey
from services.chassis.runtime.deadlines import start_deadline
from services.kernel.errors import NotAllowed, StoreUnavailable
from services.kernel.ids import SourceId, WorkspaceId

INTERNAL = "an-internal-key-of-this-test"
SHOP = Principal(WorkspaceId("shop"), Role.SOURCE, "key_1", SourceId("web"))


@dataclass
class Store:
    """Keys in memory, a clock by hand, and a count of lookups."""

    keys: dict[bytes, AccessKey] = field(default_factory=dict)
    now: float = 1000.0
    lookups: int = 0
    away: bool = False

    def put(self, key: str, *, disabled: bool = False) -> None:
        self.keys[hash_key(key)] = AccessKey(SHOP, disabled)

    async def load(self, key_hash: bytes) -> AccessKey | None:
        self.lookups += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.keys.get(key_hash)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def authenticator(store: Store) -> Authenticator:
    return Authenticator(store.load, INTERNAL, ttl_s=5.0, miss_ttl_s=1.0, clock=lambda: store.now)


async def _reason(authenticator: Authenticator, key: str | None) -> str:
    with pytest.raises(NotAllowed) as caught:
        await authenticator.authenticate(key, "shop")
    return caught.value.reason


def test_roles_are_those_of_the_treaty() -> None:
    treaty = {
        name.removeprefix("ROLE_"): number
        for name, number in ingest_facts_pb2.Role.items()
        if number
    }
    ours = {role.name: role.value for role in Role if role is not Role.INTERNAL}
    assert ours == treaty


async def test_a_key_tells_who_calls(authenticator: Authenticator, store: Store) -> None:
    store.put("k")
    assert await authenticator.authenticate("k") == SHOP


async def test_a_key_cannot_choose_its_workspace(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k")
    assert (await authenticator.authenticate("k", "another")).workspace_id == "shop"


@pytest.mark.parametrize("key", [None, ""])
async def test_no_key(authenticator: Authenticator, key: str | None) -> None:
    assert await _reason(authenticator, key) == "KEY_MISSING"


@pytest.mark.parametrize("key", ["wrong", INTERNAL + "x", INTERNAL[:-1], "\ud800", "键"])
async def test_an_unknown_key(authenticator: Authenticator, key: str) -> None:
    assert await _reason(authenticator, key) == "KEY_UNKNOWN"


async def test_a_disabled_key(authenticator: Authenticator, store: Store) -> None:
    store.put("k", disabled=True)
    assert await _reason(authenticator, "k") == "KEY_DISABLED"


async def test_the_internal_key_needs_no_lookup(authenticator: Authenticator, store: Store) -> None:
    caller = await authenticator.authenticate(INTERNAL, "shop")
    assert (caller.internal, caller.workspace_id, store.lookups) == (True, "shop", 0)


async def test_a_key_is_looked_up_once_in_its_time(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k")
    for _ in range(3):
        await authenticator.authenticate("k")
    assert store.lookups == 1
    store.now += 5.0
    await authenticator.authenticate("k")
    assert store.lookups == 2


async def test_an_unknown_key_is_believed_unknown_for_a_shorter_time(
    authenticator: Authenticator, store: Store
) -> None:
    for _ in range(3):
        await _reason(authenticator, "k")
    assert store.lookups == 1
    store.put("k")
    store.now += 1.0
    assert await authenticator.authenticate("k") == SHOP


async def test_nothing_read_before_the_commit_of_a_fold_is_believed_after_it(
    authenticator: Authenticator, store: Store
) -> None:
    await _reason(authenticator, "k")
    authenticator.invalidate()  # the fold has run, and is not yet committed
    await _reason(authenticator, "k")
    store.put("k")  # now it is
    assert await authenticator.authenticate("k") == SHOP


async def test_the_cache_is_bounded(authenticator: Authenticator, store: Store) -> None:
    for number in range(10_001):
        await _reason(authenticator, str(number))
    assert len(authenticator._missing) <= 10_000


async def test_without_the_store_a_known_key_still_opens(
    authenticator: Authenticator, store: Store
) -> None:
    store.put("k")
    await authenticator.authenticate("k")
    store.away = True
    await authenticator.authenticate("k")
    with pytest.raises(StoreUnavailable):
        await authenticator.authenticate("another")


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    async def never(_: bytes) -> None:
        await asyncio.Event().wait()

    async def call() -> None:
        start_deadline(0.01)
        await Authenticator(never, INTERNAL).authenticate("k")

    with pytest.raises(StoreUnavailable):
        await asyncio.create_task(call())


def test_outside_of_a_call_nobody_calls() -> None:
    with pytest.raises(NotAllowed):
        principal()


def test_the_workspace_of_a_call() -> None:
    with as_principal(SHOP):
        assert (principal(), workspace_id()) == (SHOP, "shop")
    nowhere = Principal(WorkspaceId(""), Role.INTERNAL, "internal")
    with as_principal(nowhere), pytest.raises(NotAllowed, match="onefold-workspace"):
        workspace_id()


@pytest.mark.parametrize("allowed", [(), (Role.ADMIN,), (Role.SERVICE, Role.INTERNAL)])
def test_a_role_that_is_not_listed_is_refused(allowed: tuple[Role, ...]) -> None:
    with pytest.raises(NotAllowed) as caught:
        require_role(SHOP, allowed)
    assert caught.value.reason == "NOT_ALLOWED"


@pytest.mark.parametrize("role", [Role.SOURCE, Role.SERVICE, Role.ADMIN])
def test_a_key_looks_like_one(role: Role) -> None:
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
def test_the_key_of_a_header(header: str | None, key: str | None) -> None:
    assert key_from_authorization(header) == key


@given(st.text())
def test_any_header_is_read_without_a_fault(header: str) -> None:
    key_from_authorization(header)
    key_from_authorization(f"Basic {header}")
