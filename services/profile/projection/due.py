"""Evaluates profiles that are due beside the facts that arrive: a job, in pages."""

from __future__ import annotations

from asyncpg import Connection

from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.ids import WorkspaceId
from services.profile.codec.bus import Publication, encode_outputs
from services.profile.domain.evaluation import DUE_ONLY
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.store.evaluations import load_due

#: The one job of a shard.
JOB = "due"


async def schedule_due(conn: Connection, shard: int) -> None:
    """Schedule the job; the tokens of the shard wait for its end. Call this last."""
    await schedule(conn, [shard], JOB, WorkspaceId(""), version=0, blocking=True, restart=False)


async def evaluate_due_page(
    conn: Connection, evaluator: ProfileEvaluator, job: BackfillJob, at: Checkpoint
) -> BackfillStep:
    """Evaluate the first profiles that are due at the shard's clock. Raises ProfilesLocked.

    The job ends when no more are due.
    """
    due = await load_due(conn, at.shard, at.log_time_us, job.most + 1)
    job.pause()
    scopes = {each.profile_id: DUE_ONLY for each in due[: job.most]}
    request = EvaluationRequest(profile_scopes=scopes)
    changes = await evaluator.evaluate(conn, at.shard, request, at.log_time_us)
    is_last = len(due) <= job.most
    log_offset = job.log_offset_at_end if is_last else at.log_offset
    outputs = encode_outputs(Publication(changes.changed), at, log_offset, at.log_time_us)
    cursor = (int.from_bytes(job.cursor, "big") + 1).to_bytes(8, "big")
    return BackfillStep(None if is_last else cursor, outputs, changes.deltas)
