"""Decisions through all five services: they follow what a person did just before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.activation.v1 import decision_service_pb2 as pb
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.type.v1 import event_pb2
from onefold.type.v1.token_pb2 import Token
from service_fixtures import MakeSettings

from services.chassis.codec.journeys import slot_to_proto
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.kernel.errors import Conflict, InvalidField
from services.kernel.journeys.decisions import parse_slot
from services.kernel.rules.defaults import Defaults

PACK = """
segments:
  - {id: sporty, rule: {count: {event: viewed_shoes, at_least: 1}}}
tags:
  - {id: taste, values: [{value: bold, rule: {count: {event: viewed_red, at_least: 1}}}]}
slots:
  - id: home
    variants:
      - {id: sport, when: {segment: sporty}, content: {banner: shoes}}
      - {id: bold, when: {tag: {id: taste, is: bold}}, content: {banner: red}}
    fallback: {banner: all}
"""
PRODUCTS = {
    "id": "products",
    "items": {
        "bought": [{"event": "order_paid", "item": "products.sku"}],
        "seen": [{"event": "viewed_item", "item": "item"}],
        "recommended": [{"event": "items_recommended", "item": "items"}],
        "catalogue": "item",
        "category": "category",
        "unavailable": {"stock": {"at_most": 0}},
    },
    "fallback": {"items": []},
}
LONG_MS = 10_000


async def send(system: WholeSystem, name: str, who: str, **properties: Any) -> Token:
    """Send one event of a person; return the state of the log that includes it."""
    event = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK,
        name=name,
        message_id=f"{name}-{who}",
        identifiers=[identifier(who)],
        properties=json.dumps(properties).encode(),
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections
    return response.token


async def shown(
    system: WholeSystem, who: str, token: Token | None, deadline_ms: int = LONG_MS
) -> tuple[str, str]:
    request = pb.DecideRequest(
        identifier=identifier(who), slot_ids=["home"], at_least=token, deadline_ms=deadline_ms
    )
    [decision] = (await system.service.decisions.Decide(request)).decisions
    reason = pb.DecisionReason.Name(decision.reason).removeprefix("DECISION_REASON_")
    return json.loads(decision.content)["banner"], reason


async def test_decision_follows_the_event_whose_token_it_gets(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK, encoding="utf-8")
    async with whole_system(make_settings, internal_key, tmp_path) as system:
        await apply_pack(system.admin, read_pack(file, {}), dry_run=True)
        await apply_pack(system.admin, read_pack(file, {}))
        await _check_definitions(system)
        defined = await system.drain()
        assert await shown(system, "user_id:u", defined) == ("all", "UNKNOWN_PERSON")
        token = await send(system, "viewed_home", "user_id:u")
        assert await shown(system, "user_id:u", token) == ("all", "NO_VARIANT")
        token = await send(system, "viewed_red", "user_id:u")
        assert await shown(system, "user_id:u", token) == ("red", "VARIANT")
        token = await send(system, "viewed_shoes", "user_id:u")
        assert await shown(system, "user_id:u", token) == ("shoes", "VARIANT")
        refusal = {"purpose": "profiling", "granted": False}
        token = await send(system, "consent_changed", "user_id:u", **refusal)
        assert await shown(system, "user_id:u", token) == ("all", "PROFILING_REFUSED")
        ahead = Token(offsets=[offset + 1_000 for offset in token.offsets])
        assert await shown(system, "user_id:u", ahead, 50) == ("all", "OVER_DEADLINE")
        assert await shown(system, "email:none", token) == ("all", "UNKNOWN_PERSON")
        await _check_latency(system)
        await _check_recommendations(system)


async def _check_latency(system: WholeSystem) -> None:
    """PER-03: what decisions follow is measured against the declared limit, and shown."""
    await system.drain()
    request = projection_pb.GetStatusRequest(counts=True)
    counts = (await system.internal.projection("activation").GetStatus(request)).counts
    assert counts["changes_decided"] >= 2
    assert counts["changes_decided_late"] <= counts["changes_decided"]


async def recommended(system: WholeSystem, who: str, token: Token | None = None) -> list[str]:
    request = pb.RecommendRequest(
        identifier=identifier(who), slot_id="products", at_least=token, deadline_ms=LONG_MS
    )
    response = await system.service.decisions.Recommend(request)
    reason = pb.DecisionReason.Name(response.reason).removeprefix("DECISION_REASON_")
    assert reason in ("VARIANT", "UNKNOWN_PERSON"), reason
    return [each.item_id for each in response.items]


async def _check_recommendations(system: WholeSystem) -> None:
    """PER-02, PER-03: who views a boot in the app gets its laces on the website."""
    slot = slot_to_proto(parse_slot(PRODUCTS, "slot", Defaults()))
    await system.service.decisions.DefineSlot(pb.DefineSlotRequest(slot=slot))
    for n in range(4):
        await buy(system, f"user_id:b{n}", "boot", "laces", "sold-out")
        await buy(system, f"user_id:c{n}", "cap", "scarf")
    for item, stock in (("laces", 5), ("sold-out", 0)):
        await describe(system, item, stock, n=0)
    await system.drain()
    # The service may compute them by itself at the same time; that of the newest log counts.
    fitted = await system.service.decisions.FitItems(pb.FitItemsRequest(slot_id="products"))
    assert (fitted.persons, fitted.items) == (8, 5)
    assert set(await recommended(system, "email:none")) == {"boot", "cap", "laces", "scarf"}
    # Who has refused profiling gets what everybody gets.
    refused = pb.RecommendRequest(
        identifier=identifier("user_id:u"), slot_id="products", deadline_ms=LONG_MS
    )
    popular = await system.service.decisions.Recommend(refused)
    assert popular.reason == pb.DECISION_REASON_PROFILING_REFUSED
    assert {each.reason for each in popular.items} == {pb.ITEM_REASON_POPULAR}
    token = await send(system, "viewed_item", "user_id:w", item="cap")
    assert (await recommended(system, "user_id:w", token))[0] == "scarf"
    token = await send(system, "viewed_item", "user_id:v", item="boot")
    assert (await recommended(system, "user_id:v", token))[0] == "laces"
    # What a person buys, and what has no stock any more, is gone at once.
    token = await buy(system, "user_id:v", "laces")
    assert "laces" not in await recommended(system, "user_id:v", token)
    token = await describe(system, "scarf", 0, n=1)
    assert "scarf" not in await recommended(system, "user_id:w", token)
    token = await send(system, "items_recommended", "user_id:w", items=["boot", "hat"])
    assert (await recommended(system, "user_id:w", token))[:2] == ["boot", "hat"]
    request = pb.DecideRequest(
        identifier=identifier("user_id:w"), slot_ids=["products"], deadline_ms=LONG_MS
    )
    [decision] = (await system.service.decisions.Decide(request)).decisions
    assert json.loads(decision.content)["items"][:2] == ["boot", "hat"]
    nothing = pb.RecommendRequest(
        identifier=identifier("user_id:w"), slot_id="home", deadline_ms=LONG_MS
    )
    response = await system.service.decisions.Recommend(nothing)
    assert response.reason == pb.DECISION_REASON_UNKNOWN_SLOT
    with pytest.raises(InvalidField):
        await system.service.decisions.FitItems(pb.FitItemsRequest(slot_id="home"))


async def buy(system: WholeSystem, who: str, *items: str) -> Token:
    products = [{"sku": item} for item in items]
    return await send(system, "order_paid", who, products=products)


async def describe(system: WholeSystem, item: str, stock: int, n: int) -> Token:
    """State the traits of an item, with any of its members."""
    event = event_pb2.Event(
        type=event_pb2.EVENT_TYPE_GROUP,
        message_id=f"item-{item}-{n}",
        identifiers=[identifier("user_id:shop")],
        group_id=f"item:{item}",
        traits=json.dumps({"stock": stock, "category": "things"}).encode(),
    )
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
    assert not response.rejections, response.rejections
    return response.token


async def _check_definitions(system: WholeSystem) -> None:
    """Check versions, etags and the mistakes of slots."""
    decisions = system.service.decisions
    [listed] = (await decisions.ListSlots(pb.ListSlotsRequest())).slots
    same = await decisions.DefineSlot(pb.DefineSlotRequest(slot=listed.slot, etag="9"))
    assert (same.changed, same.slot.version, same.etag) == (False, 1, listed.etag)
    other = slot_to_proto(
        parse_slot(
            {
                "id": "home",
                "variants": [
                    {"id": "a", "when": {"segment": "none"}},
                    {"id": "a", "when": {"tag": "neither"}},
                ],
            },
            "slot",
            Defaults(),
        )
    )
    with pytest.raises(InvalidField) as caught:
        await decisions.DefineSlot(pb.DefineSlotRequest(slot=other))
    mistakes = caught.value.message
    assert all(word in mistakes for word in ("several variants", "none", "neither")), mistakes
    del other.variants[:]
    other.variants.add(variant_id="a")
    with pytest.raises(Conflict):
        await decisions.DefineSlot(pb.DefineSlotRequest(slot=other, etag="9"))
