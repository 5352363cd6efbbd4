"""Stores leaves and the profile of each identifier in PostgreSQL; reads profiles and accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncpg import Connection

from services.chassis.postgres.database import Database, Queries, acquire
from services.chassis.postgres.together import Statement, fetch_together
from services.chassis.projection.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    load_checkpoints,
    token_of,
)
from services.kernel.fold.leaf import LeafState
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId, WorkspaceId, shard_of
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token
from services.profile.domain.accounts import AccountName, StatedParent, stated_parent
from services.profile.domain.facts import ProfileAssignment, Reassignment
from services.profile.domain.objects import ObjectLeaf, RelatedObjects, encode_traits
from services.profile.store import definitions as definition_store
from services.profile.store.definitions import WorkspaceState

Q = Queries.load(__package__, "profiles.sql")

#: Leaves that are read for each profile of a search, as a person may have several with one name.
_LEAVES_A_PROFILE = 4


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent state of all shards."""

    conn: Connection
    checkpoints: Sequence[Checkpoint]

    @property
    def token(self) -> Token:
        """The state of the log that the snapshot includes."""
        return token_of(self.checkpoints)

    @property
    def now_us(self) -> int:
        """The log's clock, Unix microseconds."""
        return max(checkpoint.log_time_us for checkpoint in self.checkpoints)


