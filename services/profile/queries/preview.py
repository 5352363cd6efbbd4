"""What-if: how people would stand if identity grouped their identifiers otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.kernel.fold.leaf import decode
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId
from services.kernel.tokens import Token
from services.profile.domain.decisions import Person, decide
from services.profile.domain.evaluation import EVERYTHING
from services.profile.domain.model import Standing
from services.profile.domain.preview import regrouped
from services.profile.projection.predicates import Rulebook
from services.profile.queries.profiles import ProfileQueries, Snapshot
from services.profile.store import postgres as store
from services.profile.store import profiles as people_store


class Previews:
    """Folds people anew in memory; writes nothing."""

    def __init__(self, queries: ProfileQueries) -> None:
        self._queries = queries
        # One of its own: that of the workers must be asked under locks.
        self._rulebook = Rulebook()

    async def people(
        self, workspace_id: WorkspaceId, groups: Mapping[ProfileId, Sequence[IdentifierId]]
    ) -> tuple[Sequence[Standing], Token]:
        """What would be said downstream if these profiles held these identifiers."""
        async with self._queries.snapshot() as at:
            people = await self._people(at, workspace_id, groups)
            catalogues = await self._rulebook.of_all(at.conn)
        asked = {person.profile_id: EVERYTHING for person in people}
        return decide(asked, people, catalogues, at.now_us).news, at.token

    async def _people(
        self,
        at: Snapshot,
        workspace_id: WorkspaceId,
        groups: Mapping[ProfileId, Sequence[IdentifierId]],
    ) -> list[Person]:
        wanted = {id_: profile for profile, ids in groups.items() for id_ in ids}
        present = set((await people_store.resolve(at.conn, workspace_id, list(wanted))).values())
        rows = await people_store.load_people(at.conn, workspace_id, present)
        # What somebody holds and nobody asked about stays where it is.
        homes = {IdentifierId(row.leaf_id): row.profile_id for row in rows} | wanted
        states = {row.leaf_id: decode(row.state) for row in rows if row.state is not None}
        known = await store.load_standings(at.conn, present | groups.keys())
        standings = {p: s for p, s in known.items() if s.workspace_id == workspace_id}
        return regrouped(workspace_id, homes, states, standings)
