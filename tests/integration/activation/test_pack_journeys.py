"""Runs the journeys of the packs over the real store and fold: what begins, repeats, ends them."""

from __future__ import annotations

from typing import Any

import pytest
from integration.activation.desk_fixture import Desk
from integration.activation.journey_fixture import BEGIN, JourneyBench, leaf
from pack_rules import PACKS

from services.activation.domain.journeys.run import Question
from services.chassis.codec.journeys import (
    contact_policy_from_proto,
    coupon_pool_from_proto,
    journey_from_proto,
    queue_from_proto,
)
from services.cli.definitions import Pack, read_pack
from services.kernel.desk.queue_form import dump_queue
from services.kernel.journeys.contact_policy import ConsentNeed
from services.kernel.journeys.model import Journey
from services.kernel.journeys.tree import with_coupon_uses
from services.kernel.rules.model import Reference
from services.kernel.time import DAY_US, HOUR_US

VALUES = {"COUPON_URL": "https://example.com/", "COUPON_SECRET": "whsec_YQ=="}
OPEN, CANCELLED = 1, 4
#: Of a membership that moves with a merge, and of one that a definition changes.
MERGE, DEFINITION = 3, 2


def pack(name: str) -> Pack:
    return read_pack(PACKS / name, VALUES)


def journey(name: str, journey_id: str) -> Journey:
    """Return a journey of a pack, with the uses of its coupons as the service sets them."""
    own = pack(name)
    [message] = [each for each in own.journeys if each.journey_id == journey_id]
    pools = [coupon_pool_from_proto(each) for each in own.pools]
    return with_coupon_uses(journey_from_proto(message), {p.pool_id: p.used for p in pools})


@pytest.fixture
def desk(bench: JourneyBench) -> Desk:
    return Desk.of(bench)


async def define(desk: Desk, name: str, *journeys: str, agents: Any = ({"id": "wang"},)) -> None:
    """Define journeys of a pack, and its queues with some agents."""
    for message in pack(name).queues:
        form = dump_queue(queue_from_proto(message))
        assert isinstance(form, dict)
        await desk.queue(**{**form, "agents": list(agents)})
    for journey_id in journeys:
        await desk.bench.define_journey(journey(name, journey_id))


def in_stage(stage: str) -> Any:
    """Return a function that answers whether a person is in a stage."""

    def truth(question: Question) -> bool:
        return isinstance(question.rule, Reference) and question.rule.value == stage

    return truth


async def test_recall_begins_with_the_change_of_the_stage_and_not_with_each_evaluation(
    desk: Desk,
) -> None:
    bench = desk.bench
    await define(desk, "retail", "win-back")
    await bench.enter("stage:lifecycle=沉默客户", 1)
    await bench.enter("stage:lifecycle=沉默客户", 2, cause=DEFINITION)
    await desk.rest(1)
    assert await bench.send() == ["miss-you"]
    # The stage is the same in every later evaluation, so nothing is published and nothing follows.
    await desk.rest(14 * 24)
    assert await bench.send() == ["last-call"]
    await bench.enter("stage:lifecycle=沉默客户", 1, ordinal=3)
    await desk.rest(1)
    assert await bench.send() == [], "90 days have not passed since the last run"


async def test_loyal_customer_is_invited_once_and_only_with_consent(desk: Desk) -> None:
    bench = desk.bench
    await define(desk, "retail", "vip-invitation")
    for ordinal in (1, 3):
        await bench.enter("stage:lifecycle=忠诚客户", 1, ordinal=ordinal)
        await desk.rest(24 * 400)
    assert [row["step_id"] for row in await bench.ledger.rows()] == ["invitation"]
    # The gate asks for the consent of the purpose; its own tests show what it refuses.
    [row] = await bench.ledger.rows()
    policy = contact_policy_from_proto(pack("retail").contact_policy)  # type: ignore[arg-type]
    assert policy.purposes[row["purpose"]].consent is ConsentNeed.GRANTED


@pytest.mark.parametrize(
    ("stage", "step"),
    [("首购客户", ["guide"]), ("复购客户", ["club"]), ("忠诚客户", ["referral"]), ("沉默客户", [])],
)
async def test_message_after_an_order_is_that_of_the_stage_at_its_instant(
    desk: Desk, stage: str, step: list[str]
) -> None:
    bench = desk.bench
    await define(desk, "retail", "after-order")
    await bench.happen("order_paid")
    bench.upstream.truth = in_stage("首购客户")
    await desk.rest(24)
    bench.upstream.truth = in_stage(stage)
    await desk.rest(24 * 6)
    assert await bench.send() == step
    assert {question.at_us for question in bench.upstream.questions} == {BEGIN + 7 * DAY_US}


async def test_first_contact_is_welcomed_once_also_after_a_merge(desk: Desk) -> None:
    bench = desk.bench
    await define(desk, "retail", "first-contact")
    for person in (1, 2):
        await bench.enter("journey:first-contact", person)
    await desk.rest(1)
    assert await bench.send() == ["welcome", "welcome"], "two persons, as far as is known"
    # They turn out to be one, whose membership moves: it is no contact, and no second welcome.
    await bench.move(2, 1, version=2)
    await bench.enter("journey:first-contact", 1, ordinal=3, cause=MERGE)
    await desk.rest(48)
    assert await bench.send() == []
    # Of one person with two leaves there was one first event.
    await bench.move(4, 3, version=1)
    await bench.enter("journey:first-contact", 3)
    await bench.enter("journey:first-contact", 4)
    await desk.rest(1)
    assert await bench.send() == ["welcome"]


