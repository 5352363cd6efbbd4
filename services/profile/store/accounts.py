"""Accounts in PostgreSQL: which leaves are accounts', what is stated of their parents, members."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from services.kernel.fold.leaf import LeafState
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.ids import to_bigint
from services.profile.domain.accounts import AccountName, Stated, stated_parent
from services.profile.store.postgres import Connection, Q


class AccountRow(NamedTuple):
    """A leaf of an account: what its state says, for those who look for it from elsewhere."""

    leaf_id: LeafId
    workspace_id: WorkspaceId
    #: None where it never said anything of a parent.
    parent: Stated | None


def account_row(leaf_id: LeafId, workspace_id: WorkspaceId, state: LeafState) -> AccountRow:
    """The row of an account's leaf."""
    return AccountRow(leaf_id, workspace_id, stated_parent(workspace_id, state))


async def save_accounts(conn: Connection, shard: int, rows: Sequence[AccountRow]) -> None:
    """Keep what leaves of accounts say, in the place of what they said before."""
    if rows:
        nothing = (None, None, None)
        await conn.execute(
            Q.save_accounts,
            shard,
            [row.leaf_id for row in rows],
            [row.workspace_id for row in rows],
            *map(list, zip(*(row.parent or nothing for row in rows), strict=True)),
        )


async def list_accounts(
    conn: Connection, workspace_id: WorkspaceId, after: bytes, limit: int
) -> list[tuple[LeafId, ProfileId]]:
    """Accounts, each by the first of its leaves, of those after a leaf."""
    return [(r[0], r[1]) for r in await conn.fetch(Q.list_accounts, workspace_id, after, limit)]


async def parents(
    conn: Connection, workspace_id: WorkspaceId, accounts: Collection[ProfileId]
) -> dict[ProfileId, Stated]:
    """The newest statement of a parent that each of these accounts makes."""
    newest: dict[ProfileId, Stated] = {}
    for account, at_us, fact_id, above in await conn.fetch(Q.parents, workspace_id, accounts):
        stated = Stated(at_us, FactId(fact_id), above)
        known = newest.get(account)
        if known is None or stated[:2] > known[:2]:
            newest[account] = stated
    return newest


async def stating(
    conn: Connection, workspace_id: WorkspaceId, above: Collection[ProfileId]
) -> list[ProfileId]:
    """The accounts with a leaf that states one of these as its parent, ascending."""
    return [row[0] for row in await conn.fetch(Q.stating, workspace_id, above)]


async def account_names(
    conn: Connection, workspace_id: WorkspaceId, accounts: Collection[ProfileId]
) -> dict[ProfileId, AccountName]:
    """These accounts, named."""
    rows = await conn.fetch(Q.account_names, workspace_id, accounts)
    return {row[0]: AccountName(row[0], row[1]) for row in rows}


async def page_of_profiles(
    conn: Connection,
    workspace_id: WorkspaceId,
    leaves: Collection[bytes],
    after: bytes,
    limit: int,
) -> list[ProfileId]:
    """The profiles that hold these leaves, each once, ascending, of those after one."""
    rows = await conn.fetch(Q.page_of_profiles, workspace_id, leaves, after, limit)
    return [row[0] for row in rows]


async def states_of(
    conn: Connection, workspace_id: WorkspaceId, profiles: Collection[ProfileId]
) -> list[bytes]:
    """The states of all leaves of these profiles."""
    return [row[0] for row in await conn.fetch(Q.states_of, workspace_id, profiles)]


async def whole_series(
    conn: Connection, workspace_id: WorkspaceId, shards: int, series_ids: Iterable[int]
) -> frozenset[int]:
    """Those of these series that are kept, and whole, on all shards."""
    signed = {to_bigint(i): i for i in series_ids}
    rows = await conn.fetch(Q.whole_series, workspace_id, shards, list(signed))
    return frozenset(signed[row[0]] for row in rows)
