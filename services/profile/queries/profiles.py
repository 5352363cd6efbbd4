"""Reads current profiles, the published messages, and the evaluations of a shard."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from asyncpg import Connection

from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import StreamMessage
from services.chassis.postgres.database import Database, acquire
from services.chassis.postgres.together import Statement
from services.chassis.projection.checkpoint import Checkpoint, token_of
from services.chassis.projection.runner import ProjectionRunner
from services.kernel.cache import MemoizedFunction
from services.kernel.errors import InvalidField, NotFound
from services.kernel.fold.leaf import LeafState, ProfileView, decode, view_of
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.ids import predicates
from services.kernel.tokens import Token
from services.profile.domain.accounts import AccountName
from services.profile.domain.backfill import ScopedId
from services.profile.domain.blocks import ProfileBlocks
from services.profile.domain.evaluation import Evaluation
from services.profile.domain.objects import reads_objects
from services.profile.domain.profile import Profile
from services.profile.domain.settings import WorkspaceSettings, computed_values
from services.profile.domain.tags import RuleSet, Tag, TagOfProfile, active_rules
from services.profile.store import definitions as definition_store
from services.profile.store import profiles as profile_store
from services.profile.store.definitions import WorkspaceState
from services.profile.store.evaluations import shard_evaluations
from services.profile.store.profiles import (
    ProfileRow,
    Snapshot,
    StoredPage,
    account_names,
    open_snapshot,
    profiles_of,
)

#: Evaluations in one page.
PAGE = 2_000
#: Rows that are decoded while other calls wait: some milliseconds.
_ROWS_IN_A_TURN = 500


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """Some evaluations of a shard."""

    #: The state that was read; its next output follows on all pages.
    checkpoint: Checkpoint
    evaluations: Sequence[Evaluation] = ()
    #: Serialised; on the first page only.
    broadcast_facts: Sequence[bytes] = ()
    #: On the first page only.
    backfilled: Sequence[ScopedId] = ()


@dataclass(frozen=True, slots=True)
class ProfileReading:
    """What the definitions of a workspace say about how its profiles are read."""

    #: Of the tags and stages that can be evaluated, without references.
    tags: RuleSet[TagOfProfile]
    settings: WorkspaceSettings
    reads_objects: bool
    blocks: ProfileBlocks

    @classmethod
    def of(cls, state: WorkspaceState) -> ProfileReading:
        """Return what stored definitions say."""
        definitions = definition_store.definitions_of(state.workspace_id, state.facts)
        settings = definitions.settings
        rules = active_rules(definitions, state.backfilled)
        needed = [p for rule in rules.values() for p in predicates(rule)]
        needs_objects = reads_objects(
            [*needed, *(own.feature for own in settings.all_computed_traits)]
        )
        return cls(RuleSet(rules), settings, needs_objects, ProfileBlocks(settings, rules))


#: By the content of the definitions, so that a value is never old.
_READINGS = MemoizedFunction(ProfileReading.of, 64)


@dataclass(slots=True)
class ProfileRows:
    """The stored rows of one profile."""

    identifiers: list[Identifier] = field(default_factory=list)
    leaves: dict[LeafId, LeafState] = field(default_factory=dict)
    #: Of the identifiers that are no leaves.
    other_ids: list[IdentifierId] = field(default_factory=list)


class ProfilePage(NamedTuple):
    """Some profiles."""

    profiles: Sequence[Profile]
    #: Whether there are more profiles than the page may have.
    has_more: bool
    #: The state of the log that was read.
    token: Token


@dataclass(slots=True)
class _FoundPage:
    """The rows of a page, and what they are read with."""

    stored: StoredPage
    reading: ProfileReading
    rows: Mapping[ProfileId, ProfileRows]
    #: The profiles of the page that are persons.
    persons: Mapping[ProfileId, ProfileView]
    has_more: bool
    #: Of the accounts that the persons belong to, by leaf.
    names: Mapping[bytes, AccountName] = field(default_factory=dict)

    def needs_more(self, brief: bool) -> bool:
        """Return whether the profiles need rows of other tables, too."""
        is_whole = not brief and any(view.accounts for view in self.persons.values())
        return is_whole or self.reading.reads_objects

    async def page(self, brief: bool) -> ProfilePage:
        """Return the page; other calls have their turn while it is made."""
        checkpoints = self.stored.checkpoints
        now_us = max(checkpoint.log_time_us for checkpoint in checkpoints)
        profiles: list[Profile] = []
        for position, (profile_id, view) in enumerate(self.persons.items(), 1):
            # A page with many tags takes long, and must not hold up the calls of others.
            if self.reading.tags or position % _ROWS_IN_A_TURN == 0:
                await asyncio.sleep(0)
            profiles.append(self._profile(profile_id, view, now_us, brief))
        return ProfilePage(profiles, self.has_more, token_of(checkpoints))

    def _profile(
        self, profile_id: ProfileId, view: ProfileView, now_us: int, brief: bool
    ) -> Profile:
        reading, rows = self.reading, self.rows[profile_id]
        tags = reading.tags.true_of(view, now_us) if reading.tags else ()
        if brief:
            return Profile(profile_id, rows.identifiers, view, tags)
        profile = Profile(
            *(profile_id, rows.identifiers, view, tags, sorted(rows.leaves)),
            accounts=_accounts_of(view, self.names),
            computed_traits=computed_values(
                reading.settings, view, now_us, self.stored.workspace.backfilled
            ),
            other_ids=rows.other_ids,
        )
        return profile.in_blocks(reading.blocks)


@dataclass(frozen=True, slots=True)
class ProfileQueries:
    """Reads the live state. The caller's key binds all reads to its workspace."""

    database: Database
    runner: ProjectionRunner

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Open the present state. Raises StoreUnavailable."""
        return open_snapshot(self.database)

    async def profiles(
        self, workspace_id: WorkspaceId, ids: Sequence[bytes], *, brief: bool = False
    ) -> ProfilePage:
        """Return each known profile of identifier ids or (also old) profile ids once, in order."""
        found = profile_store.profiles_found(workspace_id, ids, "", len(ids))
        return await self.page(workspace_id, found, len(ids), brief=brief)

    async def page(
        self, workspace_id: WorkspaceId, statement: Statement, size: int, *, brief: bool = False
    ) -> ProfilePage:
        """Return the first `size` profiles that a statement of the store reads.

        A brief profile lacks accounts, computed traits and blocks. Brief profiles and single ones
        rarely need other tables, so they are read in one trip; what does is read in a transaction.
        """
        async with acquire(self.database.api_pool) as conn:
            found = None
            if brief or size == 1:
                found = await self._read(conn, workspace_id, statement, size)
            if found is None or found.needs_more(brief):
                async with conn.transaction(isolation="repeatable_read", readonly=True):
                    found = await self._read_all(conn, workspace_id, statement, size, brief)
        return await found.page(brief)

    async def page_in(
        self, conn: Connection, workspace_id: WorkspaceId, statement: Statement, size: int
    ) -> ProfilePage:
        """Return the same page in the transaction of the caller."""
        found = await self._read_all(conn, workspace_id, statement, size, brief=False)
        return await found.page(brief=False)

    async def _read_all(
        self,
        conn: Connection,
        workspace_id: WorkspaceId,
        statement: Statement,
        size: int,
        brief: bool,
    ) -> _FoundPage:
        found = await self._read(conn, workspace_id, statement, size)
        if found.reading.reads_objects:
            found.persons = await with_objects(conn, found.persons)
        if not brief:
            found.names = await _account_names(conn, workspace_id, found.persons.values())
        return found

    async def _read(
        self, conn: Connection, workspace_id: WorkspaceId, statement: Statement, size: int
    ) -> _FoundPage:
        stored = await profile_store.load_page(conn, workspace_id, self.runner.shards, statement)
        rows = await group(stored.rows)
        page = dict(islice(rows.items(), size))
        views = {p: view_of(own.leaves.values()) for p, own in page.items() if own.leaves}
        persons = {p: view for p, view in views.items() if not view.is_account}
        return _FoundPage(stored, _READINGS(stored.workspace), page, persons, len(rows) > size)

    async def identifiers_of(
        self, at: Snapshot, workspace_id: WorkspaceId, id_: bytes
    ) -> tuple[ProfileId, list[LeafId]]:
        """Return the profile of an id with the ids of its identifiers, any of which may be a leaf.

        Raises NotFound.
        """
        found = await profiles_of(at.conn, workspace_id, [id_])
        if id_ not in found:
            raise NotFound("no profile has this id or identifier; check it")
        rows = await profile_store.load_profiles(at.conn, workspace_id, [found[id_]])
        return found[id_], [row.leaf_id for row in rows]

    async def tags(self, workspace_id: WorkspaceId) -> Sequence[Tag]:
        async with self.snapshot() as at:
            return list(
                (await definition_store.load_workspace(at.conn, workspace_id)).tags.values()
            )

    async def settings(self, workspace_id: WorkspaceId) -> WorkspaceSettings:
        async with self.snapshot() as at:
            return (await definition_store.load_workspace(at.conn, workspace_id)).settings

    async def read_outbox(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncGenerator[StreamMessage]:
        """Yield published messages; `life` as in `Outbox.check_start`.

        Raises InvalidField, RangeExpired, UpstreamWentBack.
        """
        outbox = Outbox(self.database.pool)
        await outbox.check_start(self._check_shard(shard), first, life)
        async for message in outbox.stream(shard, first, end):
            yield message

    async def evaluations(self, shard: int) -> AsyncGenerator[EvaluationPage]:
        """Yield the evaluations of a shard's profiles, at least one page. Raises InvalidField."""
        self._check_shard(shard)
        async with open_snapshot(self.database, of_all_workspaces=True) as at:
            checkpoint = at.checkpoints[shard]
            yield EvaluationPage(
                checkpoint,
                broadcast_facts=await definition_store.shard_broadcast_facts(at.conn, shard),
                backfilled=await definition_store.shard_backfilled_predicates(at.conn, shard),
            )
            async for page in shard_evaluations(at.conn, shard, PAGE):
                yield EvaluationPage(checkpoint, page)

    def _check_shard(self, shard: int) -> int:
        if shard >= self.runner.shards:
            raise InvalidField(f"there are {self.runner.shards} shards", field="shard")
        return shard


