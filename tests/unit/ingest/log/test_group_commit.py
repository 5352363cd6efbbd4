"""Tests group commit: one transaction for concurrent callers, and an outcome for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from service_fixtures import wait_until

from services.ingest.domain.facts import AppendResult, NewFact
from services.ingest.domain.offsets import AppendOutcome, AppendRequest
from services.ingest.log import group_commit
from services.ingest.log.group_commit import GroupCommit
from services.kernel.errors import Conflict, StoreUnavailable
from services.kernel.ids import FactId
from services.kernel.tokens import Token


def make_request(name: str, size: int = 1, payload: bytes = b"") -> AppendRequest:
    fact = NewFact(name, FactId(bytes(16)), "k", None, 0, "", "", payload, bytes(16))
    return AppendRequest([fact] * size)


def result_of(request: AppendRequest) -> AppendResult:
    return AppendResult(len(request.facts), frozenset(), frozenset(), Token(), 0)


def name_of(request: AppendRequest) -> str:
    return request.facts[0].workspace_id


class FakeStore:
    """Commits while `may_commit` is set, and raises `failure` if it is set."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.failure: Callable[[AppendRequest], AppendOutcome | Exception | None] = lambda _: None

    async def commit(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        self.groups.append([name_of(request) for request in requests])
        await self.may_commit.wait()
        outcomes: list[AppendOutcome] = []
        for request in requests:
            failure = self.failure(request)
            if isinstance(failure, Exception) and not isinstance(failure, Conflict):
                raise failure
            outcomes.append(failure or result_of(request))
        return outcomes


@asynccontextmanager
async def running(store: FakeStore, **limits: int) -> AsyncIterator[GroupCommit]:
    group = GroupCommit(store.commit, **limits)
    task = asyncio.create_task(group.run())
    try:
        yield group
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def committing(store: FakeStore, group: GroupCommit) -> AsyncIterator[None]:
    """Hold the commit of one request open in the scope."""
    store.may_commit.clear()
    first = asyncio.create_task(group.append(make_request("first")))
    await wait_until(lambda: store.groups)
    yield
    store.may_commit.set()
    await first


def append_each(group: GroupCommit, *names: str) -> list[asyncio.Task[AppendResult]]:
    return [asyncio.create_task(group.append(make_request(name))) for name in names]


async def test_requests_during_a_commit_become_one_group() -> None:
    store = FakeStore()
    async with running(store) as group:
        async with committing(store, group):
            tasks = [asyncio.create_task(group.append(make_request(f"c{n}", n))) for n in (1, 2, 3)]
            await asyncio.sleep(0)
        results = await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["c1", "c2", "c3"]]
    assert [result.appended for result in results] == [1, 2, 3]


async def test_group_waits_for_as_many_requests_as_the_one_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "GATHER_S", 60.0)
    store = FakeStore()
    async with running(store) as group:
        async with committing(store, group):
            tasks = append_each(group, "a", "b", "c")
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        tasks = append_each(group, "d", "e")
        for _ in range(100):
            await asyncio.sleep(0)
        assert store.groups == [["first"], ["a", "b", "c"]]
        tasks += append_each(group, "f")
        await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["a", "b", "c"], ["d", "e", "f"]]


async def test_group_waits_for_requests_that_were_answered_and_for_those_that_were_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "GATHER_S", 60.0)
    store = FakeStore()

    def hold_next(request: AppendRequest) -> None:
        if name_of(request) == "first":
            store.may_commit.clear()

    store.failure = hold_next
    async with running(store) as group:
        async with committing(store, group):
            answered = append_each(group, "a", "b")
            await asyncio.sleep(0)
        pending = append_each(group, "c", "d")
        await asyncio.sleep(0)
        store.may_commit.set()
        await asyncio.gather(*answered)
        for _ in range(100):
            await asyncio.sleep(0)
        assert store.groups == [["first"], ["a", "b"]]
        await asyncio.gather(*pending, *append_each(group, "e", "f"))
    assert store.groups == [["first"], ["a", "b"], ["c", "d", "e", "f"]]


