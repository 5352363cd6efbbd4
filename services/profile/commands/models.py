"""Fits the model of a tag over all persons of a workspace, in one snapshot."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from services.kernel.errors import InvalidField, NotFound, ServiceUnavailable
from services.kernel.fold.leaf import LeafState, decode, view_of
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.ids import accumulator_id
from services.kernel.rules.inputs import payments_of, refunds_of
from services.profile.domain.rfm import OrderFeatures, features_of, fit
from services.profile.domain.settings import WorkspaceSettings
from services.profile.domain.tags import Tag, WorkspaceDefinitions
from services.profile.store.definitions import backfilled_accumulators
from services.profile.store.profiles import Snapshot, list_profiles

#: Persons that are read at once; other calls wait for so many.
PAGE = 500


def model_tag(existing: WorkspaceDefinitions, tag_id: str) -> Tag:
    """Return the tag with a model that has an id. Raises NotFound, InvalidField."""
    tag = existing.tags.get(tag_id)
    if tag is None or tag.retired:
        raise NotFound("no tag has this id: define it first")
    if tag.model is None:
        raise InvalidField("the tag has no model, so nothing is fitted", field="tag_id")
    return tag


async def fit_model(at: Snapshot, settings: WorkspaceSettings, tag: Tag) -> Tag:
    """Return a tag with its model fitted over the persons of a snapshot.

    Returns the tag itself where the model is fitted in the period of the snapshot's clock. Raises
    InvalidField, ServiceUnavailable.
    """
    unfitted = tag.with_fit(None, settings)
    if tag.model is None or settings.orders is None:
        return tag
    if tag.model.is_fitted_in(at.now_us, settings.zone):
        return tag
    await _check_complete(at, tag.workspace_id, settings.orders)
    persons = await _order_features(at, tag.workspace_id, settings.orders)
    edges = fit(persons, tag.model.quantiles, at.token, at.now_us)
    return unfitted.with_fit(edges, settings)


async def _check_complete(at: Snapshot, workspace_id: WorkspaceId, orders: OrderDefinition) -> None:
    """Raise ServiceUnavailable where the orders of the past are not yet read from the log."""
    refunds = refunds_of(orders)
    needed = {accumulator_id(s) for s in (payments_of(orders, ()), refunds) if s is not None}
    complete = await backfilled_accumulators(at.conn, workspace_id, len(at.checkpoints))
    if not needed <= complete:
        raise ServiceUnavailable("the orders of the past are still being read: retry in a while")


async def _order_features(
    at: Snapshot, workspace_id: WorkspaceId, orders: OrderDefinition
) -> list[OrderFeatures]:
    """Return the features of every person with an order, in no order."""
    found: list[OrderFeatures] = []
    after = b""
    while True:
        leaves: dict[ProfileId, list[LeafState]] = defaultdict(list)
        for row in await list_profiles(at.conn, workspace_id, after, PAGE):
            states = leaves[row.profile_id]
            if row.state is not None:
                states.append(decode(row.state))
        for states in leaves.values():
            view = view_of(states)
            features = None if view.is_account else features_of(orders, view, at.now_us)
            if features is not None:
                found.append(features)
        if len(leaves) < PAGE:
            return found
        after = max(leaves)
        await asyncio.sleep(0)
