"""Defines tags: appends a new version to the log where the definition differs."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.chassis import definitions
from services.chassis.definitions import Defined, DefinitionLocks
from services.chassis.postgres.database import Database
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.rules.limits import check_together
from services.kernel.tokens import Token
from services.profile.codec.log import tag_to_fact
from services.profile.domain.tags import Tag, check_tag
from services.profile.projection.limits import RuleLimiter
from services.profile.store.definitions import load_tags
from services.profile.store.profiles import open_snapshot


@dataclass(frozen=True, slots=True)
class TagCommands:
    """Defines tags."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    limiter: RuleLimiter
    #: One definition of a workspace at a time: each sees the predicates of those before it.
    locks: DefinitionLocks = field(default_factory=DefinitionLocks)

    async def define(self, tag: Tag, *, etag: str = "", dry_run: bool = False) -> Defined[Tag]:
        """Define a tag; its version is ignored.

        Raises InvalidField, Conflict, TokenNotReached.
        """
        check_tag(tag)

        async def load(token: Token) -> Tag | None:
            await self.runner.reach(token)
            await self.limiter.check(tag.workspace_id, tag.rule, field="tag.rule")
            async with open_snapshot(self.database) as at:
                tags = await load_tags(at.conn, tag.workspace_id)
            current = tags.pop(tag.tag_id, None)
            if not tag.retired:
                others = (other.rule for other in tags.values() if not other.retired)
                check_together(others, tag.rule, field="tag.rule")
            return current

        async with self.locks.of(tag.workspace_id):
            return await definitions.define(
                lambda _: tag,
                log=self.log,
                load=load,
                to_fact=tag_to_fact,
                etag=etag,
                dry_run=dry_run,
            )