@pytest.mark.parametrize("size", [40_000, 1])
async def test_large_or_late_requests_wait_for_no_others(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(group_commit, "GATHER_S", 60.0 if size > 1 else 0.0)
    store = FakeStore()
    async with running(store) as group:
        async with committing(store, group):
            tasks = append_each(group, "a", "b")
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        await group.append(make_request("c", payload=bytes(size)))
    assert store.groups == [["first"], ["a", "b"], ["c"]]


async def test_group_is_bounded_by_facts_but_a_large_request_is_committed() -> None:
    store = FakeStore()
    async with running(store, group_facts=5) as group:
        async with committing(store, group):
            tasks = [
                asyncio.create_task(group.append(make_request(name, size)))
                for name, size in (("a", 3), ("b", 2), ("c", 1), ("huge", 50), ("d", 1))
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["a", "b"], ["c"], ["huge"], ["d"]]


async def test_group_is_bounded_by_bytes() -> None:
    store = FakeStore()
    async with running(store, group_bytes=3_000) as group:
        async with committing(store, group):
            tasks = [
                asyncio.create_task(group.append(make_request(name, 1, bytes(1_200))))
                for name in ("a", "b", "c")
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["a", "b"], ["c"]]


async def test_caller_cancelled_before_the_commit_does_not_disturb_its_group() -> None:
    store = FakeStore()
    async with running(store) as group:
        async with committing(store, group):
            cancelled, other = append_each(group, "cancelled", "ok")
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)
        assert (await other).appended == 1
    assert store.groups == [["first"], ["ok"]]


async def test_caller_cancelled_during_the_commit_does_not_disturb_its_group() -> None:
    store = FakeStore()
    store.may_commit.clear()
    async with running(store) as group:
        cancelled, other = append_each(group, "cancelled", "ok")
        await wait_until(lambda: store.groups)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        store.may_commit.set()
        assert (await other).appended == 1
    assert store.groups == [["cancelled", "ok"]]


async def test_bad_request_in_a_group_makes_each_be_tried_alone() -> None:
    store = FakeStore()
    store.failure = lambda request: ValueError("bad") if name_of(request) == "bad" else None
    async with running(store) as group:
        async with committing(store, group):
            tasks = append_each(group, "a", "bad", "b")
            await asyncio.sleep(0)
        a, bad, b = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(a, AppendResult)
    assert isinstance(b, AppendResult)
    assert isinstance(bad, ValueError)
    assert store.groups == [["first"], ["a", "bad", "b"], ["a"], ["bad"], ["b"]]


async def test_unavailable_store_fails_the_whole_group_at_once() -> None:
    store = FakeStore()
    async with running(store) as group:
        async with committing(store, group):
            tasks = append_each(group, "a", "b")
            await asyncio.sleep(0)
            store.failure = lambda request: (
                None if name_of(request) == "first" else StoreUnavailable("down")
            )
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
        assert store.groups == [["first"], ["a", "b"]]
        store.failure = lambda _: None
        assert (await group.append(make_request("later"))).appended == 1


async def test_conflict_is_raised_for_its_own_caller_only() -> None:
    store = FakeStore()
    store.failure = lambda request: Conflict("other") if name_of(request) == "no" else None
    async with running(store) as group:
        outcomes = await asyncio.gather(*append_each(group, "a", "no"), return_exceptions=True)
    assert isinstance(outcomes[0], AppendResult)
    assert isinstance(outcomes[1], Conflict)


async def test_new_caller_waits_while_too_many_bytes_are_pending() -> None:
    store = FakeStore()
    async with running(store, pending_bytes=2_000) as group:
        async with committing(store, group):
            tasks = [
                asyncio.create_task(group.append(make_request(name, 1, bytes(1_500))))
                for name in ("a", "b", "waiting")
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["a", "b"], ["waiting"]]


@pytest.mark.parametrize("pending_bytes", [10, 1 << 20])
async def test_closing_fails_every_pending_request(pending_bytes: int) -> None:
    store = FakeStore()
    store.may_commit.clear()
    async with running(store, pending_bytes=pending_bytes) as group:
        tasks = append_each(group, "first")
        await wait_until(lambda: store.groups)
        tasks += append_each(group, "b", "c", "d")
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 4
    with pytest.raises(StoreUnavailable):
        await group.append(make_request("late"))
