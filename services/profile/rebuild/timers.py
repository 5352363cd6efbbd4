"""Finds the timers of a state that would fire too late, or never, which no digest shows.

A timer may be early, so two right states may have different ones. A stored timer is wrong where it
is later than the one that follows from the profile's leaves.
"""

from __future__ import annotations

from collections.abc import Sequence

from asyncpg import Connection

from services.kernel.fold.leaf import decode, view_of
from services.kernel.ids import ProfileId
from services.profile.domain.evaluation import EMPTY_INDEX, ProfileState, evaluate_predicates
from services.profile.domain.objects import object_leaves
from services.profile.store.definitions import load_indexes
from services.profile.store.evaluations import later_timers, load_evaluations, load_profile_leaves
from services.profile.store.profiles import load_objects

#: Profiles whose timers are computed at a time.
PAGE = 1_000


async def late_timers(
    conn: Connection, live: str, new: str, at_us: int, limit: int
) -> list[ProfileId]:
    """Return profiles of the state in the schema `live`, which `conn` sees, with a wrong timer.

    `new`: a rebuilt state, in which no timer is late. Only profiles with an earlier timer there are
    computed. `at_us`: the log's clock, Unix microseconds; a timer that is due by then, as the
    clocks of the shards differ a little, is not looked at.
    """
    found: list[ProfileId] = []
    after = b""
    while len(found) < limit:
        page = await later_timers(conn, live, new, after, at_us, PAGE)
        if not page:
            break
        found += await _late_among(conn, page, at_us)
        after = page[-1]
    return found[:limit]


async def _late_among(
    conn: Connection, profiles: Sequence[ProfileId], at_us: int
) -> list[ProfileId]:
    leaves = await load_profile_leaves(conn, profiles)
    evaluations = await load_evaluations(conn, leaves.keys())
    indexes = await load_indexes(conn)
    states = [
        ProfileState(id_, own.workspace_id, own, view_of(decode(r.state) for r in leaves[id_]))
        for id_, own in sorted(evaluations.items())
    ]
    objects = await load_objects(conn, object_leaves(states, indexes))
    late: list[ProfileId] = []
    for profile in map(objects.add_to, states):
        index = indexes.get(profile.workspace_id, EMPTY_INDEX)
        if profile.view is None or profile.evaluation is None:
            continue
        _, due_us = evaluate_predicates(index.predicates, profile.view, index, at_us)
        stored_us = profile.evaluation.next_due_us
        if due_us is not None and (stored_us is None or stored_us > due_us):
            late.append(profile.profile_id)
    return late