async def _account_names(
    conn: Connection, workspace_id: WorkspaceId, views: Iterable[ProfileView]
) -> dict[bytes, AccountName]:
    """Return the accounts that persons belong to, by the account's leaf."""
    leaves = {leaf for view in views for leaf in view.accounts}
    if not leaves:
        return {}
    found = await profiles_of(conn, workspace_id, leaves)
    names = await account_names(conn, workspace_id, set(found.values()))
    return {leaf: names[account] for leaf, account in found.items() if account in names}


async def group(rows: Iterable[ProfileRow]) -> dict[ProfileId, ProfileRows]:
    """Group rows by profile; other calls have their turn now and then."""
    profiles: dict[ProfileId, ProfileRows] = defaultdict(ProfileRows)
    for position, row in enumerate(rows, 1):
        if position % _ROWS_IN_A_TURN == 0:
            await asyncio.sleep(0)
        profile = profiles[row.profile_id]
        if row.identifier is not None:
            profile.identifiers.append(row.identifier)
        if row.state is not None:
            profile.leaves[row.leaf_id] = decode(row.state)
        else:
            profile.other_ids.append(IdentifierId(row.leaf_id))
    return profiles


async def with_objects(
    conn: Connection, views: Mapping[ProfileId, ProfileView]
) -> dict[ProfileId, ProfileView]:
    """Return persons with their related objects as they are now."""
    objects = await profile_store.load_objects(
        conn, {leaf for view in views.values() for leaf in view.accounts}
    )
    return {p: view.with_related(objects.of(view.accounts)) for p, view in views.items()}


def _accounts_of(view: ProfileView, names: Mapping[bytes, AccountName]) -> Sequence[AccountName]:
    """Return the accounts of one person, each once, by profile id."""
    own = (names[leaf] for leaf in view.accounts if leaf in names)
    return sorted({name.profile_id: name for name in own}.values())
