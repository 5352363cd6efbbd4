"""What goes wrong in the world: each case has a rule, and here it is."""

from __future__ import annotations

from collections.abc import Collection
from itertools import permutations

import pytest
from laws.identity_model import WORKSPACE, Ruled, Seen, Story, truth
from laws.identity_story import gather
from laws.identity_tables import MemoryTables, now

from services.identity.domain.evidence import EvidenceKind, DecisionKind, span_of
from services.identity.domain.linking import HeldReason
from services.identity.domain.normalize import observation_of
from services.identity.domain.policy import DEFAULT
from services.identity.domain.rows import Evidence, ProfileGraph
from services.identity.projection.apply_evidence import apply_evidence
from services.kernel.identifiers import Identifier, leaf_of
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.time import DAY_US

PHONE = Identifier("phone", "+8613800000000")
COOKIE, KIOSK = Identifier("cookie", "c"), Identifier("device_id", "kiosk")
A, B, C = (Identifier("user_id", letter) for letter in "abc")


class Tables(MemoryTables):
    """Counts what is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = 0

    async def region(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        """See `Tables.region`."""
        found = await super().region(profiles)
        self.loaded += len(found.members) + len(found.edges)
        return found

    async def around(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        """See `Tables.around`."""
        found = await super().around(ids)
        self.loaded += len(found.edges)
        return found


def hear(*said: Seen | Ruled, tables: Tables | None = None) -> Tables:
    """Hear facts one by one."""
    tables = tables or Tables()
    for fact in said:
        take_in(tables, gather([fact]))
    return tables


def take_in(tables: Tables, evidence: Evidence) -> None:
    now(apply_evidence(tables, evidence, now(tables.load(evidence))))
    now(tables.unlock())


def seen(*identifiers: Identifier, at: int = 1, n: int = 1, alias: bool = False) -> Seen:
    return Seen(identifiers, at, n, alias)


def ruled(one: Identifier, other: Identifier, verdict: DecisionKind, at: int = 1_000) -> Ruled:
    return Ruled(one, other, verdict, at, at)


def profile(tables: MemoryTables, identifier: Identifier) -> ProfileId:
    return tables.identifiers[identifier.id_in(WORKSPACE)].profile_id


def are_one(tables: MemoryTables, *identifiers: Identifier) -> bool:
    return len({profile(tables, identifier) for identifier in identifiers}) == 1


def reasons(tables: MemoryTables) -> set[int]:
    return {row.held.reason for row in tables.edges.values() if row.held}


def everywhere(said: Story) -> list[Tables]:
    """The same facts in every order; they must end in one state."""
    found = [hear(*order) for order in permutations(said)]
    assert len({tables.recounted() for tables in found}) == 1
    return found


def test_a_family_phone_merges_nobody_and_stays_with_whom_it_was_seen_first() -> None:
    family = [seen(who, PHONE, at=n, n=n) for n, who in enumerate((A, B, C), 1)]
    for tables in everywhere(family):
        assert are_one(tables, A, PHONE)
        assert len({profile(tables, who) for who in (A, B, C)}) == 3
        assert reasons(tables) == {HeldReason.LIMIT}


def test_a_kiosk_binds_nobody_once_too_many_used_it() -> None:
    limit = DEFAULT.rule("device_id").shared_after
    users = [Identifier("email", f"p{n}@example.cn") for n in range(limit + 1)]
    tables = hear(*(seen(user, KIOSK, at=n, n=n) for n, user in enumerate(users)))
    assert len({profile(tables, user) for user in users}) == len(users)
    assert profile(tables, KIOSK) == KIOSK.id_in(WORKSPACE)
    assert reasons(tables) == {HeldReason.SHARED}


def test_a_hub_costs_no_more_than_its_limit() -> None:
    users = [Identifier("user_id", f"p{n}") for n in range(300)]
    tables = Tables()
    for n, user in enumerate(users):
        if n == 30:
            tables.loaded = 0
        hear(seen(user, KIOSK, at=n, n=n), tables=tables)
    assert tables.loaded == 0
    assert len(tables.edges) == 300


def test_a_recycled_phone_leaves_whom_it_belonged_to() -> None:
    year = 365 * DAY_US
    story = [
        seen(A, PHONE, at=1, n=1),
        seen(A, PHONE, at=9 * DAY_US, n=2),
        seen(B, PHONE, at=year, n=3),
    ]
    for tables in everywhere(story):
        assert are_one(tables, B, PHONE)
        assert not are_one(tables, A, PHONE)
        assert HeldReason.RECYCLED in reasons(tables)
    back = hear(*story, seen(A, PHONE, at=year - DAY_US, n=4))
    assert are_one(back, A, PHONE), "seen with it again before, it never left"


def test_the_same_email_in_two_workspaces_is_two_people() -> None:
    mail = Identifier("email", "li@example.cn")
    tables = hear(seen(A, mail))
    other = WorkspaceId("another school")
    raw = tuple((i.namespace, i.value, False) for i in (B, mail))
    leaf = leaf_of(other, (B, mail))
    evidence = Evidence()
    evidence.add(
        observation_of((other, leaf, EvidenceKind.OBSERVED, raw), "CN"), span_of(seen(B).first)
    )
    take_in(tables, evidence)
    mine, theirs = mail.id_in(WORKSPACE), mail.id_in(other)
    assert mine != theirs
    assert tables.identifiers[mine].profile_id != tables.identifiers[theirs].profile_id
    assert tables.identifiers[theirs].profile_id == min(theirs, B.id_in(other))


def test_cycles_end_in_one_person() -> None:
    ring = [Identifier("cookie", f"c{n}") for n in range(5)]
    story = [seen(one, other, at=n, n=n, alias=True) for n, (one, other) in enumerate(pairs(ring))]
    tables = hear(*story)
    assert are_one(tables, *ring)
    assert not reasons(tables)


def pairs(ring: list[Identifier]) -> list[tuple[Identifier, Identifier]]:
    return list(zip(ring, ring[1:] + ring[:1], strict=True))


def test_an_alias_to_itself_says_nothing() -> None:
    tables = hear(seen(A, A, alias=True))
    assert not tables.edges
    assert profile(tables, A) == A.id_in(WORKSPACE)


def test_what_links_later_people_may_come_before_what_links_earlier_ones() -> None:
    story = [seen(B, COOKIE, at=2, n=2), seen(COOKIE, PHONE, at=3, n=3), seen(A, A, at=1, n=1)]
    for tables in everywhere(story):
        assert are_one(tables, B, COOKIE, PHONE)
    chain = [seen(B, C, at=2, n=2, alias=True), seen(A, B, at=1, n=1, alias=True)]
    for tables in everywhere(chain):
        assert are_one(tables, A, B, C)
        assert profile(tables, C) == min(A.id_in(WORKSPACE), B.id_in(WORKSPACE))


def test_a_late_link_counts_as_of_when_it_took_place() -> None:
    tables = hear(seen(A, PHONE, at=5, n=1))
    hear(seen(B, PHONE, at=2, n=2), tables=tables)
    assert are_one(tables, B, PHONE)
    assert not are_one(tables, A, PHONE)


def test_a_thousand_aliases_of_one_id_are_one_person() -> None:
    aliases = [Identifier("user_id", f"u{n}") for n in range(1_000)]
    tables = Tables()
    for start in range(0, 1_000, 50):
        evidence = gather(
            [
                seen(A, other, at=n, n=n, alias=True)
                for n, other in enumerate(aliases[start : start + 50])
            ]
        )
        take_in(tables, evidence)
    assert are_one(tables, A, *aliases)
    assert not reasons(tables)
    assert tables.loaded == 0


def test_what_was_never_merged_can_be_separated_and_stays_so() -> None:
    tables = hear(seen(A), seen(B), ruled(A, B, DecisionKind.SEPARATE))
    assert not are_one(tables, A, B)
    hear(seen(A, B, at=2, n=9, alias=True), tables=tables)
    assert not are_one(tables, A, B)
    assert reasons(tables) == {HeldReason.SEPARATED}
    hear(ruled(A, B, DecisionKind.WITHDRAW, at=2_000), tables=tables)
    assert are_one(tables, A, B)


def test_to_withdraw_what_was_never_decided_changes_nothing() -> None:
    tables = hear(seen(A, PHONE), ruled(A, PHONE, DecisionKind.WITHDRAW))
    assert are_one(tables, A, PHONE)


@pytest.mark.parametrize("strangers", [(A, B), (COOKIE, PHONE)])
def test_strangers_may_be_linked_before_they_are_seen(
    strangers: tuple[Identifier, Identifier],
) -> None:
    one, other = strangers
    tables = hear(ruled(one, other, DecisionKind.LINK), seen(one, at=1), seen(other, at=2, n=2))
    assert are_one(tables, one, other)


def test_the_latest_decision_counts_whatever_came_first() -> None:
    story = [
        seen(A, PHONE, at=1),
        ruled(A, PHONE, DecisionKind.SEPARATE, at=10),
        ruled(A, PHONE, DecisionKind.LINK, at=20),
        ruled(A, PHONE, DecisionKind.SEPARATE, at=15),
    ]
    for tables in everywhere(story):
        assert are_one(tables, A, PHONE)


def test_a_merge_chain_is_taken_apart_again() -> None:
    links = [ruled(A, B, DecisionKind.LINK, at=10), ruled(B, C, DecisionKind.LINK, at=11)]
    alone = [seen(A, at=1), seen(B, at=2, n=2), seen(C, at=3, n=3)]
    back = [ruled(A, B, DecisionKind.WITHDRAW, at=20), ruled(B, C, DecisionKind.WITHDRAW, at=21)]
    later = seen(A, COOKIE, at=30, n=4)
    never = hear(*alone, later)
    for order in permutations([*links, *back]):
        tables = hear(*alone, *order, later)
        assert {i: row.profile_id for i, row in tables.identifiers.items()} == {
            i: row.profile_id for i, row in never.identifiers.items()
        }
        assert truth([*alone, *order, later]).profiles == {
            i: row.profile_id for i, row in tables.identifiers.items()
        }
