"""Group commit: one transaction for many callers, and each has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from services.chassis.testing import wait_until
from services.ingest.domain.facts import Appended, NewFact
from services.ingest.domain.offsets import Answer, Request
from services.ingest.log.group_commit import GroupCommit
from services.kernel.errors import Conflict, StoreUnavailable
from services.kernel.ids import FactId
from services.kernel.tokens import Token


def request(name: str, size: int = 1, payload: bytes = b"") -> Request:
    fact = NewFact(name, FactId(bytes(16)), "k", None, 0, "", "", payload)
    return Request([fact] * size)


def answer_to(asked: Request) -> Appended:
    size = len(asked.facts)
    return Appended(size, frozenset(), frozenset(), Token(), 0, (0,) * size)


def name_of(asked: Request) -> str:
    return asked.facts[0].workspace_id


class Store:
    """Commits when it is let, and fails as it is told."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.fault: Callable[[Request], Answer | Exception | None] = lambda _: None

    async def commit(self, requests: Sequence[Request]) -> Sequence[Answer]:
        self.groups.append([name_of(asked) for asked in requests])
        await self.may_go.wait()
        answers: list[Answer] = []
        for asked in requests:
            told = self.fault(asked)
            if isinstance(told, Exception) and not isinstance(told, Conflict):
                raise told
            answers.append(told or answer_to(asked))
        return answers


@asynccontextmanager
async def running(store: Store, **limits: int) -> AsyncIterator[GroupCommit]:
    group = GroupCommit(store.commit, **limits)
    task = asyncio.create_task(group.run())
    try:
        yield group
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def stuck(store: Store, group: GroupCommit) -> AsyncIterator[None]:
    """While one caller is being committed."""
    store.may_go.clear()
    first = asyncio.create_task(group.append(request("first")))
    await wait_until(lambda: store.groups)
    yield
    store.may_go.set()
    await first


async def test_those_who_come_meanwhile_are_one_group() -> None:
    store = Store()
    async with running(store) as group:
        async with stuck(store, group):
            tasks = [asyncio.create_task(group.append(request(f"c{n}", n))) for n in (1, 2, 3)]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["c1", "c2", "c3"]]
    assert [answer.appended for answer in answers] == [1, 2, 3]


async def test_groups_are_bounded_by_facts_but_a_large_call_still_goes() -> None:
    store = Store()
    async with running(store, group_facts=5) as group:
        async with stuck(store, group):
            tasks = [
                asyncio.create_task(group.append(request(name, size)))
                for name, size in (("a", 3), ("b", 2), ("c", 1), ("huge", 50), ("d", 1))
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["a", "b"], ["c"], ["huge"], ["d"]]


async def test_groups_are_bounded_by_bytes() -> None:
    store = Store()
    async with running(store, group_bytes=3_000) as group:
        async with stuck(store, group):
            tasks = [
                asyncio.create_task(group.append(request(name, 1, bytes(1_200))))
                for name in ("a", "b", "c")
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["a", "b"], ["c"]]


async def test_a_caller_who_leaves_disturbs_nobody() -> None:
    store = Store()
    async with running(store) as group:
        async with stuck(store, group):
            left, stayed = (asyncio.create_task(group.append(request(n))) for n in ("left", "ok"))
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
        assert (await stayed).appended == 1
    assert store.groups == [["first"], ["ok"]]


async def test_a_caller_who_leaves_during_the_commit_disturbs_nobody() -> None:
    store = Store()
    store.may_go.clear()
    async with running(store) as group:
        left, stayed = (asyncio.create_task(group.append(request(n))) for n in ("left", "ok"))
        await wait_until(lambda: store.groups)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        store.may_go.set()
        assert (await stayed).appended == 1
    assert store.groups == [["left", "ok"]]


async def test_where_one_is_at_fault_the_others_are_tried_alone() -> None:
    store = Store()
    store.fault = lambda asked: ValueError("bad") if name_of(asked) == "bad" else None
    async with running(store) as group:
        async with stuck(store, group):
            tasks = [asyncio.create_task(group.append(request(n))) for n in ("a", "bad", "b")]
            await asyncio.sleep(0)
        a, bad, b = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(a, Appended)
    assert isinstance(b, Appended)
    assert isinstance(bad, ValueError)
    assert store.groups == [["first"], ["a", "bad", "b"], ["a"], ["bad"], ["b"]]


async def test_where_the_store_is_away_all_are_told_once() -> None:
    store = Store()
    async with running(store) as group:
        async with stuck(store, group):
            tasks = [asyncio.create_task(group.append(request(n))) for n in ("a", "b")]
            await asyncio.sleep(0)
            store.fault = lambda asked: (
                None if name_of(asked) == "first" else StoreUnavailable("away")
            )
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
        assert store.groups == [["first"], ["a", "b"]]
        store.fault = lambda _: None
        assert (await group.append(request("later"))).appended == 1


async def test_a_refusal_is_one_callers_own() -> None:
    store = Store()
    store.fault = lambda asked: Conflict("other") if name_of(asked) == "no" else None
    async with running(store) as group:
        answers = await asyncio.gather(
            *(group.append(request(n)) for n in ("a", "no")), return_exceptions=True
        )
    assert isinstance(answers[0], Appended)
    assert isinstance(answers[1], Conflict)


async def test_those_who_come_when_too_much_waits_wait_at_the_door() -> None:
    store = Store()
    async with running(store, waiting_bytes=2_000) as group:
        async with stuck(store, group):
            tasks = [
                asyncio.create_task(group.append(request(name, 1, bytes(1_500))))
                for name in ("a", "b", "outside")
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    assert store.groups == [["first"], ["a", "b"], ["outside"]]


@pytest.mark.parametrize("waiting_bytes", [10, 1 << 20])
async def test_at_the_end_everybody_is_told(waiting_bytes: int) -> None:
    store = Store()
    store.may_go.clear()
    async with running(store, waiting_bytes=waiting_bytes) as group:
        tasks = [asyncio.create_task(group.append(request("first")))]
        await wait_until(lambda: store.groups)
        tasks += [asyncio.create_task(group.append(request(n))) for n in ("b", "c", "d")]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 4
    with pytest.raises(StoreUnavailable):
        await group.append(request("late"))
