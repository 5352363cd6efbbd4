"""Ranks the items of slots for persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from onefold.activation.v1 import decision_service_pb2 as pb

from services.activation.domain.decisions import SlotPerson
from services.activation.domain.recommendations import (
    ItemReason,
    PersonItems,
    Recommendation,
    rank_items,
)
from services.activation.projection.upstream import ItemUpstream
from services.activation.store.recommendations import Q, load_items
from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.postgres.database import Database, acquire
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.decisions import Slot

DEFAULT_ITEMS: Final = 10
MAX_ITEMS: Final = 100
_REASONS: Final = EnumNumbers(ItemReason, pb.ItemReason, "reason of an item")


@dataclass(frozen=True)
class Recommender:
    """Ranks items by what was computed last, and by what the person did up to now."""

    database: Database
    items: ItemUpstream

    async def recommend(
        self, workspace_id: WorkspaceId, slot: Slot, person: SlotPerson | None, limit: int
    ) -> tuple[Sequence[Recommendation], int]:
        """Return items for a person, and when they were computed; 0 = never.

        Without a person, or for one who has refused profiling, they are the popular ones. Raises
        OnefoldError.
        """
        if slot.items is None or slot.retired:
            return (), 0
        known = PersonItems()
        if person is not None:
            known = await self.items.items_of(workspace_id, person.profile_id, slot.items)
            if person.refuses_profiling:
                known = PersonItems(bought=known.bought)
        async with acquire(self.database.api_pool) as conn:
            fit = await conn.fetchrow(Q.load_fit, workspace_id, slot.slot_id)
            loaded = await load_items(conn, workspace_id, slot.slot_id, known.recent)
        ranked = rank_items(known, loaded.similar, loaded.popular, loaded.categories)
        shown: list[Recommendation] = []
        while len(shown) < limit and (page := list(islice(ranked, limit))):
            gone = await self.items.unavailable(
                workspace_id, slot.items, [each.item for each in page]
            )
            shown += [each for each in page if each.item not in gone]
        return shown[:limit], fit["fitted_at_us"] if fit is not None else 0


def item_to_proto(each: Recommendation) -> pb.RecommendedItem:
    """Return the message of an item."""
    return pb.RecommendedItem(
        item_id=each.item,
        score=each.score,
        reason=_REASONS.to_proto(each.reason),
        because_of=each.because_of,
    )
