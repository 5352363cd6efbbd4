"""Stores which leaves belong to accounts, with the parent that each states, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.kernel.fold.leaf import LeafState
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.profile.domain.accounts import AccountName, StatedParent, stated_parent

Q = Queries.load(__package__, "accounts.sql")


class AccountRow(NamedTuple):
    """A leaf of an account with the parent that its state has."""

    leaf_id: LeafId
    workspace_id: WorkspaceId
    #: None where the leaf never stated a parent.
    stated: StatedParent | None


def account_row(leaf_id: LeafId, workspace_id: WorkspaceId, state: LeafState) -> AccountRow:
    """Return the row of an account's leaf."""
    return AccountRow(leaf_id, workspace_id, stated_parent(workspace_id, state))


async def save_accounts(conn: Connection, shard: int, rows: Sequence[AccountRow]) -> None:
    """Insert or update leaves of accounts."""
    if rows:
        await conn.execute(
            Q.save_accounts,
            shard,
            [row.leaf_id for row in rows],
            [row.workspace_id for row in rows],
            [row.stated.occurred_at_us if row.stated else None for row in rows],
            [row.stated.fact_id if row.stated else None for row in rows],
            [row.stated.parent if row.stated else None for row in rows],
        )


async def list_accounts(
    conn: Connection, workspace_id: WorkspaceId, after: bytes, limit: int
) -> list[tuple[LeafId, ProfileId]]:
    """Return the accounts after a leaf, each by the first of its leaves."""
    return [(r[0], r[1]) for r in await conn.fetch(Q.list_accounts, workspace_id, after, limit)]


async def stated_parents(
    conn: Connection, workspace_id: WorkspaceId, accounts: Collection[ProfileId]
) -> dict[ProfileId, StatedParent]:
    """Return the newest stated parent of each account; those that state none are left out."""
    newest: dict[ProfileId, StatedParent] = {}
    for row in await conn.fetch(Q.stated_parents, workspace_id, accounts):
        account, at_us, fact_id, parent = row
        stated = StatedParent(at_us, FactId(fact_id), parent)
        existing = newest.get(account)
        if existing is None or stated[:2] > existing[:2]:
            newest[account] = stated
    return newest


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
