"""Reads accounts: their parents and children, their members, and roll-ups over members."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from services.kernel.errors import InvalidField, NotFound
from services.kernel.fold.leaf import decode, view_of
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.model import Rule
from services.profile.domain import accounts as model
from services.profile.queries.profiles import ProfileQueries, ProfileRows, group
from services.profile.store import profiles as profile_store
from services.profile.store.definitions import backfilled_accumulators
from services.profile.store.profiles import Snapshot, load_profiles, profiles_of

#: The most children in one response.
MAX_CHILDREN = 1_000
#: The most profiles whose states are in memory at the same time.
CHUNK = 500
#: The most ancestors that are read; a longer cycle is not detected.
MAX_ANCESTORS = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """A request for one account."""

    workspace_id: WorkspaceId
    #: The id of one of its identifiers, or a profile id, also an old one.
    id: bytes
    #: The most members to return, of those after a profile id.
    page_size: int
    after: bytes = b""
    #: Evaluated over all members together.
    rules: Sequence[Rule] = ()
    include_children: bool = False


async def get_account(
    queries: ProfileQueries, request: AccountRequest
) -> tuple[model.AccountDetails, Snapshot]:
    """Return an account and the state that was read.

    Raises NotFound, and InvalidField where the accumulator of a rule is not backfilled.
    """
    async with queries.snapshot() as at:
        reader = AccountReader(at, request.workspace_id)
        found = await profiles_of(at.conn, request.workspace_id, [request.id])
        profile_id = found.get(request.id, ProfileId(request.id))
        [rows] = await reader.rows([profile_id])
        tree = await reader.ancestors([profile_id])
        children = await reader.children([profile_id], tree)
        if not rows.leaves and (rows.identifiers or not children):
            raise NotFound("no account has this identifier; check namespace and value")
        [account] = await reader.accounts([profile_id], [rows], tree)
        names = await reader.names(children[:MAX_CHILDREN])
        members, last = await reader.members(rows, request.after, request.page_size)
        roll_up = None
        if not request.after:
            descendants: list[ProfileId] = []
            if request.include_children:
                descendants = await reader.descendants(profile_id, tree)
            roll_up = await reader.roll_up([profile_id, *descendants], request.rules)
        return model.AccountDetails(account, names, members, last, roll_up), at


async def account_page(
    queries: ProfileQueries, workspace_id: WorkspaceId, after: bytes, size: int
) -> tuple[Sequence[model.Account], bytes, Snapshot]:
    """Return the accounts after a leaf, and the state that was read.

    The second value is the last leaf of the page; b"" where the page is the last one.
    """
    async with queries.snapshot() as at:
        reader = AccountReader(at, workspace_id)
        found = await profile_store.list_accounts(at.conn, workspace_id, after, size + 1)
        profiles = [profile_id for _, profile_id in found[:size]]
        rows = await reader.rows(profiles)
        tree = await reader.ancestors(profiles)
        accounts = await reader.accounts(profiles, rows, tree)
        return accounts, found[size - 1][0] if len(found) > size else b"", at


class AccountReader(NamedTuple):
    """Reads accounts of one workspace in one state."""

    at: Snapshot
    workspace_id: WorkspaceId

    async def rows(self, profiles: Sequence[ProfileId]) -> list[ProfileRows]:
        """Return the rows of accounts, without leaves for a person or an account only named as a
        parent."""
        found = await group(await load_profiles(self.at.conn, self.workspace_id, profiles))
        rows = [found.get(profile_id, ProfileRows()) for profile_id in profiles]
        for own in rows:
            if not view_of(own.leaves.values()).is_account:
                own.leaves.clear()
        return rows

    async def ancestors(self, profiles: Iterable[ProfileId]) -> model.AccountTree:
        """Return the tree of these accounts and all their ancestors."""
        stated: dict[ProfileId, model.StatedParent] = {}
        rest = set(profiles)
        for _ in range(MAX_ANCESTORS):
            if not rest:
                break
            found = await profile_store.stated_parents(self.at.conn, self.workspace_id, rest)
            stated |= found
            rest = {ProfileId(s.parent) for s in found.values() if s.parent} - stated.keys()
        return model.AccountTree(stated)

    async def children(
        self, parents: Collection[ProfileId], tree: model.AccountTree
    ) -> list[ProfileId]:
        """Return the children of accounts; `tree` has all ancestors of the accounts."""
        conn, workspace_id = self.at.conn, self.workspace_id
        candidates = await profile_store.accounts_with_parent(conn, workspace_id, parents)
        stated = await profile_store.stated_parents(conn, workspace_id, candidates)
        wanted = set[bytes](parents)
        return [
            child
            for child in candidates
            if stated[child].parent in wanted and not tree.rejected_parent(child)
        ]

    async def descendants(self, account: ProfileId, tree: model.AccountTree) -> list[ProfileId]:
        """Return all accounts below one, at every depth, each once."""
        seen: dict[ProfileId, None] = {account: None}
        level: Collection[ProfileId] = [account]
        while level:
            found: list[ProfileId] = []
            for chunk in _chunks(list(level)):
                found += await self.children(chunk, tree)
            level = [child for child in found if child not in seen]
            seen |= dict.fromkeys(level)
        return list(seen)[1:]

    async def accounts(
        self, profiles: Sequence[ProfileId], rows: Sequence[ProfileRows], tree: model.AccountTree
    ) -> list[model.Account]:
        parents = {p: (tree.parent(p), tree.rejected_parent(p)) for p in profiles}
        named = {p for pair in parents.values() for p in pair if p is not None}
        names = {name.profile_id: name for name in await self.names(sorted(named))}
        accounts: list[model.Account] = []
        for profile_id, own in zip(profiles, rows, strict=True):
            parent, rejected = (names.get(p) if p else None for p in parents[profile_id])
            view, leaves = view_of(own.leaves.values()), sorted(own.leaves)
            if parent is not None and not parent.account_ids:
                parent = parent._replace(account_ids=model.stated_parent_names(view))
            accounts.append(
                model.Account(profile_id, own.identifiers, view, leaves, parent, rejected)
            )
        return accounts

    async def names(self, profiles: Sequence[ProfileId]) -> list[model.AccountName]:
        """Return the names of accounts, in the same order."""
        names = await profile_store.account_names(self.at.conn, self.workspace_id, profiles)
        return [names.get(p, model.AccountName(p, ())) for p in profiles]

    async def members(
        self, rows: ProfileRows, after: bytes, size: int
    ) -> tuple[list[ProfileId], bytes]:
        """Return the members after a profile id, and the last of the page; see `account_page`."""
        leaves = view_of(rows.leaves.values()).members
        found = await profile_store.member_page(
            self.at.conn, self.workspace_id, leaves, after, size + 1
        )
        return found[:size], found[size - 1] if len(found) > size else b""

    async def roll_up(self, profiles: Sequence[ProfileId], rules: Sequence[Rule]) -> model.RollUp:
        """Combine all members of these accounts. Raises InvalidField.

        The ids of all members are in memory at once, their states in chunks.
        """
        await self._check_backfilled(rules)
        roll_up = model.RollUp(rules, self.at.now_us, accounts=len(profiles))
        members = await self._members_of(profiles)
        roll_up.members = len(members)
        for chunk in _chunks(sorted(members)):
            states = await profile_store.leaf_states_of(self.at.conn, self.workspace_id, chunk)
            roll_up.add(map(decode, states))
        return roll_up

    async def _members_of(self, profiles: Sequence[ProfileId]) -> set[ProfileId]:
        """Return the members of accounts as the profiles they are now."""
        conn, workspace_id = self.at.conn, self.workspace_id
        found: set[ProfileId] = set()
        for chunk in _chunks(profiles):
            for state in await profile_store.leaf_states_of(conn, workspace_id, chunk):
                for leaves in _chunks(view_of([decode(state)]).members):
                    found.update((await profiles_of(conn, workspace_id, leaves)).values())
        return found

    async def _check_backfilled(self, rules: Sequence[Rule]) -> None:
        needed = [model.accumulators_of(rule) for rule in rules]
        complete = await backfilled_accumulators(
            self.at.conn, self.workspace_id, len(self.at.checkpoints)
        )
        for index, accumulators in enumerate(needed):
            if not accumulators <= complete:
                raise InvalidField(
                    "this rule counts events that are not counted yet: define it as a tag or a "
                    "segment, and wait until its backfill has finished",
                    field=f"rules[{index}]",
                )


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
