"""Tests that what a shard has left out of an erased person does not bring the person back."""

from __future__ import annotations

from integration.segment.segment_fixture import SegmentWorkers, W, evaluated, profile
from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged


async def test_units_of_an_erased_person_that_were_left_out_are_deleted(
    workers: SegmentWorkers,
) -> None:
    for shard, n, workspace_id in ((0, 1, W), (0, 2, W), (0, 1, "other"), (1, 1, W)):
        unit = ProfilesChanged(changes=[evaluated(n, 1)])
        await workers.pool.execute(
            "INSERT INTO failed_fact (shard, sequence, unit_key, workspace_id, payload, parked)"
            " VALUES ($1, 0, $2, $3, $4, true)",
            *(shard, workspace_id.encode() + profile(n), workspace_id, unit.SerializeToString()),
        )
    erased = PersonErased(request_id=bytes(16), identifier_ids=[profile(1)])
    fact = Fact(
        workspace_id=W,
        kind=PersonErased.DESCRIPTOR.full_name,
        payload=erased.SerializeToString(),
        recorded_at_us=10**6,
    )
    workers.publish(0, broadcast_facts=[fact])
    await workers.fold_all()
    left = await workers.pool.fetch("SELECT shard, unit_key FROM failed_fact ORDER BY 1, 2")
    # The other shard has not come to the erasure.
    assert [tuple(row) for row in left] == [
        (0, b"other" + profile(1)),
        (0, W.encode() + profile(2)),
        (1, W.encode() + profile(1)),
    ]
