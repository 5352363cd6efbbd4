"""The reading side: people as they stand now, and what was said of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import StreamMessage
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.checkpoint import Checkpoint, load_checkpoints, token_of
from services.chassis.projection.runner import ProjectionRunner
from services.kernel.errors import InvalidField
from services.kernel.fold.leaf import LeafState, ProfileView, decode, view_of
from services.kernel.identifiers import Identifier
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.tokens import Token
from services.profile.codec import bus as wire
from services.profile.domain.accounts import AccountName
from services.profile.domain.backfill import Key
from services.profile.domain.model import Standing
from services.profile.domain.profile import Profile
from services.profile.domain.tags import Tag, given, held, newest
from services.profile.store import postgres as store
from services.profile.store import profiles as people_store
from services.profile.store.accounts import account_names
from services.profile.store.postgres import Connection

#: Standings in one message.
PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent state of all shards."""

    conn: Connection
    positions: Sequence[Checkpoint]

    @property
    def token(self) -> Token:
        """The state of the log that it has reached."""
        return token_of(self.positions)

    @property
    def now_us(self) -> int:
        """The log's clock, Unix microseconds."""
        return max(position.log_time_us for position in self.positions)


@dataclass(frozen=True, slots=True)
class Standings:
    """How profiles of a shard stand: a page, and from where to follow on."""

    position: Checkpoint
    page: Sequence[Standing] = ()
    #: In the first page only: facts that concern no person, serialised, and live predicates.
    facts: Sequence[bytes] = ()
    live: Sequence[Key] = ()


@dataclass(slots=True)
class Held:
    """What the rows of one profile tell."""

    identifiers: list[Identifier] = field(default_factory=list)
    leaves: dict[LeafId, LeafState] = field(default_factory=dict)


