"""Evaluates the members of an object that has changed, in pages."""

from __future__ import annotations

from bisect import bisect_right

from asyncpg import Connection

from services.chassis.projection.backfill import BackfillJob, BackfillStep
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.fold.leaf import decode, view_of
from services.kernel.ids import LeafId, ProfileId
from services.profile.codec.bus import Publication, encode_outputs
from services.profile.domain.evaluation import related_only
from services.profile.domain.objects import MemberCursor
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.store.profiles import leaf_states_of, profiles_of


async def evaluate_member_page(
    conn: Connection,
    evaluator: ProfileEvaluator,
    job: BackfillJob,
    at: Checkpoint,
    object_id: ProfileId,
    at_us: int,
) -> BackfillStep:
    """Evaluate the next members of a job as of `at_us` (Unix microseconds).

    Members that the object gains meanwhile are evaluated when it gains them. Raises ProfilesLocked.
    """
    cursor = MemberCursor.decode(job.cursor)
    found = await profiles_of(conn, job.workspace_id, [object_id])
    states = await leaf_states_of(conn, job.workspace_id, list(found.values()))
    found_view = view_of(map(decode, states))
    members = [LeafId(leaf) for leaf in found_view.members]
    first = bisect_right(members, cursor.reached)
    page = members[first : first + evaluator.members_per_transaction]
    # The job does not know which event has changed the object: its newest one at the latest.
    scope = related_only(0, found_view.last_seen_us)
    request = EvaluationRequest(members=dict.fromkeys(page, scope))
    changes = await evaluator.evaluate(conn, at.shard, request, at_us)
    after = cursor.after(page, job.run, is_last=first + len(page) == len(members))
    log_offset = at.log_offset if after is not None else job.log_offset_at_end
    outputs = encode_outputs(Publication(changes.changed), at, log_offset, at.log_time_us)
    return BackfillStep(None if after is None else after.encode(), outputs, changes.deltas)
