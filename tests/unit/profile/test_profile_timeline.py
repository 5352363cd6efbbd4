"""Timelines: the kinds of events, filters, and pages in the order of occurrence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.event_pb2 import Event

from services.kernel.errors import InvalidField, TooLarge
from services.kernel.fold.events import IDENTIFY, PAGE, SCREEN, TRACK
from services.kernel.ids import WorkspaceId
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.filters import EventFilter
from services.profile.codec.log import EVENT
from services.profile.codec.timeline import event_name, filter_from_proto
from services.profile.domain.settings import WorkspaceSettings
from services.profile.domain.timeline import TimelineFilter, TimelineKind, TimelineKinds
from services.profile.queries import timeline
from services.profile.queries.timeline import read_page

W = WorkspaceId("school")
NO_SETTINGS = WorkspaceSettings(W)
KINDS = TimelineKinds(NO_SETTINGS)
ORDERS = OrderDefinition(
    EventFilter.of("settled"), "id", "amount", EventFilter.of("reversed"), "id", "amount"
)


def fact(number: int, at_us: int, name: str = "viewed", source_id: str = "web") -> Fact:
    payload = Event(type=TRACK, name=name).SerializeToString()  # type: ignore[arg-type]
    return Fact(
        fact_id=number.to_bytes(16, "big"),
        kind=EVENT,
        occurred_at_us=at_us,
        source_id=source_id,
        payload=payload,
    )


class MemoryFacts:
    """Reads facts as the log does; counts those it returns."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = sorted(facts, key=lambda f: (f.occurred_at_us, f.fact_id), reverse=True)
        self.read = 0

    async def __call__(self, before_us: int, limit: int) -> Sequence[Fact]:
        found = [f for f in self._facts if not before_us or f.occurred_at_us < before_us][:limit]
        self.read += len(found)
        return found

    def all_pages(self, wanted: TimelineFilter, size: int) -> list[list[Fact]]:
        """Return the facts of each page."""
        pages: list[list[Fact]] = []
        cursor = None
        while True:
            page = asyncio.run(read_page(self, KINDS, wanted, size, cursor))
            pages.append([entry.fact for entry in page.entries])
            cursor = page.cursor
            if cursor is None:
                return pages

    def expected(self, wanted: TimelineFilter) -> list[Fact]:
        return [
            f
            for f in self._facts
            if (not wanted.since_us or f.occurred_at_us >= wanted.since_us)
            and (not wanted.before_us or f.occurred_at_us < wanted.before_us)
            and wanted.selects(KINDS.kind_of(*event_name(f)), event_name(f)[1], f.source_id)
        ]


@pytest.mark.parametrize(
    ("event_type", "name", "expected"),
    [
        *((TRACK, "Ad Clicked", TimelineKind.AD_CLICK), (TRACK, "viewed", TimelineKind.VIEW)),
        *((PAGE, "page", TimelineKind.VIEW), (SCREEN, "Home", TimelineKind.VIEW)),
        *((TRACK, "sales_contacted", TimelineKind.SALES_CONTACT),),
        *((TRACK, "Order Completed", TimelineKind.ORDER),),
        *((TRACK, "consulted_support", TimelineKind.SERVICE_REQUEST),),
        *((TRACK, "points_earned", TimelineKind.MEMBER_ACTIVITY),),
        *((TRACK, "anything", TimelineKind.OTHER), (IDENTIFY, "", TimelineKind.OTHER)),
        (0, "", TimelineKind.OTHER),
    ],
)
def test_kind_of_an_event_without_settings_follows_from_its_name(
    event_type: int, name: str, expected: TimelineKind
) -> None:
    assert KINDS.kind_of(event_type, name) is expected


def test_kind_of_an_event_is_that_of_the_settings_then_that_of_orders() -> None:
    settings = WorkspaceSettings(
        W, orders=ORDERS, timeline=((4, ("page",)), (6, ("viewed", "reversed")))
    )
    kinds = TimelineKinds(settings)
    assert kinds.kind_of(TRACK, "settled") is TimelineKind.ORDER
    assert kinds.kind_of(TRACK, "reversed") is TimelineKind.MEMBER_ACTIVITY
    assert kinds.kind_of(TRACK, "viewed") is TimelineKind.MEMBER_ACTIVITY
    assert kinds.kind_of(PAGE, "page") is TimelineKind.ORDER


_filters = st.builds(
    TimelineFilter,
    st.frozensets(st.sampled_from([TimelineKind.VIEW, TimelineKind.ORDER]), max_size=2),
    st.frozensets(st.sampled_from(["viewed", "bought", "noise"]), max_size=2),
    st.frozensets(st.sampled_from(["web", "shop"]), max_size=1),
    st.integers(0, 5),
    st.integers(0, 9),
)
_facts = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.sampled_from(["viewed", "bought", "noise"]),
        st.sampled_from(["web", "shop"]),
    ),
    max_size=30,
)


@given(_facts, _filters, st.integers(1, 7), st.integers(1, 5), st.integers(1, 12))
def test_pages_have_all_entries_that_a_filter_selects_once_and_in_order(
    parts: list[tuple[int, str, str]], wanted: TimelineFilter, size: int, chunk: int, max_read: int
) -> None:
    facts = MemoryFacts([fact(i, *part) for i, part in enumerate(parts)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "CHUNK", chunk)
        patch.setattr(timeline, "MAX_READ", max_read)
        pages = facts.all_pages(wanted, size)
    assert [f.fact_id for page in pages for f in page] == [
        f.fact_id for f in facts.expected(wanted)
    ]
    assert all(len(page) <= size for page in pages)
    keys = [(f.occurred_at_us, f.fact_id) for page in pages for f in page]
    assert all(newer > older for newer, older in pairwise(keys))


def test_page_of_a_filter_that_selects_nothing_reads_a_bounded_number_of_facts() -> None:
    facts = MemoryFacts([fact(i, i + 1) for i in range(12_500)])
    wanted = TimelineFilter(events=frozenset(["bought"]))
    page = asyncio.run(read_page(facts, KINDS, wanted, 50, None))
    assert not page.entries
    assert facts.read < timeline.MAX_READ + timeline.CHUNK
    assert page.cursor is not None
    rest = asyncio.run(read_page(facts, KINDS, wanted, 50, page.cursor))
    assert rest == ([], None)


def test_page_without_a_filter_reads_no_more_facts_than_it_needs() -> None:
    facts = MemoryFacts([fact(i, i + 1) for i in range(100)])
    page = asyncio.run(read_page(facts, KINDS, TimelineFilter(), 20, None))
    assert (len(page.entries), facts.read) == (20, 21)


def test_filter_of_a_request_has_its_kinds_names_sources_and_times() -> None:
    request = pb.ListTimelineRequest(
        kinds=[1, 4], events=["viewed"], source_ids=["web"], since_us=3, before_us=9
    )
    assert filter_from_proto(request) == TimelineFilter(
        frozenset([TimelineKind.AD_CLICK, TimelineKind.ORDER]),
        frozenset(["viewed"]),
        frozenset(["web"]),
        3,
        9,
    )
    assert filter_from_proto(pb.ListTimelineRequest()).selects_all


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"kinds": [99]}, InvalidField),
        ({"since_us": 5, "before_us": 5}, InvalidField),
        ({"since_us": -1}, InvalidField),
        ({"events": ["x"] * 51}, TooLarge),
        ({"source_ids": ["x"] * 51}, TooLarge),
    ],
    ids=["kind", "empty-range", "negative", "events", "sources"],
)
def test_filter_that_cannot_select_is_rejected(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        filter_from_proto(pb.ListTimelineRequest(**fields))
