"""Tests that a mirror becomes equal to the members, whatever happens to its writes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.activation.domain.mirrors import (
    DOUBT_S,
    REFUSED_REMOVAL_S,
    MirrorEntry,
    after_write,
    assign,
    begin_write,
    is_member,
    newest_changes,
)
from services.activation.domain.transitions import AttemptResult, AttemptStatus, RetryPolicy
from services.kernel.ids import ProfileId

POLICY = RetryPolicy()
PEOPLE = [ProfileId(bytes([n]) * 16) for n in range(3)]
KEYS = ["a", "b", "c", "d"]
STATUSES = {each.value: AttemptResult(each) for each in AttemptStatus}
targets = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([b"{}", b'{"x":1}']), max_size=3)


class MirrorMachine(RuleBasedStateMachine):
    """Members come, change and go; the network applies writes at once, late, twice or never."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0
        self.entries: dict[str, MirrorEntry] = {}
        self.members: dict[ProfileId, dict[str, bytes]] = {}
        self.network: dict[str, bytes] = {}
        #: What still arrives at the network: when, the key and what it writes.
        self.arriving: list[tuple[float, str, bytes | None]] = []
        self.begun: list[tuple[str, int, bytes | None]] = []

    @rule(person=st.sampled_from(PEOPLE), has=targets)
    def changes(self, person: ProfileId, has: dict[str, bytes]) -> None:
        had = set(self.members.get(person, {}))
        changed = assign(person, had, has, self.entries, int(self.now_s * 1e6))
        self.save(changed)
        self.members[person] = has

    @precondition(lambda self: any(self.due()))
    @rule(data=st.data())
    def write_begins(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.due()))
        entry = self.entries[key] = begin_write(self.entries[key], self.now_s, 60.0)
        self.begun.append((key, entry.version, entry.wanted))

    @precondition(lambda self: self.begun)
    @rule(
        outcome=st.sampled_from(["delivered", "failed", "lost", "dies", "credentials"]),
        arrives=st.booleans(),
        delay_s=st.floats(0, DOUBT_S - 1),
        n=st.integers(0, 9),
    )
    def write_ends(self, outcome: str, arrives: bool, delay_s: float, n: int) -> None:
        """A write whose answer is lost arrives later or never; `dies`: so does the process."""
        key, version, wanted = self.begun.pop(n % len(self.begun))
        if outcome == "delivered":
            self.apply(key, wanted)
        elif outcome in ("lost", "dies") and arrives:
            self.arriving.append((self.now_s + delay_s, key, wanted))
        if outcome != "dies":
            self.ends(key, version, outcome)

    @rule(seconds=st.sampled_from([1.0, 61.0, 700.0, 4_000.0]))
    def passes(self, seconds: float) -> None:
        # No write lasts longer than its lease.
        if seconds > 50:
            for key, version, _ in self.begun:
                self.ends(key, version, "lost")
            self.begun = []
        self.now_s += seconds
        for at, key, wanted in sorted(self.arriving, key=lambda each: each[0]):
            if at <= self.now_s:
                self.apply(key, wanted)
        self.arriving = [each for each in self.arriving if each[0] > self.now_s]

    @invariant()
    def everything_that_the_network_may_have_is_known(self) -> None:
        assert self.network.keys() <= self.entries.keys()

    def teardown(self) -> None:
        """Let everything come to rest: the network has what the members have."""
        self.passes(4_000.0)
        for _ in range(100):
            for key in self.due():
                entry = self.entries[key] = begin_write(self.entries[key], self.now_s, 60.0)
                self.apply(key, entry.wanted)
                self.ends(key, entry.version, "delivered")
            self.passes(700.0)
        wanted = {key for has in self.members.values() for key in has}
        assert self.network.keys() == wanted == self.entries.keys()
        for key, value in self.network.items():
            having = sorted(person for person, has in self.members.items() if key in has)
            assert value == self.members[having[0]][key]
        assert all(entry.due_s is None for entry in self.entries.values())

    def due(self) -> list[str]:
        return [k for k, e in self.entries.items() if e.due_s is not None and e.due_s <= self.now_s]

    def ends(self, key: str, version: int, outcome: str) -> None:
        if key in self.entries:
            result = STATUSES[outcome]
            after = after_write(self.entries[key], version, result, self.now_s, POLICY, 0.5)
            self.save({key: after})

    def apply(self, key: str, wanted: bytes | None) -> None:
        if wanted is None:
            self.network.pop(key, None)
        else:
            self.network[key] = wanted

    def save(self, changed: dict[str, MirrorEntry | None]) -> None:
        for key, entry in changed.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry


