"""Reads persons from the event log, as they are now or as they were in the past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.chassis.access.principal import region
from services.chassis.rpc.clients import IdentityClient, LogClient
from services.kernel.as_of import AsOf
from services.kernel.errors import NotFound
from services.kernel.fold.leaf import ProfileView
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.rules.model import Predicate
from services.kernel.tokens import Token
from services.profile.codec.log import decode_leaf_events
from services.profile.domain.objects import RelatedObjects, reads_objects
from services.profile.domain.profile import LeafEvent
from services.profile.domain.tags import WorkspaceDefinitions
from services.profile.queries.objects import (
    RelatedAccounts,
    past_accounts,
    present_accounts,
    read_objects,
)
from services.profile.queries.profiles import ProfileQueries
from services.profile.store.definitions import load_workspace

#: The most leaves that the log reads in one request.
MAX_LEAVES = 1_000


@dataclass(frozen=True, slots=True)
class PersonInLog:
    """A person, by the identifiers that belong together at some time, with the facts of then."""

    #: As it was at that time.
    profile_id: ProfileId
    #: Of the past only.
    identifiers: Sequence[Identifier]
    #: Decoded, in no order.
    events: Sequence[LeafEvent]
    #: The source of each fact.
    sources: dict[bytes, str]
    definitions: WorkspaceDefinitions
    #: The instant at which rules are evaluated, Unix microseconds.
    at_us: int
    as_of: AsOf
    #: Whether the state is one of the past; else it is the one that the service has folded.
    is_past: bool
    #: The state of the log that was read.
    token: Token


@dataclass(frozen=True, slots=True)
class PastReader:
    """Reads persons from the log; each call is bound to a workspace."""

    queries: ProfileQueries
    log: LogClient
    identity: IdentityClient
    index_key: IndexKey

    async def person(
        self, workspace_id: WorkspaceId, id_: bytes, as_of: AsOf | None
    ) -> PersonInLog:
        """Return a person by an identifier or a profile id; None = as known to the service now.

        As of a token, by the facts, the policy of identity and the definitions before it. As of an
        instant, by all facts that occurred up to it, with the policy and the definitions of now.
        Raises NotFound.
        """
        identifiers, is_past = dict[LeafId, Identifier](), as_of is not None
        if as_of is None:
            async with self.queries.snapshot() as at:
                profile_id, leaves = await self.queries.identifiers_of(at, workspace_id, id_)
                definitions = await load_workspace(at.conn, workspace_id)
                as_of, at_us, token = AsOf(at.token), at.now_us, at.token
        else:
            profile_id, identifiers = await self.identity.past_profile(workspace_id, id_, as_of)
            leaves, at_us = list(identifiers), as_of.occurred_until_us
            if as_of.token is not None:
                at_us = await self._clock_at(as_of.token)
            async with self.queries.snapshot() as at:
                definitions = await load_workspace(at.conn, workspace_id, as_of.token)
                token = as_of.token or at.token
        facts = await self._facts(workspace_id, leaves, as_of)
        return PersonInLog(
            profile_id,
            sorted(identifiers.values()),
            list(decode_leaf_events(facts, region(), self.index_key)),
            {fact.fact_id: fact.source_id for fact in facts},
            definitions,
            at_us,
            as_of,
            is_past,
            token,
        )

    async def accounts(
        self, workspace_id: WorkspaceId, person: PersonInLog, view: ProfileView
    ) -> RelatedAccounts:
        """Return the accounts and objects of a person as they were then. Raises TooLarge."""
        leaves = view.accounts
        if not leaves:
            return RelatedAccounts({})
        if person.is_past:
            return await past_accounts(self.identity, workspace_id, leaves, person.as_of)
        async with self.queries.snapshot() as at:
            return await present_accounts(at, workspace_id, leaves)

    async def objects(
        self,
        workspace_id: WorkspaceId,
        person: PersonInLog,
        accounts: RelatedAccounts,
        needed: Iterable[Predicate],
    ) -> RelatedObjects:
        """Return the related objects that predicates read, as they were then."""
        if not accounts.profile_of or not reads_objects(needed):
            return RelatedObjects()

        async def read_facts(leaves: Sequence[LeafId]) -> Sequence[Any]:
            return await self._facts(workspace_id, leaves, person.as_of)

        return await read_objects(accounts, read_facts, self.index_key)

    async def _facts(
        self, workspace_id: WorkspaceId, leaves: Sequence[LeafId], as_of: AsOf
    ) -> list[Any]:
        facts: list[Any] = []
        for start in range(0, len(leaves), MAX_LEAVES):
            facts += await self.log.read_leaves(
                workspace_id,
                leaves[start : start + MAX_LEAVES],
                before=as_of.token,
                before_us=as_of.before_us,
            )
        return facts

    async def _clock_at(self, token: Token) -> int:
        """Return the log's clock at a token: the time of the newest fact before it."""
        newest_us = 0
        for shard, offset in enumerate(token.offsets):
            if offset:
                async for facts in self.log.read(shard, offset - 1, offset):
                    newest_us = max(newest_us, *(fact.recorded_at_us for fact in facts))
        return newest_us


def check_person(view: ProfileView) -> None:
    """Raise NotFound where a profile is an account."""
    if view.is_account:
        raise NotFound("this is an account; call GetAccount")
