"""What is asked of people beside how they stand: as they were, what they did, why a rule holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.chassis.access.principal import region
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField, NotFound
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.rules.model import Rule
from services.kernel.tokens import Token
from services.profile.codec import bus as wire
from services.profile.domain.accounts import AccountName
from services.profile.domain.profile import Mark, Profile, Recalled, recall
from services.profile.domain.tags import Answer, Tag, answer, given, held
from services.profile.queries.profiles import ProfileQueries, Snapshot

#: The log takes as many in one question.
MOST_LEAVES = 1_000
MAX_ID = 128


@dataclass(frozen=True, slots=True)
class AsOf:
    """What the log knew: before a token, or up to an instant of its clock (Unix microseconds)."""

    token: Token | None = None
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether a rule holds for a person, and why."""

    holds: bool
    answers: Sequence[Answer]
    at_us: int


class Asking:
    """Questions that the event log answers; each is bound to a workspace."""

    def __init__(self, queries: ProfileQueries, log: LogClient) -> None:
        self._queries = queries
        self._log = log

    async def profile(self, workspace_id: WorkspaceId, id_: bytes, as_of: AsOf) -> Profile:
        """A person as the log knew them; who it is, is told by what identity knows now.

        Raises NotFound.
        """
        async with self._queries.snapshot() as at:
            profile_id, leaves = await self._find(at, workspace_id, id_)
            rules = given(await self._queries.tags(at, workspace_id))
        at_us = as_of.at_us or await self._clock_at(as_of.token or Token())
        facts = await self._facts(workspace_id, leaves, as_of)
        recalled = recall(wire.told(facts, region()), PredicateIndex.from_rules(rules.values()))
        if not recalled.leaf_ids:
            raise NotFound("nothing was known of this person then")
        _check_person(recalled)
        async with self._queries.snapshot() as at:
            accounts = await self._queries.accounts(at, workspace_id, recalled.view)
        return _profile(profile_id, recalled, held(rules, recalled.view, at_us), accounts)

    async def timeline(
        self, workspace_id: WorkspaceId, id_: bytes, size: int, after: Mark | None
    ) -> Sequence[Any]:
        """Facts about a person, newest first, at most `size` after a mark. Raises NotFound."""
        async with self._queries.snapshot() as at:
            _, leaves = await self._find(at, workspace_id, id_)
        before_us, seen = (after.occurred_at_us + 1, after.entries) if after else (0, 0)
        facts = await self._log.read_leaves(
            workspace_id, leaves[:MOST_LEAVES], before_us=before_us, limit=size + seen
        )
        if after is not None:
            facts = [f for f in facts if (f.occurred_at_us, f.fact_id) < after[:2]]
        return facts[:size]

    async def explain(self, workspace_id: WorkspaceId, id_: bytes, rule: Rule) -> Explained:
        """How a rule comes out for a person now, folded from the facts that this service has.

        Raises NotFound.
        """
        async with self._queries.snapshot() as at:
            _, leaves = await self._find(at, workspace_id, id_)
            token, now_us = at.token, at.now_us
        facts = await self._facts(workspace_id, leaves, AsOf(token))
        recalled = recall(wire.told(facts, region()), PredicateIndex.from_rules([rule]))
        _check_person(recalled)
        holds, answers = answer(rule, recalled.view, now_us)
        return Explained(holds, answers, now_us)

    async def tags(self, workspace_id: WorkspaceId) -> Sequence[Tag]:
        """The tags by id."""
        async with self._queries.snapshot() as at:
            return list((await self._queries.tags(at, workspace_id)).values())

    async def define(self, asked: Tag, timeout: float, *, dry_run: bool) -> tuple[Tag, bool, Token]:
        """The tag as it stands then, whether it changed, and the token that includes it.

        Raises InvalidField, EtagMismatch, TokenNotReached.
        """
        if not 0 < len(asked.tag_id) <= MAX_ID or not asked.tag_id.isprintable():
            raise InvalidField(f"tag_id has 1 to {MAX_ID} printable characters", field="tag.tag_id")
        # What was defined a moment ago may still be on its way to this service.
        head = await self._log.head()
        reached = await self._queries.reach(head, timeout)
        async with self._queries.snapshot() as at:
            present = (await self._queries.tags(at, asked.workspace_id)).get(asked.tag_id)
        if present is not None and present.says_the_same(asked):
            return present, False, reached
        version = present.version + 1 if present else 1
        changed = Tag(
            asked.workspace_id, asked.tag_id, version, asked.title, asked.rule, asked.retired
        )
        if dry_run:
            return changed, True, reached
        message = wire.tag_message(changed)
        token = await self._log.define(asked.workspace_id, asked.tag_id, version, message)
        return changed, True, token

    async def _find(
        self, at: Snapshot, workspace_id: WorkspaceId, id_: bytes
    ) -> tuple[ProfileId, list[LeafId]]:
        found = await self._queries.identifiers_of(at, workspace_id, id_)
        if found is None:
            raise NotFound("nobody is known by this; check the namespace and the value")
        return found

    async def _facts(
        self, workspace_id: WorkspaceId, leaves: Sequence[LeafId], as_of: AsOf
    ) -> list[Any]:
        facts: list[Any] = []
        for start in range(0, len(leaves), MOST_LEAVES):
            facts += await self._log.read_leaves(
                workspace_id,
                leaves[start : start + MOST_LEAVES],
                before=as_of.token,
                recorded_until_us=as_of.at_us,
            )
        return facts

    async def _clock_at(self, token: Token) -> int:
        """The log's clock at a token: the instant of the newest fact before it."""
        newest_us = 0
        for shard, offset in enumerate(token.offsets):
            if offset:
                async for facts in self._log.read(shard, offset - 1, offset):
                    newest_us = max(newest_us, *(fact.recorded_at_us for fact in facts))
        return newest_us


def _check_person(recalled: Recalled) -> None:
    if recalled.view.is_account:
        raise NotFound("this is an account: ask GetAccount")


def _profile(
    profile_id: ProfileId, recalled: Recalled, tags: Sequence[str], accounts: Sequence[AccountName]
) -> Profile:
    identifiers = sorted(recalled.identifiers)
    return Profile(profile_id, identifiers, recalled.view, tags, recalled.leaf_ids, accounts)
