"""Answers historical queries from the log: past profiles and timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.kernel.as_of import AsOf
from services.kernel.errors import NotFound
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import WorkspaceId
from services.kernel.rules.ids import predicates
from services.profile.domain.blocks import ProfileBlocks
from services.profile.domain.profile import Profile, TimelineCursor, replay
from services.profile.domain.settings import computed_values
from services.profile.domain.tags import RuleSet, active_rules, segment_rules
from services.profile.domain.timeline import TimelineFilter, TimelineKinds
from services.profile.queries.past import MAX_LEAVES, PastReader, check_person
from services.profile.queries.timeline import TimelinePage, read_page
from services.profile.store.definitions import load_workspace


@dataclass(frozen=True, slots=True)
class HistoryQueries:
    """Queries that read the event log; each is bound to a workspace."""

    past: PastReader

    async def profile(self, workspace_id: WorkspaceId, id_: bytes, as_of: AsOf) -> Profile:
        """Return a profile of the past, with the identifiers that were one person then.

        Raises NotFound.
        """
        person = await self.past.person(workspace_id, id_, as_of)
        rules, settings = active_rules(person.definitions), person.definitions.settings
        segments = segment_rules(person.definitions)
        needed = [p for rule in (*rules.values(), *segments.values()) for p in predicates(rule)]
        needed += [own.feature for own in settings.all_computed_traits]
        replayed = replay(person.events, PredicateIndex(needed))
        check_person(replayed.view)
        if not replayed.leaf_ids:
            raise NotFound("the profile had no events then")
        accounts = await self.past.accounts(workspace_id, person, replayed.view)
        objects = await self.past.objects(workspace_id, person, accounts, needed)
        view = replayed.view.with_related(objects.of(replayed.view.accounts))
        profile = Profile(
            person.profile_id,
            person.identifiers,
            view,
            RuleSet(rules).true_of(view, person.at_us),
            replayed.leaf_ids,
            accounts.names,
            computed_values(settings, view, person.at_us),
            RuleSet(segments).true_of(view, person.at_us),
        )
        return profile.in_blocks(ProfileBlocks(settings, rules))

    async def timeline(
        self,
        workspace_id: WorkspaceId,
        id_: bytes,
        wanted: TimelineFilter,
        size: int,
        after: TimelineCursor | None,
        as_of: AsOf | None = None,
    ) -> TimelinePage:
        """Return at most `size` entries of a profile's timeline; `as_of` None = as it is now.

        Raises NotFound.
        """
        past, token = self.past, as_of.token if as_of else None
        async with past.queries.snapshot() as at:
            if as_of is None:
                _, leaves = await past.queries.identifiers_of(at, workspace_id, id_)
            settings = (await load_workspace(at.conn, workspace_id, token)).settings
        if as_of is not None:
            _, identifiers = await past.identity.past_profile(workspace_id, id_, as_of)
            leaves = list(identifiers)
        end_us = as_of.before_us if as_of else 0

        async def read_facts(before_us: int, limit: int) -> Sequence[Any]:
            return await past.log.read_leaves(
                workspace_id,
                leaves[:MAX_LEAVES],
                # The earlier of the two bounds; 0 is none.
                before_us=min(filter(None, (before_us, end_us)), default=0),
                before=token,
                limit=limit,
            )

        return await read_page(read_facts, TimelineKinds(settings), wanted, size, after)
