"""What a regrouping of people would do to memberships, before it is said and after."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from integration.segment.segment_world import (
    BOUGHT,
    BOUGHT_ID,
    CITY,
    CITY_ID,
    SHARDS,
    Works,
    defined,
    profile,
    stands,
)
from onefold.segment.v1.segment_stream_pb2 import MembershipCause, MembershipChange

from services.chassis.postgres.database import Database
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import WorkspaceId
from services.segment.codec.bus import change_message
from services.segment.codec.preview import MOST_PREVIEWED, previewed_standings
from services.segment.queries.preview import Previews

W = WorkspaceId("school")


async def preview(database: Database, *told: Any, workspace: str = W) -> list[MembershipChange]:
    previews = Previews(database, cast(Any, SimpleNamespace(shards=SHARDS)))
    asked = previewed_standings(WorkspaceId(workspace), told)
    found = await previews.memberships(WorkspaceId(workspace), asked)
    return [change_message(change, 0) for change in found]


def rows(changes: list[MembershipChange]) -> list[tuple[bytes, str, bool, str, bytes]]:
    return [
        (c.profile_id, c.segment_id, c.entered, MembershipCause.Name(c.cause), c.other_profile_id)
        for c in changes
    ]


async def school(works: Works) -> None:
    """Two buyers, of whom one lives in the city, and a stranger."""
    works.say_everywhere(broadcast_facts=[defined("buyers", BOUGHT), defined("city", CITY)])
    works.live()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1, BOUGHT_ID, CITY_ID), stands(3, 1))
    await works.fold_all()


async def test_a_preview_is_what_is_announced_afterwards(
    works: Works, segment_database: Database
) -> None:
    await school(works)
    before = await works.announced()
    told = [stands(1, 2, BOUGHT_ID, CITY_ID), stands(2, 2, into=1), stands(3, 2, CITY_ID)]
    foreseen = await preview(segment_database, *told)
    assert await works.announced() == before, "a preview changes nothing"
    await works.check()
    works.say(0, *told)
    await works.fold_all()
    announced = (await works.announced())[len(before) :]
    assert rows(foreseen) == rows(announced)
    assert {MembershipCause.Name(c.cause) for c in foreseen} == {
        "MEMBERSHIP_CAUSE_MERGE",
        "MEMBERSHIP_CAUSE_RULE",
    }


async def test_a_person_who_comes_out_of_a_merge_is_not_announced_as_new(works: Works) -> None:
    await school(works)
    works.say(0, stands(2, 2, into=1), stands(1, 2, BOUGHT_ID, CITY_ID))
    await works.fold_all()
    merged = len(await works.announced())
    works.say(0, stands(2, 3, BOUGHT_ID, CITY_ID), stands(1, 3, BOUGHT_ID))
    await works.fold_all()
    apart = (await works.announced())[merged:]
    one, other, merge = profile(1), profile(2), "MEMBERSHIP_CAUSE_MERGE"
    assert sorted(rows(apart)) == sorted(
        [
            (one, "city", False, merge, other),
            (other, "buyers", True, merge, one),
            (other, "city", True, merge, one),
        ]
    )
    assert await works.members("buyers") == {one, other}
    await works.check()


async def test_another_workspace_is_told_nothing(works: Works, segment_database: Database) -> None:
    await school(works)
    assert await preview(segment_database, stands(1, 9), workspace="other") == []
    assert len(await preview(segment_database, stands(1, 9))) == 1


def test_what_cannot_be_previewed_is_refused_with_its_field() -> None:
    short = stands(1, 1)
    short.profile_id = b"short"
    with pytest.raises(InvalidField) as refused:
        previewed_standings(W, [stands(1, 1), short])
    assert refused.value.field == "standings[1].profile_id"
    crooked = stands(1, 1)
    crooked.merged_into = b"x"
    with pytest.raises(InvalidField) as refused:
        previewed_standings(W, [crooked])
    assert refused.value.field == "standings[0].merged_into"
    with pytest.raises(TooLarge):
        previewed_standings(W, [stands(1, 1)] * (MOST_PREVIEWED + 1))
