"""Carries erasures of persons out in the log, and lists them.

The facts of a person are overwritten in pages while others append. What has arrived meanwhile is
overwritten in the transaction that appends `PersonErased` under the locks of all shards: so before
that fact there is nothing of the person, and after it a new life. Every step can be repeated: what
is overwritten is not found again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import asyncpg
import structlog

from services.chassis.codec.erasures import PERSON_ERASED
from services.chassis.postgres.database import acquire, lock_class, transaction
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat
from services.ingest.codec import erasure as codec
from services.ingest.domain.erasure import (
    NO_IDS,
    ErasedPerson,
    ErasureRequest,
    ErasureStatus,
    ErasureTotals,
    WorkspaceIds,
)
from services.ingest.domain.facts import NewFact
from services.ingest.domain.offsets import AppendRequest, ShardHeads
from services.ingest.log import EventLog
from services.ingest.log.writer import AppendGuard
from services.ingest.projection.definitions import DefinitionProjection
from services.ingest.store import erasures as store
from services.ingest.store.definitions import DefinitionStore
from services.ingest.store.erasures import ErasureStore, NewContent, StoredFact
from services.ingest.store.quarantine import delete_entries, quarantined_event
from services.ingest.store.receipts import ErasureReceipts
from services.kernel.errors import TokenNotReached
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.ids import LeafId, WorkspaceId, parse_id
from services.kernel.index_key import IndexKey
from services.kernel.time import SECOND_US

log = structlog.get_logger(__name__)

#: Facts that are overwritten in one transaction.
PAGE = 500
#: Refused events that are read at a time.
REFUSED_PAGE = 100
#: The offsets of a shard that may be left for the transaction that holds the locks of the log.
FEW = 200
#: Where facts arrive as fast as they are searched, the rest is searched under the locks after this
#: number of rounds.
MOST_ROUNDS = 20
#: Before every fact of a leaf: (occurred at, offset).
_FIRST = (-(2**62), -1)
_LOCK = lock_class("ingest erasures")


@dataclass(frozen=True, slots=True)
class ErasureCommands:
    """Lists erasures, and carries out those that were requested."""

    event_log: EventLog
    pool: asyncpg.Pool
    store: ErasureStore
    definitions: DefinitionStore
    receipts: ErasureReceipts
    #: How often each process reads which identifiers are blocked, seconds.
    poll_s: float

    @property
    def index_key(self) -> IndexKey:
        """The key that certificates are signed with."""
        return self.event_log.index_key

    async def listed(
        self, workspace_id: WorkspaceId, request_id: str, limit: int
    ) -> list[ErasureStatus]:
        """Return the erasures of a workspace, the newest first; one of them, if it is named."""
        id_ = parse_id(request_id, "request_id") if request_id else None
        return await self.store.newest(workspace_id, id_, limit)

    async def replay_receipts(self) -> int:
        """Request the erasures again that a restored log has not; return their number.

        A receipt is outside of the database, so it outlasts the restore of a backup.
        """
        receipts = self.receipts.read()
        known = await self.store.known([one.request_id for one in receipts])
        lost = [one for one in receipts if one.request_id not in known]
        if lost:
            # The log may have been restored to a state before that by which they were found.
            ends = (await self.event_log.heads()).token.offsets
            facts = [
                codec.requested_fact(_known_to_at_most(one, ends), self.event_log.index_key)
                for one in lost
            ]
            await self.event_log.append(facts)
            log.warning("erasures_requested_again", erasures=len(lost))
        return len(lost)

    async def carry_out(self) -> int:
        """Carry out the requested erasures; return their number.

        One replica does, and the others return 0.
        """
        if not await self.store.pending():
            return 0
        async with acquire(self.pool) as conn:
            if not await conn.fetchval(store.Q.try_lock, _LOCK):
                return 0
            try:
                pending = await self.store.pending()
                for request in pending:
                    await self._carry_out(request)
            finally:
                await conn.fetchval(store.Q.unlock, _LOCK)
        return len(pending)

    async def _carry_out(self, request: ErasureRequest) -> None:
        self.receipts.add(request)
        if request.block:
            # Until all processes of ingest know that its events are refused.
            waited_s = (self.event_log.clock.now_us() - request.requested_at_us) / SECOND_US
            await asyncio.sleep(max(0.0, 2 * self.poll_s - waited_s))
        person = await self._person(request)
        async with acquire(self.pool) as conn:
            await self.event_log.kinds.ensure(conn, [codec.EVENT, PERSON_ERASED, codec.FACT_ERASED])
        step = _Overwriting(self.event_log, self.pool, request, person)
        await step.erase_own()
        await step.erase_from_others()
        await step.erase_from_erased()
        await step.erase_refused()
        await step.catch_up()
        await step.append()
        log.info("person_erased", workspace=request.workspace_id, request=request.request_id.hex())

    async def _person(self, request: ErasureRequest) -> ErasedPerson:
        workspace = await self.definitions.workspace(request.workspace_id)
        region = workspace.default_region if workspace else ""
        ids = frozenset(request.identifier_ids)
        key = self.event_log.index_key
        return ErasedPerson(request.workspace_id, region or DEFAULT_REGION, ids, key)


def _known_to_at_most(request: ErasureRequest, ends: Iterable[int]) -> ErasureRequest:
    """Return a request by which facts are searched from at most these offsets of the shards on."""
    return request._replace(known_to=tuple(map(min, request.known_to, ends)))


async def carrying_out(erasures: ErasureCommands, definitions: DefinitionProjection) -> None:
    """Carry out what is requested, until cancelled."""

    async def step() -> None:
        await asyncio.sleep(erasures.poll_s)
        await definitions.refresh()
        await erasures.carry_out()

    await repeat("carrying out erasures", step, Backoff())


def guard_of(index_key: IndexKey) -> AppendGuard:
    """Return the guard of a log: a service that has not folded an erasure appends nothing about
    the person, or it would bring parts of the old life back.

    It holds the locks of the shards, so each erasure is committed, or will overwrite the fact.
    """

    async def guard(
        conn: asyncpg.Connection, requests: Sequence[AppendRequest]
    ) -> dict[int, TokenNotReached]:
        derived = [request for request in requests if request.known_us]
        workspaces = {fact.workspace_id for request in derived for fact in request.facts}
        oldest_us = min(request.known_us for request in derived)
        if not await store.erased_after(conn, workspaces, oldest_us):
            return {}
        refused: dict[int, TokenNotReached] = {}
        for index, request in enumerate(requests):
            if request.known_us:
                erased = await store.erased_after(conn, workspaces, request.known_us)
                if any(_names(fact, erased, index_key) for fact in request.facts):
                    refused[index] = TokenNotReached(
                        "a fact names a person whose erasure the caller has not folded:"
                        " fold it, then repeat the call"
                    )
        return refused

    return guard


def _names(fact: NewFact, erased: WorkspaceIds, index_key: IndexKey) -> bool:
    ids = erased.get(fact.workspace_id, NO_IDS)
    return bool(ids) and codec.names_person_of(fact, ids, index_key)


class _Overwriting:
    """The erasure of one person."""

    def __init__(
        self, event_log: EventLog, pool: asyncpg.Pool, request: ErasureRequest, person: ErasedPerson
    ) -> None:
        self._log = event_log
        self._pool = pool
        self._request = request
        self._person = person
        self._event_kind = event_log.kinds.ids[codec.EVENT]
        #: By shard, the offset up to which facts of all leaves were searched.
        self._searched: list[int] = [*request.known_to, *([0] * event_log.shards)]
        #: The values of the person's identifiers by which refused events were searched.
        self._values: set[str] = set()

    async def erase_own(self) -> None:
        """Overwrite the facts of the person's leaves that are in the log now."""
        while True:
            async with transaction(self._pool) as conn:
                facts = await store.own_facts(conn, self._request, PAGE)
                await self._delete_refused(conn, await self._overwrite(conn, facts))
            if len(facts) < PAGE:
                return

    async def erase_from_others(self) -> None:
        """Remove the person from the facts of leaves of others."""
        workspace_id = self._request.workspace_id
        left = [(leaf_id, _FIRST) for leaf_id in self._request.related_ids]
        while left:
            async with transaction(self._pool) as conn:
                # Most leaves have few facts: a transaction for each would write the ids of those
                # before it again.
                facts: list[StoredFact] = []
                while left and len(facts) < PAGE:
                    leaf_id, after = left.pop()
                    page = await store.facts_of_leaf(conn, workspace_id, leaf_id, after, PAGE)
                    if len(page) == PAGE:
                        left.append((leaf_id, (page[-1].occurred_at_us, page[-1].offset)))
                    facts += page
                await self._delete_refused(conn, await self._overwrite(conn, facts))

    async def erase_from_erased(self) -> None:
        """Remove the person from what earlier erasures have left of facts."""
        while True:
            async with transaction(self._pool) as conn:
                facts = await store.erased_facts(conn, self._request, PAGE)
                await self._delete_refused(conn, await self._overwrite(conn, facts))
                await store.delete_names(conn, self._request, facts)
            if len(facts) < PAGE:
                return

    async def erase_refused(self) -> None:
        """Delete the refused events that name the person in another spelling than its facts."""
        after = (-1, b"")
        while True:
            async with transaction(self._pool) as conn:
                rows = await store.refused_after(
                    conn, self._request.workspace_id, after, REFUSED_PAGE
                )
                named = [
                    row for row in rows if codec.names_person(quarantined_event(row), self._person)
                ]
                await self._count_refused(conn, await delete_entries(conn, named))
            if len(rows) < REFUSED_PAGE:
                return
            after = (rows[-1]["received_at"], rows[-1]["quarantine_id"])

    async def catch_up(self) -> None:
        """Search what was appended since the identifiers were found, but for a few facts."""
        for _ in range(MOST_ROUNDS):
            heads = (await self._log.heads()).token.offsets
            if all(end - first <= FEW for first, end in zip(self._searched, heads, strict=False)):
                return
            for shard, end in enumerate(heads):
                while self._searched[shard] < end:
                    async with transaction(self._pool) as conn:
                        to = min(end, self._searched[shard] + PAGE)
                        await self._delete_refused(conn, await self._search(conn, shard, to))

    async def append(self) -> None:
        """Search the few facts that are left while nothing is appended, and append the end.

        The quarantine is not searched under the locks of the log, but after them.
        """
        values: set[str] = set()
        kinds = [PERSON_ERASED, codec.FACT_ERASED]
        await self._log.append_under_locks(kinds, partial(self._finish, values))
        async with transaction(self._pool) as conn:
            await self._delete_refused(conn, values)

    async def _finish(
        self, values: set[str], conn: asyncpg.Connection, heads: ShardHeads
    ) -> NewFact:
        """Overwrite what is left in an open transaction that holds the locks; add the values."""
        while facts := await store.own_facts(conn, self._request, PAGE):
            values |= await self._overwrite(conn, facts)
        for shard, end in heads.next.items():
            values |= await self._search(conn, shard, end)
        totals = await store.add_totals(conn, self._request, ErasureTotals())
        token = [heads.next[shard] + 1 for shard in range(self._log.shards)]
        key = (self._request.workspace_id, self._request.request_id)
        await store.mark_erased(conn, *key, heads.instant_us, token)
        return codec.erased_fact(self._request, totals, self._log.index_key)

    async def _search(self, conn: asyncpg.Connection, shard: int, end: int) -> set[str]:
        first = self._searched[shard]
        if first >= end:
            return set()
        facts = await store.facts_in_range(conn, self._request.workspace_id, shard, first, end)
        self._searched[shard] = end
        return await self._overwrite(conn, facts)

    async def _delete_refused(self, conn: asyncpg.Connection, values: set[str]) -> None:
        """Delete refused events with values that were not searched yet."""
        searched = codec.searched_values(values - self._values)
        self._values |= values
        if searched:
            found = await store.refused_with(conn, self._request.workspace_id, searched)
            await self._count_refused(conn, await delete_entries(conn, found))

    async def _count_refused(self, conn: asyncpg.Connection, deleted: int) -> None:
        if deleted:
            await store.add_totals(conn, self._request, ErasureTotals(refused_events=deleted))

    async def _overwrite(self, conn: asyncpg.Connection, facts: Iterable[StoredFact]) -> set[str]:
        """Overwrite the facts among these that name the person, and the accounts' copies of them;
        return the values of the person's identifiers that they had."""
        facts = list(facts)
        if not {fact.kind_id for fact in facts} <= self._log.kinds.names.keys():
            await self._log.kinds.reload(conn)  # another replica has added a kind
        contents: list[NewContent] = []
        accounts: set[tuple[bytes, int]] = set()
        values: set[str] = set()
        own = self._add(facts, contents, accounts, values)
        if accounts:
            copies = await store.account_facts(conn, self._request.workspace_id, accounts)
            self._add(copies, contents, set(), values)
        if not contents:
            return values
        by_place = {one[:2]: one for one in contents}
        await store.overwrite(conn, self._request.workspace_id, list(by_place.values()))
        found = frozenset(leaf_id for leaf_id, _ in accounts)
        changed = frozenset(one.leaf_id for one in contents if one.kind_id == self._event_kind)
        more = ErasureTotals(own, len(by_place) - own, 0, found, changed - found)
        await store.add_totals(conn, self._request, more)
        return values

    def _add(
        self,
        facts: Iterable[StoredFact],
        contents: list[NewContent],
        accounts: set[tuple[bytes, int]],
        values: set[str],
    ) -> int:
        """Add what takes the place of facts; return how many were the person's own."""
        kinds = self._log.kinds
        own = 0
        for fact in facts:
            kind = kinds.names[fact.kind_id]
            new = codec.overwrite(kind, fact.leaf_id, fact.payload, self._person)
            if new is None:
                continue
            own += fact.leaf_id in self._person.ids
            values |= new.values
            if new.account is not None:
                accounts.add((new.account, fact.occurred_at_us))
            leaf_id = LeafId(secrets.token_bytes(16)) if new.loses_leaf else fact.leaf_id
            place, kind_id = (fact.shard, fact.offset), kinds.ids[new.kind]
            contents.append(NewContent(*place, kind_id, leaf_id, new.payload, new.left))
        return own
