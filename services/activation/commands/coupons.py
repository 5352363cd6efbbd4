"""Defines pools of coupons, and adds codes to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.activation.codec.coupons import codes_fact, pool_definition
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.store.coupons import load_pools
from services.activation.store.journeys import load_journeys_of_workspace
from services.chassis.definitions import Defined, WorkspaceLocks, check_room, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.coupons import MAX_CODE, MAX_CODES, CouponPool
from services.kernel.journeys.model import CouponIssue, Journey, SendStep
from services.kernel.journeys.tree import all_steps
from services.kernel.tokens import Token

#: Pools of a workspace, retired ones included.
MAX_POOLS: Final = 200
MAX_ID: Final = 128
MAX_TITLE: Final = 200
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{0,32}")


@dataclass(frozen=True)
class CouponCommands:
    """Defines pools of coupons, and adds codes to them."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    #: One definition of a workspace at a time.
    locks: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def define_pool(
        self,
        workspace_id: WorkspaceId,
        desired: CouponPool,
        *,
        etag: str = "",
        dry_run: bool = False,
    ) -> Defined[CouponPool]:
        """Define a pool; its version is ignored. Raises InvalidField, Conflict, RetryableError."""
        _check_pool(desired)

        async def load(token: Token) -> CouponPool | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                existing = await load_pools(conn, workspace_id)
                journeys = await load_journeys_of_workspace(conn, workspace_id)
            check_room(existing, desired.pool_id, MAX_POOLS, thing="pool")
            current = existing.get(desired.pool_id)
            users = sorted(_users(journeys.values(), desired.pool_id))
            if current is not None and users and current.used != desired.used:
                raise InvalidField(
                    f"the journey {users[0]!r} issues coupons of this pool, and waits for the event"
                    " that uses them: retire the journey first, or define another pool",
                    field="pool.used",
                )
            return current

        async with self.locks.of(workspace_id):
            return await define(
                lambda _: desired,
                log=self.log,
                load=load,
                to_fact=lambda pool: pool_definition(workspace_id, pool),
                etag=etag,
                dry_run=dry_run,
            )

    async def load_codes(
        self, workspace_id: WorkspaceId, pool_id: str, codes: Sequence[str]
    ) -> Token:
        """Add codes to a pool whose codes are loaded; those that it has count once.

        A call without a response may be repeated. Raises InvalidField, NotFound, RetryableError.
        """
        if not 0 < len(codes) <= MAX_CODES:
            raise InvalidField(f"send 1 to {MAX_CODES} codes in one call", field="codes")
        for index, code in enumerate(codes):
            if not 0 < len(code) <= MAX_CODE or not code.isprintable() or " " in code:
                raise InvalidField(
                    f"a code has 1 to {MAX_CODE} printable characters and no space",
                    field=f"codes[{index}]",
                )
        await self.runner.reach(await self.log.head())
        async with acquire(self.database.api_pool) as conn:
            pool = (await load_pools(conn, workspace_id)).get(pool_id)
        if pool is None or pool.retired:
            raise NotFound("no pool of coupons has this id: define it first")
        if pool.prefix:
            raise InvalidField(
                "the pool generates its codes: define it without a prefix", field="pool_id"
            )
        unique = sorted(set(codes))
        appended = await self.log.append_definition(codes_fact(workspace_id, pool_id, unique))
        return appended.token


def _users(journeys: Iterable[JourneyHistory], pool_id: str) -> set[str]:
    """Return the journeys that issue coupons of a pool."""
    return {
        history.journey_id
        for history in journeys
        if not history.versions[-1].program.journey.retired
        if any(issue.pool == pool_id for issue in _issues(history.versions[-1].program.journey))
    }


def _issues(journey: Journey) -> Iterable[CouponIssue]:
    for step in all_steps(journey):
        if isinstance(step, SendStep):
            yield from step.issue.values()


def _check_pool(pool: CouponPool) -> None:
    if not 0 < len(pool.pool_id) <= MAX_ID or not pool.pool_id.isprintable():
        raise InvalidField(f"has 1 to {MAX_ID} printable characters", field="pool.pool_id")
    if len(pool.title) > MAX_TITLE or "\0" in pool.title:
        raise InvalidField(f"has at most {MAX_TITLE} characters and no NUL", field="pool.title")
    if not _PREFIX.fullmatch(pool.prefix):
        raise InvalidField("has at most 32 letters, digits, `-` and `_`", field="pool.prefix")
    if pool.used is not None and not pool.used.code_property:
        raise InvalidField("name the property that has the code", field="pool.used.code_property")