@asynccontextmanager
async def open_snapshot(
    database: Database, *, of_all_workspaces: bool = False
) -> AsyncIterator[Snapshot]:
    """Open a snapshot of the caller's workspace, or of all, that concurrent folds do not change.

    Raises StoreUnavailable.
    """
    async with (
        acquire(database.pool if of_all_workspaces else database.api_pool) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield Snapshot(conn, await load_checkpoints(conn))


class LeafRow(NamedTuple):
    """A stored leaf."""

    leaf_id: LeafId
    workspace_id: WorkspaceId
    #: Canonical bytes of its LeafState.
    state: bytes


class ProfileLeaf(NamedTuple):
    """A leaf of a profile."""

    profile_id: ProfileId
    workspace_id: WorkspaceId
    leaf_id: LeafId
    #: Canonical bytes of its LeafState.
    state: bytes


async def load_leaves(
    conn: Connection, shard: int, leaves: Collection[LeafId]
) -> dict[LeafId, bytes]:
    """Return the states of leaves of one shard; unknown ones are left out."""
    rows = await conn.fetch(Q.load_leaves, shard, leaves)
    return {row["leaf_id"]: row["state"] for row in rows}


async def add_leaves(conn: Connection, shard: int, rows: Sequence[LeafRow]) -> None:
    """Insert new leaves."""
    if rows:
        await conn.execute(Q.add_leaves, shard, *map(list, zip(*rows, strict=True)))


async def save_leaves(conn: Connection, shard: int, rows: Sequence[LeafRow]) -> None:
    """Update the states of existing leaves."""
    if rows:
        await conn.execute(
            Q.save_leaves, shard, [row.leaf_id for row in rows], [row.state for row in rows]
        )


async def copy_leaves(conn: Connection, shard: int, rows: Iterable[LeafRow]) -> None:
    """Insert many new leaves with COPY."""
    await conn.copy_records_to_table(
        "leaf",
        columns=("shard", "leaf_id", "workspace_id", "state"),
        records=[(shard, *row) for row in rows],
    )


async def leaf_page(
    conn: Connection, shard: int, workspace_id: WorkspaceId, after: bytes, size: int
) -> list[LeafRow]:
    """Return the next leaves of a shard and workspace, ascending."""
    rows = await conn.fetch(Q.leaf_page, shard, workspace_id, after, size)
    return [LeafRow(leaf_id, workspace_id, state) for leaf_id, state in rows]


async def has_at_most(conn: Connection, shard: int, workspace_id: WorkspaceId, most: int) -> bool:
    """Return whether a workspace has at most so many leaves in a shard."""
    return int(await conn.fetchval(Q.count_leaves, shard, workspace_id, most + 1)) <= most


async def leaf_states_of(
    conn: Connection, workspace_id: WorkspaceId, profiles: Collection[ProfileId]
) -> list[bytes]:
    """Return the states of all leaves of some profiles."""
    return [row[0] for row in await conn.fetch(Q.leaf_states, workspace_id, profiles)]


async def all_profile_leaves(conn: Connection, *, prefetch: int) -> AsyncIterator[ProfileLeaf]:
    """Yield the leaves of all profiles, those of one profile together. Needs a transaction."""
    async for row in conn.cursor(Q.all_profile_leaves, prefetch=prefetch):
        yield ProfileLeaf(*row)


async def load_assignments(
    conn: Connection, identifiers: Collection[bytes]
) -> dict[IdentifierId, ProfileAssignment]:
    """Return the assignments of identifiers, without canonical forms; unknown ones are left out."""
    if not identifiers:
        return {}
    rows = await conn.fetch(Q.load_assignments, identifiers)
    return {row[1]: ProfileAssignment(row[0], row[1], row[2], row[3], None) for row in rows}


async def save_assignments(
    conn: Connection, reassigned: Sequence[Reassignment], shards: int
) -> None:
    """Insert or update assignments. The caller holds the locks on their identifiers."""
    new = [moved.after for moved in reassigned if moved.before is None]
    if new:
        await copy_assignments(conn, new, shards)
    changed = [moved.after for moved in reassigned if moved.before is not None]
    if changed:
        await conn.execute(
            Q.save_assignments,
            [shard_of(a.identifier_id, shards) for a in changed],
            [a.identifier_id for a in changed],
            [a.profile_id for a in changed],
            [a.version for a in changed],
            [a.identifier.namespace if a.identifier else None for a in changed],
            [a.identifier.value if a.identifier else None for a in changed],
        )


async def copy_assignments(
    conn: Connection, assignments: Iterable[ProfileAssignment], shards: int
) -> None:
    """Insert new assignments with COPY."""
    columns = ("shard", "workspace_id", "identifier_id", "profile_id", "version")
    await conn.copy_records_to_table(
        "assignment",
        columns=(*columns, "namespace", "value"),
        records=[
            (shard_of(a.identifier_id, shards), *a[:4], *(a.identifier or (None, None)))
            for a in assignments
        ],
    )


async def assign_lone_leaves(conn: Connection) -> list[tuple[LeafId, WorkspaceId]]:
    """Make the leaves that identity has no evidence of profiles of their own; return them."""
    return [(row[0], row[1]) for row in await conn.fetch(Q.assign_lone_leaves)]


async def leaves_of_profiles(
    conn: Connection, workspace_id: WorkspaceId, profile_ids: Collection[ProfileId]
) -> list[tuple[ProfileId, LeafId]]:
    """Return the identifiers of profiles in one workspace, each with its profile."""
    rows = await conn.fetch(Q.leaves_of_profiles, workspace_id, profile_ids)
    return [(ProfileId(row[0]), LeafId(row[1])) for row in rows]


async def profiles_of(
    conn: Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> dict[bytes, ProfileId]:
    """Return the profiles of identifiers in one workspace; unknown ones are left out.

    A profile's id is the id of one of its identifiers, so an old profile id leads to the present
    profile too.
    """
    rows = await conn.fetch(Q.profiles_of, workspace_id, ids)
    return {row[0]: row[1] for row in rows}


class ProfileRow(NamedTuple):
    """One identifier of a profile."""

    profile_id: ProfileId
    leaf_id: LeafId
    #: The canonical form; None where no assignment had it.
    identifier: Identifier | None
    #: Canonical bytes of the LeafState; None where the identifier is no leaf.
    state: bytes | None


async def load_profiles(
    conn: Connection, workspace_id: WorkspaceId, profiles: Collection[ProfileId]
) -> list[ProfileRow]:
    """Return the identifiers of profiles."""
    return _profile_rows(await conn.fetch(Q.load_profiles, workspace_id, profiles))


async def list_profiles(
    conn: Connection, workspace_id: WorkspaceId, after: bytes, limit: int
) -> list[ProfileRow]:
    """Return the identifiers of the next `limit` persons after a profile id, ascending."""
    return _profile_rows(await conn.fetch(Q.list_profiles, workspace_id, after, limit))


def persons_after(workspace_id: WorkspaceId, after: bytes, limit: int) -> Statement:
    """Return what reads the next `limit` persons after a profile id, ascending."""
    return Statement(Q.list_profiles, (workspace_id, after, limit))


def profiles_found(
    workspace_id: WorkspaceId, ids: Collection[bytes], beginning: str, limit: int
) -> Statement:
    """Return what reads at most `limit` profiles: those of `ids` first, in their order, then those
    with a name that has a form with a beginning.

    `beginning` consists of letters and digits, see `plain_form`; empty = of no name.
    """
    forms = f"'{_lexeme(workspace_id, beginning)}':*" if beginning else None
    leaves = limit * _LEAVES_A_PROFILE
    return Statement(Q.search_profiles, (workspace_id, ids, forms, leaves, limit, beginning))


class StoredPage(NamedTuple):
    """The rows of some profiles, and what else is needed to read them, all of one state."""

    checkpoints: Sequence[Checkpoint]
    workspace: WorkspaceState
    rows: Sequence[ProfileRow]


async def load_page(
    conn: Connection, workspace_id: WorkspaceId, shards: int, profiles: Statement
) -> StoredPage:
    """Return what `persons_after` or `profiles_found` reads, in one trip."""
    checkpoints, state, rows = await fetch_together(
        conn, CHECKPOINTS, definition_store.state_of(workspace_id, shards), profiles
    )
    return StoredPage(
        [Checkpoint(*row) for row in checkpoints],
        definition_store.workspace_state(workspace_id, state),
        _profile_rows(rows),
    )


async def count_rows(conn: Connection) -> dict[str, int]:
    """Return named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _profile_rows(rows: Iterable[Any]) -> list[ProfileRow]:
    return [
        ProfileRow(profile, id_, Identifier(namespace, value) if namespace else None, state)
        for profile, id_, namespace, value, state in rows
    ]


class AccountRow(NamedTuple):
    """A leaf of an account with the parent, the type and the traits that its state has."""

    leaf_id: LeafId
    workspace_id: WorkspaceId
    #: None where the leaf never stated a parent.
    stated: StatedParent | None
    object_type: str
    #: As services.profile.domain.objects.encode_traits returns them.
    traits: bytes


def account_row(
    leaf_id: LeafId, workspace_id: WorkspaceId, state: LeafState, index_key: IndexKey
) -> AccountRow:
    """Return the row of an account's leaf."""
    return AccountRow(
        leaf_id,
        workspace_id,
        stated_parent(workspace_id, state, index_key),
        state.object_type,
        encode_traits(state),
    )


async def save_accounts(conn: Connection, shard: int, rows: Sequence[AccountRow]) -> None:
    """Insert or update leaves of accounts."""
    if rows:
        await conn.execute(
            Q.save_accounts,
            shard,
            [row.leaf_id for row in rows],
            [row.workspace_id for row in rows],
            [row.stated.trust if row.stated else None for row in rows],
            [row.stated.occurred_at_us if row.stated else None for row in rows],
            [row.stated.fact_id if row.stated else None for row in rows],
            [row.stated.parent if row.stated else None for row in rows],
            [row.object_type for row in rows],
            [row.traits for row in rows],
        )


class NameRow(NamedTuple):
    """The forms of the names of a leaf; see services.profile.domain.names."""

    leaf_id: LeafId
    workspace_id: WorkspaceId
    forms: Sequence[str]


async def save_names(conn: Connection, shard: int, rows: Sequence[NameRow]) -> None:
    """Insert or update the forms of the names of some leaves; a row without forms is removed."""
    if rows:
        named = [row for row in rows if row.forms]
        await conn.execute(
            Q.save_names,
            shard,
            [row.leaf_id for row in named],
            [row.workspace_id for row in named],
            [
                " ".join(f"'{_lexeme(row.workspace_id, form)}'" for form in row.forms)
                for row in named
            ],
        )
        if len(named) < len(rows):
            gone = [row.leaf_id for row in rows if not row.forms]
            await conn.execute(Q.remove_names, shard, gone)


def _lexeme(workspace_id: WorkspaceId, form: str) -> str:
    """Return a form with its workspace, whose id has no slash; neither has quotes."""
    return f"{workspace_id}/{form}"


async def load_objects(
    conn: Connection,
    leaves: Collection[bytes],
    regrouped: Mapping[IdentifierId, ProfileId] | None = None,
) -> RelatedObjects:
    """Return the objects that have one of some leaves.

    `regrouped`: the hypothetical profiles of some identifiers.
    """
    if not leaves:
        return RelatedObjects()
    profile_of = regrouped or {}
    return RelatedObjects(
        ObjectLeaf(profile_of.get(leaf_id, profile_id), leaf_id, object_type, traits)
        for profile_id, leaf_id, object_type, traits in await conn.fetch(Q.object_leaves, leaves)
    )


async def list_accounts(
    conn: Connection, workspace_id: WorkspaceId, after: bytes, limit: int
) -> list[tuple[LeafId, ProfileId]]:
    """Return the accounts after a leaf, each by the first of its leaves."""
    return [(r[0], r[1]) for r in await conn.fetch(Q.list_accounts, workspace_id, after, limit)]


async def stated_parents(
    conn: Connection, workspace_id: WorkspaceId, accounts: Collection[ProfileId]
) -> dict[ProfileId, StatedParent]:
    """Return the stated parent of each account that wins; those that state none are left out."""
    found: dict[ProfileId, StatedParent] = {}
    for row in await conn.fetch(Q.stated_parents, workspace_id, accounts):
        account, trust, at_us, fact_id, parent = row
        stated = StatedParent(at_us, FactId(fact_id), parent, trust)
        existing = found.get(account)
        if existing is None or stated.precedence > existing.precedence:
            found[account] = stated
    return found


async def accounts_with_parent(
    conn: Connection, workspace_id: WorkspaceId, parents: Collection[ProfileId]
) -> list[ProfileId]:
    """Return the accounts with a leaf that states one of these parents, ascending."""
    return [row[0] for row in await conn.fetch(Q.accounts_with_parent, workspace_id, parents)]


async def account_names(
    conn: Connection, workspace_id: WorkspaceId, accounts: Collection[ProfileId]
) -> dict[ProfileId, AccountName]:
    """Return the group ids of accounts; accounts without any are left out."""
    rows = await conn.fetch(Q.account_names, workspace_id, accounts)
    return {row[0]: AccountName(row[0], row[1]) for row in rows}


async def member_page(
    conn: Connection, workspace_id: WorkspaceId, leaves: Collection[bytes], after: bytes, limit: int
) -> list[ProfileId]:
    """Return the profiles after `after` that have one of these leaves: each once, ascending."""
    rows = await conn.fetch(Q.member_page, workspace_id, leaves, after, limit)
    return [row[0] for row in rows]
