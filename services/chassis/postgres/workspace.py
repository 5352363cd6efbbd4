"""Names the workspace whose rows the connections of the api role see.

Policies compare the column `workspace_id` with a setting of the session. Every acquisition from the
pool of the api role sets it to the workspace of the current call, or to none, so what an earlier
user of the connection has left never counts. A connection remembers its workspace: where the next
call is for the same one, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import asyncpg

from services.chassis.postgres.roles import WORKSPACE_SETTING

#: Empty = none: then the api role sees no row.
_WORKSPACE: ContextVar[str] = ContextVar("workspace", default="")


def bind_workspace(workspace_id: str) -> None:
    """Make the current task see the rows of one workspace; empty = of none."""
    _WORKSPACE.set(workspace_id)


def current_workspace() -> str:
    """Return the workspace whose rows the current task sees; empty = of none."""
    return _WORKSPACE.get()


@contextmanager
def workspace_scope(workspace_id: str) -> Iterator[None]:
    """Make the body see the rows of one workspace."""
    before = _WORKSPACE.set(workspace_id)
    try:
        yield
    finally:
        _WORKSPACE.reset(before)


class WorkspaceConnection(asyncpg.Connection):
    """A connection of the api role."""

    __slots__ = ("_workspace_id",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: What the session is set to; None = not known.
        self._workspace_id: str | None = None

    async def use_workspace(self, workspace_id: str) -> None:
        """Make the session see the rows of one workspace; empty = of none."""
        if self._workspace_id == workspace_id:
            return
        # Where the statement is broken off, the session may have either workspace.
        self._workspace_id = None
        await self.execute("SELECT set_config($1, $2, false)", WORKSPACE_SETTING, workspace_id)
        self._workspace_id = workspace_id


async def use_current_workspace(conn: Any) -> None:
    """Prepare a connection that a pool of WorkspaceConnections hands out."""
    await conn.use_workspace(_WORKSPACE.get())


async def keep_session(_: asyncpg.Connection) -> None:
    """Leave the session as it is when a connection returns to its pool.

    asyncpg has rolled back an open transaction by then. No statement of a pool changes the session,
    but for the workspace, which the next user of the connection sets. RESET ALL and what asyncpg
    sends besides would cost as much as a small transaction.
    """
