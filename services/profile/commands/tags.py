"""Defines tags: appends a new version to the log where the definition differs."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis import definitions
from services.chassis.definitions import Defined
from services.chassis.postgres.database import Database
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.tokens import Token
from services.profile.codec.log import tag_to_fact
from services.profile.domain.tags import Tag, check_tag
from services.profile.store.definitions import load_tags
from services.profile.store.profiles import open_snapshot


@dataclass(frozen=True, slots=True)
class TagCommands:
    """Defines tags."""

    database: Database
    runner: ProjectionRunner
    log: LogClient

    async def define(self, tag: Tag, *, etag: str = "", dry_run: bool = False) -> Defined[Tag]:
        """Define a tag; its version is ignored.

        Raises InvalidField, Conflict, TokenNotReached.
        """
        check_tag(tag)

        async def load(token: Token) -> Tag | None:
            await self.runner.reach(token)
            async with open_snapshot(self.database) as at:
                return (await load_tags(at.conn, tag.workspace_id)).get(tag.tag_id)

        return await definitions.define(
            lambda _: tag, log=self.log, load=load, to_fact=tag_to_fact, etag=etag, dry_run=dry_run
        )
