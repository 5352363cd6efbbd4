"""Tests which connections to a gRPC endpoint give way."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.chassis.rpc.connection_limits import (
    ConnectionLimits,
    CutOff,
    OpenConnection,
    excess,
    far_above_share,
)

LIMITS = ConnectionLimits(connections=8, per_address=3)
STRANGER, HONEST, PROXY = "192.0.2.1", "192.0.2.2", ""


def opened(number: int, address: str = STRANGER, *, admitted: bool = False) -> OpenConnection:
    return OpenConnection(f"peer {number}", address, float(number), admitted)


@st.composite
def connections(draw: st.DrawFn) -> list[OpenConnection]:
    drawn = st.tuples(
        st.sampled_from([STRANGER, HONEST, "192.0.2.3", PROXY]),
        st.integers(0, 5).map(float),
        st.booleans(),
        st.booleans(),
    )
    return [
        OpenConnection(f"p{i}", *each) for i, each in enumerate(draw(st.lists(drawn, min_size=10)))
    ]


def test_connections_within_the_limits_are_left_alone() -> None:
    assert excess([opened(number) for number in range(3)], LIMITS) == {}


def test_address_above_its_share_loses_the_connections_that_wait_for_longest() -> None:
    strangers = [opened(number) for number in range(5)]
    honest = opened(9, HONEST)
    assert excess([*strangers, honest], LIMITS) == {
        strangers[0]: CutOff.ADDRESS,
        strangers[1]: CutOff.ADDRESS,
    }


def test_address_above_its_share_keeps_the_connection_with_an_admitted_call() -> None:
    admitted = opened(0, admitted=True)
    assert admitted not in excess([admitted, *map(opened, range(1, 6))], LIMITS)


def test_address_whose_calls_are_all_admitted_loses_the_newest_connections() -> None:
    every = [opened(number, admitted=True) for number in range(5)]
    assert set(excess(every, LIMITS)) == {every[3], every[4]}


def test_proxy_has_no_share_but_counts_in_total() -> None:
    proxied = [opened(number, PROXY) for number in range(10)]
    assert excess(proxied[:8], LIMITS) == {}
    assert excess(proxied, LIMITS) == dict.fromkeys(proxied[:2], CutOff.CONNECTIONS)


def test_address_has_no_share_where_there_is_no_limit() -> None:
    limits = ConnectionLimits(connections=8, per_address=0)
    assert excess([opened(number) for number in range(8)], limits) == {}
    assert far_above_share([opened(number) for number in range(8)], limits) == set()


def test_admitted_connections_outlast_silent_ones_of_many_addresses() -> None:
    silent = [opened(number, f"198.51.100.{number}") for number in range(20)]
    admitted = [opened(number, f"203.0.113.{number}", admitted=True) for number in range(5)]
    assert excess([*silent, *admitted], LIMITS) == dict.fromkeys(silent[:17], CutOff.CONNECTIONS)


def test_connection_that_floods_is_closed_whatever_the_numbers() -> None:
    flooding = OpenConnection("p", STRANGER, 1.0, admitted=True, floods=True)
    assert excess([flooding], LIMITS) == {flooding: CutOff.REFUSALS}


def test_address_with_more_than_twice_its_share_is_far_above_it() -> None:
    every = [*(opened(n) for n in range(7)), *(opened(n, HONEST) for n in range(6))]
    assert far_above_share([*every, *(opened(n, PROXY) for n in range(9))], LIMITS) == {STRANGER}


def test_limits_leave_most_files_of_the_process_to_others() -> None:
    limits = ConnectionLimits(connections=2_000, per_address=100)
    assert limits.within_files(1_024) == ConnectionLimits(connections=128, per_address=7)
    assert limits.within_files(65_536) == limits
    assert ConnectionLimits(connections=2_000, per_address=0).within_files(80).per_address == 0


@given(connections())
@examples(100)
def test_what_remains_is_within_the_limits(every: list[OpenConnection]) -> None:
    closed = excess(every, LIMITS)
    remaining = [each for each in every if each not in closed]
    by_address = Counter(each.address for each in remaining if each.address)
    assert len(remaining) <= LIMITS.connections
    assert all(count <= LIMITS.per_address for count in by_address.values())
    assert not any(each.floods for each in remaining)


@given(connections())
@examples(100)
def test_no_more_is_closed_than_is_needed(every: list[OpenConnection]) -> None:
    closed = excess(every, LIMITS)
    remaining = [each for each in every if each not in closed]
    counts = Counter(each.address for each in remaining)
    is_needed = {
        CutOff.REFUSALS: lambda each: each.floods,
        CutOff.ADDRESS: lambda each: counts[each.address] == LIMITS.per_address,
        CutOff.CONNECTIONS: lambda _: len(remaining) == LIMITS.connections,
    }
    of_address = {each.address for each, reason in closed.items() if reason is CutOff.ADDRESS}
    total_counts = CutOff.CONNECTIONS in closed.values()
    unneeded = [
        each
        for each, reason in closed.items()
        if not is_needed[reason](each) and not (total_counts and each.address in of_address)
    ]
    assert unneeded == []


@given(connections())
@examples(100)
def test_admitted_connection_is_closed_only_after_those_that_wait(
    every: list[OpenConnection],
) -> None:
    closed = excess(every, LIMITS)
    waiting = [each for each in every if each not in closed and not each.admitted]
    too_early = [
        connection
        for connection, reason in closed.items()
        if connection.admitted
        and reason is not CutOff.REFUSALS
        and any(reason is CutOff.CONNECTIONS or w.address == connection.address for w in waiting)
    ]
    assert too_early == []