class ProfileQueries:
    """Reads of the live state; those for people are bound to a workspace by the caller's key."""

    def __init__(self, database: Database, runner: ProjectionRunner) -> None:
        self._database = database
        self._runner = runner

    async def reach(self, token: Token | None, timeout: float) -> Token:
        """The state that reads see now, once it includes `token`. Raises TokenNotReached."""
        if token is None:
            return await self._runner.token()
        return await self._runner.wait_for(token, timeout)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """One state, whatever is folded meanwhile. Raises StoreUnavailable."""
        async with (
            acquire(self._database.pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield Snapshot(conn, await load_checkpoints(conn))

    async def people(
        self, at: Snapshot, workspace_id: WorkspaceId, ids: Sequence[bytes]
    ) -> list[Profile]:
        """The profiles that ids of identifiers, or (also old) profile ids, lead to: each once, in
        order; ids that lead nowhere are left out."""
        found = await people_store.resolve(at.conn, workspace_id, ids)
        wanted = list(dict.fromkeys(found[id_] for id_ in ids if id_ in found))
        rows = group(await people_store.load_people(at.conn, workspace_id, wanted))
        return await self._told(at, workspace_id, {who: rows[who] for who in wanted})

    async def page(
        self, workspace_id: WorkspaceId, after: bytes, size: int
    ) -> tuple[list[Profile], bytes, Snapshot]:
        """Persons after a profile, by id; the one after which there are more (or nothing); the
        state that was read."""
        async with self.snapshot() as at:
            rows = await people_store.list_people(at.conn, workspace_id, after, size + 1)
            held = group(rows)
            page = dict(islice(held.items(), size))
            more = max(page) if len(held) > size else b""
            return await self._told(at, workspace_id, page), more, at

    async def _told(
        self, at: Snapshot, workspace_id: WorkspaceId, rows: Mapping[ProfileId, Held]
    ) -> list[Profile]:
        """The persons among these, as told outside."""
        live = await store.live_predicates(at.conn, workspace_id, len(at.positions))
        rules = given(await self.tags(at, workspace_id), live)
        views = {who: view_of(held.leaves.values()) for who, held in rows.items() if held.leaves}
        people = {who: view for who, view in views.items() if not view.is_account}
        accounts = await self._accounts(at, workspace_id, people.values())
        return [
            Profile(
                profile_id,
                rows[profile_id].identifiers,
                view,
                held(rules, view, at.now_us),
                sorted(rows[profile_id].leaves),
                _named(view, accounts),
            )
            for profile_id, view in people.items()
        ]

    async def accounts(
        self, at: Snapshot, workspace_id: WorkspaceId, view: ProfileView
    ) -> Sequence[AccountName]:
        """The accounts that a person belongs to, by profile id."""
        return _named(view, await self._accounts(at, workspace_id, [view]))

    async def _accounts(
        self, at: Snapshot, workspace_id: WorkspaceId, views: Iterable[ProfileView]
    ) -> dict[bytes, AccountName]:
        """The accounts that people belong to, by the leaves that tell so."""
        leaves = {leaf for view in views for leaf in view.accounts}
        if not leaves:
            return {}
        found = await people_store.resolve(at.conn, workspace_id, leaves)
        names = await account_names(at.conn, workspace_id, set(found.values()))
        return {leaf: names[who] for leaf, who in found.items() if who in names}

    async def identifiers_of(
        self, at: Snapshot, workspace_id: WorkspaceId, id_: bytes
    ) -> tuple[ProfileId, list[LeafId]] | None:
        """The profile that an id leads to, and the ids of its identifiers: facts may lie under any
        of them. None where it leads nowhere."""
        found = await people_store.resolve(at.conn, workspace_id, [id_])
        if id_ not in found:
            return None
        rows = await people_store.load_people(at.conn, workspace_id, [found[id_]])
        return found[id_], [row.leaf_id for row in rows]

    async def tags(self, at: Snapshot, workspace_id: WorkspaceId) -> dict[str, Tag]:
        """The newest version of each tag, by id."""
        facts = await store.workspace_definitions(at.conn, workspace_id, wire.TAG_DEFINED)
        return newest(wire.tags(facts))

    async def said(self, shard: int, first: int, until: int) -> AsyncGenerator[StreamMessage]:
        """What was said on the bus. Raises InvalidField, RangeGone."""
        outbox = Outbox(self._database.pool)
        async for message in outbox.stream(self._check(shard), first, until):
            yield message

    async def standings(self, shard: int) -> AsyncGenerator[Standings]:
        """How every profile of a shard stands; at least one page. Raises InvalidField."""
        self._check(shard)
        async with self.snapshot() as at:
            position = at.positions[shard]
            facts = await store.shard_definitions(at.conn, shard)
            live = await store.shard_live_predicates(at.conn, shard)
            yield Standings(position, facts=facts, live=live)
            page: list[Standing] = []
            async for standing in store.shard_standings(at.conn, shard, prefetch=PAGE):
                page.append(standing)
                if len(page) == PAGE:
                    yield Standings(position, page)
                    page = []
            if page:
                yield Standings(position, page)

    def _check(self, shard: int) -> int:
        if shard >= self._runner.shards:
            raise InvalidField(f"there are {self._runner.shards} shards", field="shard")
        return shard


def group(rows: Iterable[people_store.PersonRow]) -> dict[ProfileId, Held]:
    """The rows of each profile."""
    people: dict[ProfileId, Held] = defaultdict(Held)
    for row in rows:
        person = people[row.profile_id]
        if row.identifier is not None:
            person.identifiers.append(row.identifier)
        if row.state is not None:
            person.leaves[row.leaf_id] = decode(row.state)
    return people


def _named(view: ProfileView, accounts: Mapping[bytes, AccountName]) -> Sequence[AccountName]:
    """The accounts of one person, each once, by profile id."""
    mine = (accounts[leaf] for leaf in view.accounts if leaf in accounts)
    return sorted({name.profile_id: name for name in mine}.values())
