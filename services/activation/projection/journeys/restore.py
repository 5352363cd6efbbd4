"""Makes runs and their effects from the transitions that the log has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import asyncpg
from onefold.activation.v1 import journey_runs_pb2 as pb

from services.activation.codec.journey_runs import RUN_ENDS, record_from_bytes
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.planned import effects_of
from services.activation.domain.model import RunEffect
from services.activation.store import runs as store
from services.activation.store.run_effects import add_planned_effects, release_effects
from services.kernel.ids import ProfileId, WorkspaceId


class LoggedRun(NamedTuple):
    """A run as the log has it."""

    workspace_id: WorkspaceId
    #: In the order of their numbers, from the first.
    transitions: Sequence[pb.RunTransitioned]


async def restore_runs(
    conn: asyncpg.Connection,
    runs: Collection[LoggedRun],
    histories: Mapping[tuple[WorkspaceId, str], JourneyHistory],
    shards: int,
    *,
    closes: bool,
) -> list[RunEffect]:
    """Store runs as the log has them, and let their effects be sent.

    Effects that the ledger has stay as they are. `closes`: nothing changes the runs any more that
    have ended, as their facts are not known. Returns all effects that the runs have planned.
    """
    rows, effects = [], list[RunEffect]()
    for workspace_id, transitions in runs:
        stored = pb.RunTransitions(transitions=transitions).SerializeToString(deterministic=True)
        record, journey_id = record_from_bytes(stored), transitions[0].journey_id
        ending, leaf_id = record.ending, record.first.leaf_id
        state, end = (1, 0) if ending is None else (3, RUN_ENDS.to_proto(ending.reason))
        rows.append(
            (
                *(workspace_id, record.run_id, journey_id, record.version, leaf_id),
                *(record.first.occurred_at_us, record.number, record.number, stored),
                *(state, end, "", None, closes and ending is not None),
            )
        )
        history = histories.get((workspace_id, journey_id))
        if history is not None:
            # The person of the leaf is not known here; a look and the gate find it.
            effects += effects_of(workspace_id, ProfileId(leaf_id), history, record)
    if rows:
        await store.save_restored(conn, rows)
    if effects:
        await add_planned_effects(conn, effects, shards)
        await release_effects(conn, [(e.effect_id, e.leaf_id) for e in effects], shards)
    return effects


def logged_runs(transitions: Iterable[tuple[WorkspaceId, pb.RunTransitioned]]) -> list[LoggedRun]:
    """Return the runs of transitions in any order; a repeated one counts once."""
    found: dict[tuple[WorkspaceId, bytes], dict[int, pb.RunTransitioned]] = {}
    for workspace_id, each in transitions:
        found.setdefault((workspace_id, each.run_id), {})[each.number] = each
    return [
        LoggedRun(workspace_id, [own[number] for number in sorted(own)])
        for (workspace_id, _), own in found.items()
    ]