async def test_lead_gets_the_content_of_the_interest_and_none_of_it_twice(desk: Desk) -> None:
    bench = desk.bench
    await define(desk, "saas", "automation-lead", "analytics-lead")
    await bench.enter("tag:interest=自动化", 1)
    await bench.enter("tag:interest=数据分析", 2)
    await desk.rest(1)
    await desk.rest(24 * 8)
    rows = await bench.ledger.rows()
    sent = sorted((row["leaf_id"] == leaf(1), row["journey_id"], row["step_id"]) for row in rows)
    assert sent == [
        (False, "analytics-lead", "paper"),
        (True, "automation-lead", "case"),
        (True, "automation-lead", "paper"),
    ]
    # The interest ends, another one begins, and the first one comes back.
    await bench.enter("tag:interest=自动化", 1, ordinal=2)
    await bench.enter("tag:interest=数据分析", 1)
    await bench.enter("tag:interest=自动化", 1, ordinal=3)
    await desk.rest(24 * 400)
    rows = [row for row in await bench.ledger.rows() if row["leaf_id"] == leaf(1)]
    assert sorted((row["journey_id"], row["step_id"]) for row in rows) == [
        *(("analytics-lead", "paper"), ("automation-lead", "case"), ("automation-lead", "paper"))
    ]


async def test_birthday_of_a_customer_of_high_value_is_a_task_of_the_personal_agent(
    desk: Desk,
) -> None:
    bench = desk.bench
    agents = [{"id": "li"}, {"id": "wang"}]
    await define(desk, "retail", "birthday-care", agents=agents)
    bench.upstream.traits = {leaf(n): {"personal_agent": "wang"} for n in (1, 2)}
    high_value = {leaf(1)}

    async def judge(questions: Any, at_least: Any) -> dict[Any, bool]:
        bench.upstream.questions += [question for _, question in questions]
        return {each: each[0].profile_id in high_value for each in questions}

    bench.upstream.judge = judge  # type: ignore[method-assign]
    # The birthday is 10 March, so 3 March is seven days before; that day begins at 10:00 UTC of the
    # second where days begin first.
    await desk.rest(10)
    for person in (1, 2):
        await bench.enter("journey:birthday-care", person)
    await desk.rest(23.9)
    assert await desk.tickets() == []
    await desk.rest(0.1)
    [row] = await desk.tickets()
    at_us = BEGIN + 34 * HOUR_US  # 10:00 in the zone of the person
    assert (row["leaf_id"], row["agent_id"], row["opened_at_us"]) == (leaf(1), "wang", at_us)
    assert {question.at_us for question in bench.upstream.questions} == {at_us}
    await desk.rest(24 * 30)
    assert len(await desk.tickets()) == 1
    # The next year: the person of the second leaf is of high value then, and the first is not.
    high_value = {leaf(2)}
    await bench.pass_time(24 * 330)
    for person in (1, 2):
        await bench.enter("journey:birthday-care", person, ordinal=3)
    await desk.rest(48)
    assert [row["leaf_id"] for row in await desk.tickets()] == [leaf(1), leaf(2)]


async def test_score_over_the_threshold_is_one_task_and_the_payment_closes_it(desk: Desk) -> None:
    bench = desk.bench
    await define(desk, "saas", "churn-predicted")
    await bench.enter("churn-predicted", 1)
    await desk.rest(1)
    # It falls below and rises again within 30 days.
    await bench.enter("churn-predicted", 1, ordinal=2)
    await bench.enter("churn-predicted", 1, ordinal=3)
    await desk.rest(24)
    assert [row["state"] for row in await desk.tickets()] == [OPEN]
    await bench.happen("subscription_paid")
    await desk.rest(1)
    assert [row["state"] for row in await desk.tickets()] == [CANCELLED]


async def test_dissatisfied_customer_is_called_back_once(desk: Desk) -> None:
    bench = desk.bench
    await define(desk, "retail", "dissatisfied")
    await bench.enter("dissatisfied", 1)
    await desk.rest(1)
    await bench.enter("dissatisfied", 1, ordinal=2)
    await bench.enter("dissatisfied", 1, ordinal=3)
    await desk.rest(24)
    [row] = await desk.tickets()
    assert (row["title"], row["agent_id"]) == ("客户不满，请尽快回访", "wang")


async def test_newcomer_without_an_order_gets_one_coupon_after_seven_days(desk: Desk) -> None:
    bench = desk.bench
    await define(desk, "retail", "first-order")
    for person in (1, 2, 3):
        await bench.happen("registered", person)
    await desk.rest(24 * 6)
    await bench.happen("order_paid", 1)
    await bench.lose_database()
    await desk.rest(23.9)
    assert await bench.ledger.rows() == []
    # An order in time that is learnt after the seven days, and before the attempt.
    await bench.pass_time(0.2)
    await bench.look()
    await bench.happen("order_paid", 2, occurred_at_us=BEGIN + 6 * DAY_US)
    await desk.rest(1)
    assert await bench.send() == ["coupon"]
    assert {row["leaf_id"] for row in await bench.ledger.rows(state=3)} == {leaf(3)}
    await bench.lose_database()
    await bench.happen("registered", 3)
    await desk.rest(24 * 30)
    assert await bench.send() == []
