"""Who has registered and not ordered in seven days gets one coupon and one SMS with its code."""

from __future__ import annotations

import json
from typing import Any

from contract.channels.rigs import OpenRig, opened, sealed
from integration.activation.gated_ledger import GatedLedger, gated
from integration.activation.journey_fixture import BEGIN, JourneyBench, leaf
from integration.activation.ledger_fixture import Ledger, W, destination
from integration.activation.test_pack_journeys import journey
from onefold.activation.v1 import journey_facts_pb2 as pb
from onefold.profile.v1 import profile_service_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import wait_until

from services.activation.codec.coupons import COUPON_ISSUED, POOL_DEFINED
from services.activation.codec.templates import template_to_proto
from services.activation.domain.message_channels import AliyunSms
from services.activation.domain.model import DeliveryState
from services.activation.domain.templates import Template, Texts
from services.activation.store.templates import save_template
from services.chassis.codec.journeys import coupon_pool_to_proto
from services.chassis.postgres.database import transaction
from services.kernel.ids import WorkspaceId, to_hex
from services.kernel.journeys.coupons import CouponPool
from services.kernel.time import DAY_US

POOL = CouponPool("first-order", prefix="NEW-", version=1)
TEXTS = Texts(
    "zh",
    text="优惠码{{ coupon.first.code }}",
    provider_template="SMS_1",
    parameters=(("code", "{{ coupon.first.code }}"),),
)
BUYS, LATE, STAYS = 1, 2, 3
#: The provider reports later what became of a message that it has accepted.
ENDS = (DeliveryState.ACCEPTED, DeliveryState.UNCONFIRMED, DeliveryState.SUPPRESSED)


async def define(gate: GatedLedger, rig: OpenRig) -> None:
    """Define what the journey of the pack sends with."""
    channel = sealed(rig.channel, "shop-messages")
    await gate.ledger.define(destination(channel, "shop-messages"))
    template = Template(WorkspaceId(W), "first-order-coupon", 1, "", (TEXTS,))
    async with transaction(gate.ledger.database.pool) as conn:
        await save_template(conn, template, template_to_proto(template).SerializeToString())
    await gate.policy({"purposes": {"marketing": {"consent": "none"}}})


async def rest(bench: JourneyBench, gate: GatedLedger, rig: OpenRig, hours: float = 0) -> None:
    """Let time pass, and send what is due."""
    await bench.come_to_rest(hours)
    gate.peers.log.now_us = bench.now_us
    async with gate.dispatching(senders={AliyunSms: rig.sender}):
        await gate.ledger.all_are(*ENDS)
    bench.log.facts |= gate.peers.log.facts
    await bench.publish_ends()


def add_phone(gate: GatedLedger, person: int) -> None:
    id_ = to_hex(leaf(person))
    phone = Identifier(namespace="phone", value=f"+861380013800{person}")
    gate.peers.profile.profiles[id_] = profile_service_pb2.Profile(
        profile_id=id_, leaf_ids=[id_], identifiers=[phone]
    )


async def test_newcomer_without_an_order_gets_one_coupon_and_one_sms_at_day_seven(
    bench: JourneyBench, ledger: Ledger
) -> None:
    async with gated(ledger) as gate, opened("aliyun_sms") as rig:
        await gate.move_to(bench.now_us)
        sent = _recorded(rig)
        await define(gate, rig)
        await bench.broadcast(POOL_DEFINED, pb.CouponPoolDefined(pool=coupon_pool_to_proto(POOL)))
        await bench.define_journey(journey("retail", "first-order"))
        for person in (BUYS, LATE, STAYS):
            add_phone(gate, person)
            await bench.happen("registered", person)
        await rest(bench, gate, rig, 24 * 6)
        await bench.happen("order_paid", BUYS)
        await bench.pass_time(24.1)
        # An order of day 6 that is learnt after the seven days, and before the attempt.
        await bench.happen("order_paid", LATE, occurred_at_us=BEGIN + 6 * DAY_US)
        # The provider has the message, and its answer is lost: it is queried later.
        rig.fake.script = ["lost"]
        await bench.come_to_rest()
        gate.peers.log.now_us = bench.now_us
        async with gate.dispatching(senders={AliyunSms: rig.sender}):
            await wait_until(
                lambda: ledger.rows(unanswered=True, state=DeliveryState.PENDING.value)
            )
        await ledger.database.pool.execute("UPDATE effect SET due_at = now()")
        await rest(bench, gate, rig)
        assert (await ledger.states())["ACCEPTED"] == 1
        issued = gate.peers.log.of_kind(COUPON_ISSUED)
        [coupon] = [pb.CouponIssued.FromString(fact.payload) for fact in issued]
        assert coupon.code.startswith("NEW-")
        assert [fact.leaf_id for fact in issued] == [leaf(STAYS)]
        # The database is lost, everything is folded again, and events come twice.
        await bench.lose_database()
        await define(gate, rig)
        await bench.broadcast(POOL_DEFINED, pb.CouponPoolDefined(pool=coupon_pool_to_proto(POOL)))
        await bench.happen("registered", STAYS)
        await rest(bench, gate, rig, 24 * 30)
        assert gate.peers.log.of_kind(COUPON_ISSUED) == issued
        assert rig.fake.problems == []
        [(_, phone)] = rig.fake.taken
        assert phone.endswith(f"1380013800{STAYS}")
        assert sent == [{"code": coupon.code}]


def _recorded(rig: OpenRig) -> list[Any]:
    """Return a list that gets the parameters of each message that arrives at the provider."""
    found: list[Any] = []
    original = rig.fake.message

    def message(request: Any, body: bytes) -> tuple[str, str]:
        found.append(json.loads(request.query["TemplateParam"]))
        return original(request, body)

    rig.fake.message = message  # type: ignore[method-assign]
    return found
