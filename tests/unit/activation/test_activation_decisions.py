"""Tests decisions while what they need is there, unknown, late or away."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from onefold.activation.v1 import decision_service_pb2 as pb

from services.activation.api.decisions import DecisionRpc
from services.activation.domain.decisions import SlotPerson
from services.chassis.access.principal import Principal, Role, set_principal
from services.kernel.errors import (
    InvalidField,
    NotAllowed,
    OnefoldError,
    ServiceUnavailable,
    TokenNotReached,
)
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.decisions import Slot, SlotVariant
from services.kernel.rules.model import Reference, ReferenceKind

ANY: Any = None
VIP = SlotPerson(ProfileId(b"p" * 16), {"vip": 3}, refuses_profiling=False)
WHEN = Reference(ReferenceKind.SEGMENT, "vip")
HOME = Slot(
    "home", variants=(SlotVariant("vip", WHEN, b'{"a":1}'),), fallback=b'{"b":2}', version=3
)
OLD = Slot("old", retired=True, version=9)


class Reader:
    """Reads slots, and then a person, an error, or for ever."""

    def __init__(self, answer: SlotPerson | Exception | asyncio.Event | None) -> None:
        self.answer = answer

    async def read(
        self, _w: object, _i: object, slot_ids: Any, _t: object, slots: dict[str, Slot]
    ) -> SlotPerson | None:
        slots |= {slot.slot_id: slot for slot in (HOME, OLD) if slot.slot_id in slot_ids}
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, asyncio.Event):
            await self.answer.wait()
            return None
        return self.answer


def request(*slot_ids: str, **more: Any) -> pb.DecideRequest:
    plain: dict[str, Any] = {"identifier": {"namespace": "user_id", "value": "u"}}
    return pb.DecideRequest(slot_ids=slot_ids, **(plain | more))


async def decided(answer: Any, *slot_ids: str, **more: Any) -> list[tuple[str, bytes, str, int]]:
    rpc = DecisionRpc(ANY, cast("Any", Reader(answer)), ANY, ANY, ANY, ANY)
    set_principal(Principal(WorkspaceId("school"), Role.READER, "k"))
    response = await rpc.Decide(request(*slot_ids, **more), None)
    prefix = "DECISION_REASON_"
    return [
        (d.variant_id, d.content, pb.DecisionReason.Name(d.reason).removeprefix(prefix), d.version)
        for d in response.decisions
    ]


async def test_person_of_a_segment_gets_its_variant_and_each_slot_an_answer_in_order() -> None:
    assert await decided(VIP, "none", "home", "old", deadline_ms=10_000) == [
        ("", b"{}", "UNKNOWN_SLOT", 0),
        ("vip", b'{"a":1}', "VARIANT", 3),
        ("", b"{}", "UNKNOWN_SLOT", 9),
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "UNKNOWN_PERSON"),
        (VIP._replace(refuses_profiling=True), "PROFILING_REFUSED"),
        (VIP._replace(memberships={"vip": 2}), "NO_VARIANT"),
        (ServiceUnavailable("away"), "UNAVAILABLE"),
        (NotAllowed("no"), "UNAVAILABLE"),
        (OnefoldError("broken"), "UNAVAILABLE"),
        (TokenNotReached("late"), "OVER_DEADLINE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_person_without_a_decision_gets_the_fallback_and_the_reason(
    answer: Any, reason: str
) -> None:
    found = await decided(answer, "home", deadline_ms=10_000)
    assert found == [("", b'{"b":2}', reason, 3)]


async def test_decision_that_takes_too_long_is_the_fallback_of_the_slot() -> None:
    found = await decided(asyncio.Event(), "home", deadline_ms=20)
    assert found == [("", b'{"b":2}', "OVER_DEADLINE", 3)]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (request(), "slot_ids"),
        (request(*(f"s{i}" for i in range(21))), "slot_ids"),
        (pb.DecideRequest(slot_ids=["home"]), "identifier"),
        (request("home", deadline_ms=10_001), "deadline_ms"),
    ],
    ids=["none", "many", "nameless", "long"],
)
async def test_request_that_asks_for_nothing_is_refused(
    wrong: pb.DecideRequest, field: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        await DecisionRpc(ANY, ANY, ANY, ANY, ANY, ANY).Decide(wrong, None)
    assert caught.value.field == field