TestMirror = MirrorMachine.TestCase


def written(entry: MirrorEntry, status: str, now_s: float = 2_000.0) -> MirrorEntry | None:
    begun = begin_write(entry, now_s, 60.0)
    return after_write(begun, begun.version, STATUSES[status], now_s, POLICY, 0.5)


def entry_of(*owners: ProfileId, is_written: bool = True) -> MirrorEntry:
    return MirrorEntry("a", dict.fromkeys(owners, b"{}"), 10**9, 1_000.0, is_written)


def test_value_that_the_receiver_has_is_not_written_again() -> None:
    written_before = replace(entry_of(PEOPLE[0]), due_s=None)
    assert not assign(PEOPLE[0], ["a"], {"a": b"{}"}, {"a": written_before}, 2 * 10**9)
    changed = assign(PEOPLE[0], ["a"], {"a": b'{"x":1}'}, {"a": written_before}, 2 * 10**9)["a"]
    assert changed is not None
    assert (changed.version, changed.due_s) == (2 * 10**9, 2_000.0)


def test_address_of_two_members_is_removed_when_both_have_left() -> None:
    one, other = PEOPLE[:2]
    shared = replace(entry_of(one, other), due_s=None)
    after_one = assign(one, ["a"], {}, {"a": shared}, 2 * 10**9)["a"]
    assert after_one is not None
    assert (after_one.wanted, after_one.due_s) == (b"{}", None)
    after_both = assign(other, ["a"], {}, {"a": after_one}, 3 * 10**9)["a"]
    assert after_both is not None
    assert (after_both.wanted, after_both.due_s) == (None, 3_000.0)


def test_entry_that_was_never_written_is_deleted_without_a_write() -> None:
    fresh = entry_of(PEOPLE[0], is_written=False)
    assert assign(PEOPLE[0], ["a"], {}, {"a": fresh}, 2 * 10**9) == {"a": None}


def test_refused_addition_rests_and_a_refused_removal_is_tried_again() -> None:
    added = written(entry_of(PEOPLE[0]), "rejected")
    assert added is not None
    assert added.due_s is None
    removed = written(entry_of(), "rejected")
    assert removed is not None
    assert removed.due_s == 2_000.0 + REFUSED_REMOVAL_S


def test_lost_write_is_written_once_more_after_it_may_have_arrived_late() -> None:
    lost = written(entry_of(PEOPLE[0]), "lost")
    assert lost is not None
    assert lost.doubtful_until_s == 2_000.0 + DOUBT_S
    confirmed = written(lost, "delivered", 2_010.0)
    assert confirmed is not None
    assert confirmed.due_s == lost.doubtful_until_s
    confirmed_twice = written(confirmed, "delivered", lost.doubtful_until_s)
    assert confirmed_twice is not None
    assert confirmed_twice.due_s is None


def test_interrupted_write_counts_as_lost() -> None:
    begun = begin_write(entry_of(PEOPLE[0]), 2_000.0, 60.0)
    again = begin_write(begun, 2_060.0, 60.0)
    assert again.doubtful_until_s == 2_060.0 + DOUBT_S


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [2, 3, 1]])
def test_last_change_of_a_membership_counts_in_any_order(order: list[int]) -> None:
    changes = [(PEOPLE[0], "s", ordinal) for ordinal in order]
    assert newest_changes(changes) == {PEOPLE[0]: {"s": 3}}


def test_profile_is_a_member_while_it_is_in_one_of_the_segments() -> None:
    from contract.channels.rigs import destination_of

    from services.activation.domain.mirror_channels import Hubspot

    destination = replace(destination_of(Hubspot("t", "m")), segment_ids=("s", "t"))
    assert is_member({"s": 2, "t": 1}, destination)
    assert not is_member({"s": 2, "t": 4, "u": 1}, destination)
