"""Reads the objects that a person was related to in the past, from the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from services.chassis.access.principal import region
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.profile.codec.log import decode_leaf_events
from services.profile.domain.objects import ObjectLeaf, RelatedObjects, encode_traits
from services.profile.store.profiles import Snapshot, load_profiles, profiles_of

#: Reads the facts of some leaves as of a past state.
ReadFacts: TypeAlias = Callable[[Sequence[LeafId]], Awaitable[Sequence[Any]]]


async def with_past_objects(
    at: Snapshot,
    workspace_id: WorkspaceId,
    view: ProfileView,
    read_facts: ReadFacts,
    index_key: IndexKey,
) -> ProfileView:
    """Return a past profile with its objects as they were then, each with its present leaves.

    All group events of the objects are read, of which an object has one or more for each member.
    """
    found = await profiles_of(at.conn, workspace_id, view.accounts)
    rows = await load_profiles(at.conn, workspace_id, list(set(found.values())))
    profile_of: dict[LeafId, ProfileId] = {
        row.leaf_id: row.profile_id for row in rows if row.state is not None
    }
    states: dict[LeafId, LeafState] = defaultdict(LeafState)
    no_rules = PredicateIndex()
    facts = await read_facts(list(profile_of))
    for leaf_id, event, _ in decode_leaf_events(facts, region(), index_key):
        fold_event(states[leaf_id], event, no_rules)
    objects = RelatedObjects(
        ObjectLeaf(profile_of[leaf_id], leaf_id, state.object_type, encode_traits(state))
        for leaf_id, state in states.items()
    )
    return view.with_related(objects.of(view.accounts))
