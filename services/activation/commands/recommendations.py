"""Computes which items of slots belong together, from all events of the log."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from services.activation.codec.item_events import EVENT, decode_item_event, json_object
from services.activation.delivery.render import LoadPersons
from services.activation.domain.item_similarity import ItemTable, compute_table
from services.activation.domain.policy.contact import consents_of
from services.activation.domain.policy.gate import PROFILING, consent_of
from services.activation.store.recommendations import Q, save_table
from services.activation.store.slots import every_slot
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat
from services.kernel.errors import InvalidField
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.journeys.decisions import Slot
from services.kernel.journeys.ranking import ItemRanking
from services.kernel.time import DAY_US
from services.kernel.tokens import Token

#: Items are computed again when this is over, or the slot has changed.
PERIOD_US: Final = DAY_US
#: Seconds between two searches for slots whose items are to be computed.
INTERVAL_S: Final = 30.0
#: Persons that are read together.
_PAGE: Final = 1_000

log = structlog.get_logger(__name__)


@dataclass
class _Found:
    """What the log says of the items of a slot."""

    #: By leaf, when the person last got each item.
    bought: defaultdict[LeafId, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    #: By item, when and by which fact its category was stated last, and what it is.
    categories: dict[str, tuple[int, bytes, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemFitter:
    """Computes the items of slots; persons who have refused profiling are not in them."""

    database: Database
    log: LogClient
    load_persons: LoadPersons

    async def run(self) -> None:
        """Compute what is to be computed until cancelled. Errors are logged and retried."""
        await repeat("recommendations", self._step, Backoff(1.0, INTERVAL_S))

    async def _step(self) -> None:
        async with acquire(self.database.pool) as conn:
            slots = [own for own in await every_slot(conn) if own[1].items and not own[1].retired]
        if slots:
            _, now_us = await self.log.now()
            for workspace_id, slot in slots:
                async with acquire(self.database.pool) as conn:
                    place = workspace_id, slot.slot_id, now_us - PERIOD_US, slot.version
                    is_claimed = await conn.fetchval(Q.claim, *place)
                if is_claimed:
                    await self.fit(workspace_id, slot)
        await asyncio.sleep(INTERVAL_S)

    async def fit(self, workspace_id: WorkspaceId, slot: Slot) -> tuple[ItemTable, Token, int]:
        """Compute the items of a slot from the log of now, and replace the last result.

        Return the table, the state of the log and its clock. Raises InvalidField, RetryableError.
        """
        if slot.items is None:
            raise InvalidField("the slot ranks no items: write `items` in it", field="slot_id")
        token, now_us = await self.log.now()
        found = await self._read(workspace_id, slot.items, token)
        persons = await self._persons(workspace_id, found, token)
        categories = {item: stated[2] for item, stated in found.categories.items()}
        table = await asyncio.to_thread(compute_table, persons, categories, now_us)
        async with transaction(self.database.pool) as conn:
            own = workspace_id, slot.slot_id, slot.version
            await save_table(conn, *own, now_us, table)
        log.info("items_computed", workspace=workspace_id, slot=slot.slot_id, persons=table.persons)
        return table, token, now_us

    async def _read(self, workspace_id: WorkspaceId, ranking: ItemRanking, token: Token) -> _Found:
        found = _Found()
        for shard, end in enumerate(token.offsets):
            if end:
                pages = self.log.read(shard, 0, end, kinds=[EVENT], workspace_id=workspace_id)
                async for facts in pages:
                    take_in(found, ranking, facts)
        return found

    async def _persons(
        self, workspace_id: WorkspaceId, found: _Found, token: Token
    ) -> Mapping[bytes, Mapping[str, int]]:
        """Return who got what, with the leaves of a person together."""
        persons: defaultdict[bytes, dict[str, int]] = defaultdict(dict)
        leaves = sorted(found.bought)
        for start in range(0, len(leaves), _PAGE):
            page = leaves[start : start + _PAGE]
            recipients = await self.load_persons(workspace_id, page, token)
            for leaf_id in page:
                recipient = recipients[leaf_id]
                consent = consent_of(consents_of(recipient.consents), PROFILING, "")
                if consent is None or consent[1]:
                    own = persons[min(recipient.leaf_ids)]
                    for item, at_us in found.bought[leaf_id].items():
                        own[item] = max(at_us, own.get(item, at_us))
        return persons


def take_in(found: _Found, ranking: ItemRanking, facts: Iterable[Any]) -> None:
    """Add what events say of the items of a slot."""
    names = {name for each in ranking.bought for name in each.events.names}
    prefix = f"{ranking.catalogue}:" if ranking.catalogue and ranking.category else ""
    for fact in facts:
        event = decode_item_event(fact.payload)
        if event.name in names:
            properties = json_object(event.properties)
            for kind in ranking.bought:
                for item in kind.items_in(event.name, properties):
                    own = found.bought[LeafId(fact.leaf_id)]
                    own[item] = max(fact.occurred_at_us, own.get(item, 0))
        elif prefix and event.group_id.startswith(prefix):
            category = json_object(event.traits).get(ranking.category)
            if isinstance(category, str) and category:
                item = event.group_id.removeprefix(prefix)
                stated = fact.occurred_at_us, bytes(fact.fact_id), category
                found.categories[item] = max(stated, found.categories.get(item, stated))
