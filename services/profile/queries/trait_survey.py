"""Describes the traits of the persons of a workspace, or of a sample of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.kernel.fold.leaf import view_of
from services.kernel.ids import WorkspaceId
from services.profile.domain.rule_preview import sampling
from services.profile.domain.settings import WorkspaceSettings
from services.profile.domain.trait_survey import SurveyedTraits, TraitSurvey
from services.profile.queries.profiles import ProfileQueries, group
from services.profile.store import evaluations as evaluation_store
from services.profile.store.definitions import load_workspace
from services.profile.store.profiles import load_profiles

#: All persons are read where there are at most so many, else about half as many; and in a page.
MOST_READ, PAGE = 20_000, 200


async def survey_traits(
    queries: ProfileQueries, workspace_id: WorkspaceId, settings: WorkspaceSettings | None
) -> SurveyedTraits:
    """Return what the persons of a workspace have in each trait.

    `settings`: those whose cleaners are compared with the ones in force; None = none are.
    """
    async with queries.snapshot() as at:
        workspace = await load_workspace(at.conn, workspace_id)
        persons = await evaluation_store.count_persons(at.conn, workspace_id)
    one_in, after = sampling(persons, MOST_READ), b""
    others: Mapping[str, str] | None = None if settings is None else dict(settings.cleaners)
    survey = TraitSurvey(dict(workspace.settings.cleaners), others)
    while True:
        async with queries.snapshot() as page_at:
            ids = await evaluation_store.sample_page(
                page_at.conn, workspace_id, after, one_in, PAGE
            )
            rows = await group(await load_profiles(page_at.conn, workspace_id, ids))
        for profile_id, own in rows.items():
            await asyncio.sleep(0)
            survey.add(profile_id, view_of(own.leaves.values()))
        if len(ids) < PAGE:
            return SurveyedTraits(survey, workspace.names, persons, one_in, at.token)
        after = ids[-1]
