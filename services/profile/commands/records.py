"""Records what people and models say about one person: corrections of traits, and scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.chassis.codec.fields import token_from_proto
from services.chassis.postgres.database import Database
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField, NotFound
from services.kernel.fold.leaf import LeafState, ProfileView, decode, view_of
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token
from services.profile.codec.records import Correction, Score, checked_score, record_fact
from services.profile.domain.records import correction_before
from services.profile.store.profiles import Snapshot, load_profiles, open_snapshot, profiles_of


class RecordedScores(NamedTuple):
    """The outcome of a batch of scores."""

    recorded: int
    duplicates: int
    #: A state of the log that includes the scores.
    token: Token


@dataclass(frozen=True, slots=True)
class ProfileRecords:
    """Appends facts about persons.

    A fact lies under the leaf of the identifier that the caller names, so it stays with that
    identifier where the profile is split. All methods raise RetryableError.
    """

    database: Database
    runner: ProjectionRunner
    log: LogClient
    index_key: IndexKey

    async def correct(
        self, workspace_id: WorkspaceId, id_: bytes, message: Correction, actor: str
    ) -> tuple[bool, Token]:
        """Record a correction of a trait, unless it counts already.

        Return whether it is new, and a state of the log that includes it. `id_`: of an identifier,
        or a profile id. Raises NotFound, TokenNotReached.
        """
        # The correction before may not be folded yet.
        reached = await self.runner.reach(await self.log.head())
        async with open_snapshot(self.database) as at:
            view = (await _persons(at, workspace_id, [id_])).get(id_)
        if view is None:
            raise NotFound("no person has this identifier; check namespace and value")
        before = correction_before(view, message.trait, message.value, message.reason)
        if before is None:
            return False, reached
        leaf_id = LeafId(id_)
        fact = record_fact(workspace_id, leaf_id, message, actor, self.index_key, before)
        response = await self.log.append([fact])
        return response.appended > 0, token_from_proto(response.token)

    async def record_scores(
        self, workspace_id: WorkspaceId, scores: Sequence[tuple[bytes, Score]], actor: str
    ) -> RecordedScores:
        """Record the scores of persons, all or none; each has the id of an identifier or a profile.

        Raises InvalidField, also where no person has an id.
        """
        async with open_snapshot(self.database) as at:
            persons = await _persons(at, workspace_id, [id_ for id_, _ in scores])
        _, now_us = await self.log.now()
        for index, (id_, message) in enumerate(scores):
            checked_score(message, now_us, f"scores[{index}].score")
            if id_ not in persons:
                error = "no person has this identifier: send events of the person first"
                raise InvalidField(error, field=f"scores[{index}]")
        facts = [
            record_fact(workspace_id, LeafId(id_), message, actor, self.index_key)
            for id_, message in scores
        ]
        unique = list({fact.fact_id: fact for fact in facts}.values())
        response = await self.log.append(unique)
        return RecordedScores(
            response.appended, len(facts) - response.appended, token_from_proto(response.token)
        )


async def _persons(
    at: Snapshot, workspace_id: WorkspaceId, ids: Sequence[bytes]
) -> Mapping[bytes, ProfileView]:
    """Return the profiles of ids, as far as they are persons."""
    found = await profiles_of(at.conn, workspace_id, ids)
    leaves: dict[ProfileId, list[LeafState]] = defaultdict(list)
    for row in await load_profiles(at.conn, workspace_id, set(found.values())):
        if row.state is not None:
            leaves[row.profile_id].append(decode(row.state))
    views = {profile_id: view_of(own) for profile_id, own in leaves.items()}
    return {id_: views[p] for id_, p in found.items() if p in views and not views[p].is_account}
