"""Journeys through all five services: who pays in time gets no message, everybody else exactly one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1.activation_facts_pb2 import DeliveryState
from onefold.activation.v1.activation_service_pb2 import Delivery
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.type.v1 import event_pb2
from service_fixtures import MakeSettings, wait_until

from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.kernel.time import HOUR_US, MINUTE_US, SECOND_US

PACK = """
contact_policy:
  purposes: {marketing: {consent: none}}
templates:
  - {id: reminder, locales: {en: {text: "{{ total }} in your cart"}}}
destinations:
  - {id: shop, file: {name: shop.ndjson}}
journeys:
  - id: cart-recovery
    enter:
      event: {name: cart_updated, where: {items: {at_least: 1}}}
      per: cart_id
      again: never
      while_inside: restart
      restart_until: 24h
      not_after: 6h
    goal: [{event: {name: order_paid, same: cart_id}}]
    steps:
      - wait: 2h
      - send: {id: reminder, to: shop, template: reminder, with: {total: entry.total}, valid: 12h}
"""
_MESSAGES = count()
SENT = DeliveryState.DELIVERY_STATE_DELIVERED
SUPPRESSED = DeliveryState.DELIVERY_STATE_SUPPRESSED


@pytest.fixture
async def system(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> AsyncIterator[WholeSystem]:
    async with whole_system(make_settings, internal_key, tmp_path) as running:
        await define(running, tmp_path, PACK)
        yield running


async def define(system: WholeSystem, folder: Path, text: str) -> None:
    file = folder / "pack.yaml"
    file.write_text(text, encoding="utf-8")
    await apply_pack(system.admin, read_pack(file, {}))


async def track(
    system: WholeSystem, name: str, *who: str, at_us: int = 0, **properties: Any
) -> int:
    """Send one event of a person; return when it occurred, by the log's clock."""
    at_us = at_us or await system.now_us()
    event = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK,
        name=name,
        message_id=f"j-{next(_MESSAGES)}",
        identifiers=[identifier(each) for each in who],
        occurred_at_us=at_us,
        properties=json.dumps(properties).encode(),
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections
    return at_us


async def advance(system: WholeSystem, by_us: int) -> None:
    await system.internal.log.TickClock(TickClockRequest(advance_us=by_us))
    await system.drain()


async def ended(system: WholeSystem, number: int) -> list[Delivery]:
    """Return the effects of the shop once so many have ended."""

    async def found() -> list[list[Delivery]]:
        own = await system.deliveries("shop")
        over = [each for each in own if each.state in (SENT, SUPPRESSED)]
        return [own] if len(over) >= number else []

    [own] = await wait_until(found)
    return own


async def set_flow(system: WholeSystem, flow: facts_pb.Flow) -> None:
    request = pb.SetDestinationFlowRequest(destination_id="shop", flow=flow)
    await system.service.journeys.SetDestinationFlow(request)
    await system.drain()


@pytest.mark.timeout(300)
async def test_payment_before_the_due_ends_the_run_and_other_carts_get_one_message(
    system: WholeSystem,
) -> None:
    start_us = await track(system, "cart_updated", "user_id:li", cart_id="a", items=2, total=30)
    await track(
        system, "cart_updated", "user_id:li", cart_id="a", items=2, total=30, at_us=start_us
    )
    await track(system, "cart_updated", "user_id:wang", cart_id="b", items=1, total=9)
    await track(system, "cart_updated", "user_id:zhao", cart_id="c", items=0, total=0)
    old_us = start_us - 7 * HOUR_US
    await track(system, "cart_updated", "user_id:qian", cart_id="d", items=1, total=5, at_us=old_us)
    now_us = await system.now_us()
    await advance(system, start_us + 2 * HOUR_US - now_us - 20 * SECOND_US)
    await track(system, "order_paid", "user_id:li", "device_id:phone", cart_id="a")
    await track(system, "order_paid", "user_id:wang", cart_id="another")
    await advance(system, 5 * MINUTE_US)
    [sent] = await ended(system, 1)
    [wang] = await system.profiles("user_id:wang")
    assert (sent.profile_id, sent.state) == (wang, SENT)
    await advance(system, 6 * HOUR_US)
    assert len(await ended(system, 1)) == 1
