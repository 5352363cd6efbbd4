"""Reads the accounts and objects that a person was related to in the past, from the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from services.chassis.access.principal import region
from services.chassis.rpc.clients import IdentityClient
from services.kernel.as_of import AsOf
from services.kernel.errors import NotFound, TooLarge
from services.kernel.fold.leaf import LeafState, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers.model import ACCOUNT_ID
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.profile.codec.log import decode_leaf_events
from services.profile.domain.accounts import AccountName
from services.profile.domain.objects import ObjectLeaf, RelatedObjects, encode_traits
from services.profile.store.profiles import Snapshot, load_profiles, profiles_of

#: Reads the facts of some leaves as of a past state.
ReadFacts: TypeAlias = Callable[[Sequence[LeafId]], Awaitable[Sequence[Any]]]
#: The most accounts of a person that are resolved as they were in the past.
MAX_ACCOUNTS = 200


class RelatedAccounts(NamedTuple):
    """The accounts and objects of a person at some time."""

    #: The account of each identifier that one of them has.
    profile_of: Mapping[LeafId, ProfileId]
    #: By profile id; empty where the names are not wanted.
    names: Sequence[AccountName] = ()


async def present_accounts(
    at: Snapshot, workspace_id: WorkspaceId, leaves: Sequence[bytes]
) -> RelatedAccounts:
    """Return the accounts that have some leaves now, without their names."""
    found = await profiles_of(at.conn, workspace_id, leaves)
    rows = await load_profiles(at.conn, workspace_id, list(set(found.values())))
    return RelatedAccounts({row.leaf_id: row.profile_id for row in rows if row.state is not None})


async def past_accounts(
    identity: IdentityClient, workspace_id: WorkspaceId, leaves: Sequence[bytes], as_of: AsOf
) -> RelatedAccounts:
    """Return the accounts that had some leaves then. Raises TooLarge."""
    if len(leaves) > MAX_ACCOUNTS:
        raise TooLarge(
            "too many related objects for an answer about the past; ask without as_of",
            limit=str(MAX_ACCOUNTS),
        )
    profile_of: dict[LeafId, ProfileId] = {}
    names: dict[ProfileId, AccountName] = {}
    for leaf in leaves:
        if leaf in profile_of:
            continue
        try:
            profile_id, identifiers = await identity.past_profile(workspace_id, leaf, as_of)
        except NotFound:  # its own group event came later
            continue
        profile_of |= dict.fromkeys(identifiers, profile_id)
        own = sorted(i.value for i in identifiers.values() if i.namespace == ACCOUNT_ID)
        if own:
            names[profile_id] = AccountName(profile_id, own)
    return RelatedAccounts(profile_of, [names[id_] for id_ in sorted(names)])


async def read_objects(
    accounts: RelatedAccounts, read_facts: ReadFacts, index_key: IndexKey
) -> RelatedObjects:
    """Return objects with the traits that facts of the past give them.

    All group events of the objects are read, of which an object has one or more for each member.
    """
    states: dict[LeafId, LeafState] = defaultdict(LeafState)
    no_rules = PredicateIndex()
    facts = await read_facts(list(accounts.profile_of))
    for leaf_id, event, _ in decode_leaf_events(facts, region(), index_key):
        fold_event(states[leaf_id], event, no_rules)
    return RelatedObjects(
        ObjectLeaf(accounts.profile_of[leaf_id], leaf_id, state.object_type, encode_traits(state))
        for leaf_id, state in states.items()
    )
