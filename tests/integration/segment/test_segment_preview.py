"""Tests previews of membership changes against the changes that are published later."""

from __future__ import annotations

import pytest
from integration.segment.segment_fixture import (
    BOUGHT,
    BOUGHT_ID,
    CITY,
    CITY_ID,
    SHARDS,
    SegmentWorkers,
    defined,
    evaluated,
    profile,
)
from onefold.profile.v1.profile_stream_pb2 import ProfileChange
from onefold.segment.v1.segment_stream_pb2 import MembershipCause, MembershipChange

from services.chassis.postgres.database import Database
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import WorkspaceId
from services.segment.codec.bus import MAX_PREVIEWED, change_to_proto, hypothetical_evaluations
from services.segment.queries.memberships import preview_memberships

W = WorkspaceId("school")


async def preview(
    database: Database, *evaluations: ProfileChange, workspace: str = W
) -> list[MembershipChange]:
    workspace_id = WorkspaceId(workspace)
    decoded = hypothetical_evaluations(workspace_id, evaluations)
    changes = await preview_memberships(database, SHARDS, workspace_id, decoded)
    return [change_to_proto(change) for change in changes]


def rows(changes: list[MembershipChange]) -> list[tuple[bytes, str, bool, str, bytes]]:
    return [
        (c.profile_id, c.segment_id, c.entered, MembershipCause.Name(c.cause), c.other_profile_id)
        for c in changes
    ]


async def publish_school(workers: SegmentWorkers) -> None:
    """Publish two buyers, one of them in the city, and a third profile."""
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT), defined("city", CITY)])
    workers.backfilled()
    workers.publish(
        0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1, BOUGHT_ID, CITY_ID), evaluated(3, 1)
    )
    await workers.fold_all()


async def test_preview_equals_the_changes_that_are_published(
    workers: SegmentWorkers, segment_database: Database
) -> None:
    await publish_school(workers)
    before = await workers.changes()
    evaluations = [
        evaluated(1, 2, BOUGHT_ID, CITY_ID),
        evaluated(2, 2, into=1),
        evaluated(3, 2, CITY_ID),
    ]
    previewed = await preview(segment_database, *evaluations)
    assert await workers.changes() == before, "a preview changes nothing"
    await workers.check()
    workers.publish(0, *evaluations)
    await workers.fold_all()
    published = (await workers.changes())[len(before) :]
    assert rows(previewed) == rows(published)
    assert {MembershipCause.Name(c.cause) for c in previewed} == {
        "MEMBERSHIP_CAUSE_MERGE",
        "MEMBERSHIP_CAUSE_RULE",
    }


async def test_unmerged_profile_enters_with_cause_merge(workers: SegmentWorkers) -> None:
    await publish_school(workers)
    workers.publish(0, evaluated(2, 2, into=1), evaluated(1, 2, BOUGHT_ID, CITY_ID))
    await workers.fold_all()
    before = len(await workers.changes())
    workers.publish(0, evaluated(2, 3, BOUGHT_ID, CITY_ID), evaluated(1, 3, BOUGHT_ID))
    await workers.fold_all()
    changes = (await workers.changes())[before:]
    one, other, merge = profile(1), profile(2), "MEMBERSHIP_CAUSE_MERGE"
    assert sorted(rows(changes)) == sorted(
        [
            (one, "city", False, merge, other),
            (other, "buyers", True, merge, one),
            (other, "city", True, merge, one),
        ]
    )
    assert await workers.members("buyers") == {one, other}
    await workers.check()


async def test_preview_in_another_workspace_sees_no_membership(
    workers: SegmentWorkers, segment_database: Database
) -> None:
    await publish_school(workers)
    assert await preview(segment_database, evaluated(1, 9), workspace="other") == []
    assert len(await preview(segment_database, evaluated(1, 9))) == 1


def test_invalid_evaluation_is_rejected_with_its_field() -> None:
    short = evaluated(1, 1)
    short.profile_id = b"short"
    with pytest.raises(InvalidField) as raised:
        hypothetical_evaluations(W, [evaluated(1, 1), short])
    assert raised.value.field == "evaluations[1].profile_id"
    malformed = evaluated(1, 1)
    malformed.merged_into = b"x"
    with pytest.raises(InvalidField) as raised:
        hypothetical_evaluations(W, [malformed])
    assert raised.value.field == "evaluations[0].merged_into"
    with pytest.raises(TooLarge):
        hypothetical_evaluations(W, [evaluated(1, 1)] * (MAX_PREVIEWED + 1))
