"""The connections of a server: who is dropped, who is refused, and who has waited for too long."""

from __future__ import annotations

import resource

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.chassis.runtime.http_limits import ConnectionTable, HttpLimits

LIMITS = HttpLimits(connections=3, connections_per_address=2, head_s=10.0)


def open_table(*addresses: str, limits: HttpLimits = LIMITS) -> ConnectionTable[int]:
    """Return a table with connections 0, 1, 2 … that were opened at second 0, 1, 2 …"""
    table: ConnectionTable[int] = ConnectionTable(limits)
    for number, address in enumerate(addresses):
        assert table.open(number, address, float(number))
    return table


def test_connection_beyond_the_share_of_its_address_is_refused() -> None:
    table = open_table("a", "a")
    assert not table.open(2, "a", 2.0)
    assert table.open(3, "b", 2.0)
    table.close(0)
    assert table.open(4, "a", 2.0)


def test_connection_without_an_address_has_no_share() -> None:
    table = open_table("", "", "")
    assert len(table) == 3


def test_surplus_is_the_connection_that_waits_for_longest() -> None:
    table = open_table("a", "b", "c", "d")
    assert table.surplus() == 0
    table.wait(0, 9.0)
    assert table.surplus() == 1


def test_surplus_is_the_new_connection_while_all_others_are_handled() -> None:
    table = open_table("a", "b", "c")
    for number in range(3):
        table.trust(number, 5.0, body_is_complete=True)
    assert table.surplus() is None
    assert table.open(3, "d", 6.0)
    assert table.surplus() == 3


def test_body_of_a_known_key_is_dropped_after_all_that_wait() -> None:
    table = open_table("a", "b", "c", "d")
    table.trust(0, 5.0, body_is_complete=False)
    table.trust(1, 6.0, body_is_complete=True)
    assert table.surplus() == 2
    for number in (2, 3):
        table.trust(number, 7.0, body_is_complete=True)
    assert table.surplus() == 0
    table.complete(0)
    assert table.surplus() is None


def test_connection_expires_unless_its_request_has_a_known_key() -> None:
    table = open_table("a", "b", "c")
    table.trust(1, 3.0, body_is_complete=False)
    assert list(table.expired(9.9)) == []
    assert list(table.expired(10.0)) == [0]
    assert list(table.expired(99.0)) == [0, 2]
    table.wait(1, 99.0)
    assert list(table.expired(109.0)) == [0, 2, 1]


@pytest.mark.parametrize(
    ("files", "connections", "per_address"),
    [(1_024, 512, 128), (100_000, 2_000, 500), (resource.RLIM_INFINITY, 2_000, 500)],
)
def test_limits_are_lowered_to_the_files_of_the_process(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int, per_address: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    limits = HttpLimits(connections=2_000, connections_per_address=500).within_files()
    assert (limits.connections, limits.connections_per_address) == (connections, per_address)


class ConnectionMachine(RuleBasedStateMachine):
    """Any sequence of events leaves the table with the connections that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.table: ConnectionTable[int] = ConnectionTable(LIMITS)
        self.open: dict[int, str] = {}
        self.now = 0.0
        self.next = 0

    def count(self, address: str) -> int:
        return sum(a == address for a in self.open.values())

    @rule(address=st.sampled_from(["", "a", "b", "c"]))
    def connect(self, address: str) -> None:
        self.now += 1
        is_full = bool(address) and self.count(address) >= LIMITS.connections_per_address
        assert self.table.open(self.next, address, self.now) is not is_full
        if not is_full:
            self.open[self.next] = address
        surplus = self.table.surplus()
        if surplus is not None:
            self.table.close(surplus)
            del self.open[surplus]
        self.next += 1

    @precondition(lambda self: self.open)
    @rule(data=st.data(), event=st.sampled_from(["wait", "body", "whole", "complete", "close"]))
    def happen(self, data: st.DataObject, event: str) -> None:
        self.now += 1
        connection = data.draw(st.sampled_from(sorted(self.open)))
        match event:
            case "wait":
                self.table.wait(connection, self.now)
            case "body" | "whole":
                self.table.trust(connection, self.now, body_is_complete=event == "whole")
            case "complete":
                self.table.complete(connection)
            case _:
                self.table.close(connection)
                del self.open[connection]

    @invariant()
    def has_what_is_open(self) -> None:
        assert len(self.table) == len(self.open)
        assert len(self.table) <= LIMITS.connections
        assert set(self.table.expired(1e9)) <= self.open.keys()


TestConnectionMachine = ConnectionMachine.TestCase
