"""What is asked of accounts: what they are, where they stand, who belongs to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from services.kernel.errors import InvalidField, NotFound
from services.kernel.fold.leaf import decode, view_of
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.model import Rule
from services.profile.domain.accounts import (
    Account,
    AccountName,
    Found,
    Members,
    RolledUp,
    Stated,
    Tree,
    series_of,
    stated_names,
)
from services.profile.queries.profiles import Held, ProfileQueries, Snapshot, group
from services.profile.store import accounts
from services.profile.store import profiles as people_store

#: Children in one answer.
MOST_CHILDREN = 1_000
#: Profiles whose states are in memory at once.
CHUNK = 500
#: How far up parents are looked for; a longer circle is not seen.
MOST_ABOVE = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccountAsked:
    """What is asked of one account."""

    workspace_id: WorkspaceId
    #: Of one of its identifiers, or an id it has or had.
    id: bytes
    #: At most so many members, of those after one.
    page_size: int
    after: bytes = b""
    #: What to evaluate over all members together.
    rules: Sequence[Rule] = ()
    include_children: bool = False


class AccountQueries:
    """Reads of the live state."""

    def __init__(self, queries: ProfileQueries) -> None:
        self._queries = queries

    async def find(self, asked: AccountAsked) -> tuple[Found, Snapshot]:
        """An account with what lies around it, and the state that was read.

        Raises NotFound, and InvalidField where a rule counts what is not counted yet.
        """
        async with self._queries.snapshot() as at:
            reading = Reading(at, asked.workspace_id)
            found = await people_store.resolve(at.conn, asked.workspace_id, [asked.id])
            profile_id = found.get(asked.id, ProfileId(asked.id))
            [held] = await reading.held([profile_id])
            tree = await reading.tree_above([profile_id])
            children = await reading.children([profile_id], tree)
            if not held.leaves and (held.identifiers or not children):
                raise NotFound("no account is known by this; check the namespace and the value")
            [account] = await reading.accounts([profile_id], [held], tree)
            names = await reading.names(children[:MOST_CHILDREN])
            members = await reading.members(held, asked.after, asked.page_size)
            rolled_up = None
            if not asked.after:
                below = await reading.below(profile_id, tree) if asked.include_children else []
                rolled_up = await reading.roll_up([profile_id, *below], asked.rules)
            return Found(account, names, members, rolled_up), at

    async def page(
        self, workspace_id: WorkspaceId, after: bytes, size: int
    ) -> tuple[Sequence[Account], bytes, Snapshot]:
        """Accounts after a leaf, the leaf after which there are more (or nothing), the state."""
        async with self._queries.snapshot() as at:
            reading = Reading(at, workspace_id)
            rows = await accounts.list_accounts(at.conn, workspace_id, after, size + 1)
            profiles = [profile_id for _, profile_id in rows[:size]]
            held = await reading.held(profiles)
            tree = await reading.tree_above(profiles)
            told = await reading.accounts(profiles, held, tree)
            return told, rows[size - 1][0] if len(rows) > size else b"", at


class Reading(NamedTuple):
    """One state of one workspace, as it is read."""

    at: Snapshot
    workspace_id: WorkspaceId

    async def held(self, profiles: Sequence[ProfileId]) -> list[Held]:
        """What is kept of these accounts: nothing of one that was only named as a parent, nor of a
        person."""
        rows = group(await people_store.load_people(self.at.conn, self.workspace_id, profiles))
        found = [rows.get(profile_id, Held()) for profile_id in profiles]
        for held in found:
            if not view_of(held.leaves.values()).is_account:
                held.leaves.clear()
        return found

    async def tree_above(self, profiles: Iterable[ProfileId]) -> Tree:
        """What is stated of these accounts' parents, and of all that lie above them."""
        stated: dict[ProfileId, Stated] = {}
        rest = set(profiles)
        for _ in range(MOST_ABOVE):
            if not rest:
                break
            found = await accounts.parents(self.at.conn, self.workspace_id, rest)
            stated |= found
            rest = {ProfileId(s.above) for s in found.values() if s.above} - stated.keys()
        return Tree(stated)

    async def children(self, above: Collection[ProfileId], tree: Tree) -> list[ProfileId]:
        """The accounts right below these; `tree` holds all that lies above these."""
        candidates = await accounts.stating(self.at.conn, self.workspace_id, above)
        stated = await accounts.parents(self.at.conn, self.workspace_id, candidates)
        wanted = set[bytes](above)
        return [a for a in candidates if stated[a].above in wanted and not tree.refused(a)]

    async def below(self, account: ProfileId, tree: Tree) -> list[ProfileId]:
        """All accounts below one, at every depth, each once."""
        seen: dict[ProfileId, None] = {account: None}
        level: Collection[ProfileId] = [account]
        while level:
            found: list[ProfileId] = []
            for part in _chunks(list(level)):
                found += await self.children(part, tree)
            level = [child for child in found if child not in seen]
            seen |= dict.fromkeys(level)
        return list(seen)[1:]

    async def accounts(
        self, profiles: Sequence[ProfileId], held: Sequence[Held], tree: Tree
    ) -> list[Account]:
        """These accounts, as told outside."""
        above = {p: (tree.parent(p), tree.refused(p)) for p in profiles}
        named = {p for pair in above.values() for p in pair if p is not None}
        names = {name.profile_id: name for name in await self.names(sorted(named))}
        told: list[Account] = []
        for profile_id, one in zip(profiles, held, strict=True):
            parent, refused = (names.get(p) if p else None for p in above[profile_id])
            view, leaves = view_of(one.leaves.values()), sorted(one.leaves)
            if parent is not None and not parent.account_ids:
                parent = parent._replace(account_ids=stated_names(view))
            told.append(Account(profile_id, one.identifiers, view, leaves, parent, refused))
        return told

    async def names(self, profiles: Sequence[ProfileId]) -> list[AccountName]:
        """These accounts, named, in the same order."""
        known = await accounts.account_names(self.at.conn, self.workspace_id, profiles)
        return [known.get(p, AccountName(p, ())) for p in profiles]

    async def members(self, held: Held, after: bytes, size: int) -> Members:
        """Members of an account, at most `size` after one."""
        leaves = view_of(held.leaves.values()).members
        found = await accounts.page_of_profiles(
            self.at.conn, self.workspace_id, leaves, after, size + 1
        )
        return Members(found[:size], len(found) > size)

    async def roll_up(self, profiles: Sequence[ProfileId], rules: Sequence[Rule]) -> RolledUp:
        """All members of these accounts together. Of all of them their ids are in memory at once,
        and of a few their states. Raises InvalidField."""
        await self._check_counted(rules)
        rolled_up = RolledUp(rules, self.at.now_us, accounts=len(profiles))
        members = await self._members_of(profiles)
        rolled_up.members = len(members)
        for part in _chunks(sorted(members)):
            states = await accounts.states_of(self.at.conn, self.workspace_id, part)
            rolled_up.take(map(decode, states))
        return rolled_up

    async def _members_of(self, profiles: Sequence[ProfileId]) -> set[ProfileId]:
        """The members of these accounts as the profiles they are now, each once."""
        conn, workspace_id = self.at.conn, self.workspace_id
        found: set[ProfileId] = set()
        for part in _chunks(profiles):
            for state in await accounts.states_of(conn, workspace_id, part):
                for leaves in _chunks(view_of([decode(state)]).members):
                    found.update((await people_store.resolve(conn, workspace_id, leaves)).values())
        return found

    async def _check_counted(self, rules: Sequence[Rule]) -> None:
        asked = [series_of(rule) for rule in rules]
        shards = len(self.at.positions)
        whole = await accounts.whole_series(
            self.at.conn, self.workspace_id, shards, frozenset[int]().union(*asked)
        )
        for index, needed in enumerate(asked):
            if not needed <= whole:
                raise InvalidField(
                    "what this rule counts is not counted yet: define it as a tag or a segment, "
                    "and wait until that is live",
                    field=f"rules[{index}]",
                )


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
