"""Tests runs of journeys over the real store: begun by events, due by time, ended by goals."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from integration.activation.journey_fixture import BEGIN, CART, JourneyBench, calls, leaf
from integration.activation.ledger_fixture import W
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.activation.codec import journey_inputs
from services.activation.codec.journey_runs import RUN_TRANSITIONED, transition_fact
from services.activation.projection import fold as fold_module
from services.activation.projection.journeys.verification import FACT_DIFFERS, NOT_LOGGED
from services.chassis.codec.journeys import contact_policy_to_proto
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import LeafId
from services.kernel.journeys.contact_policy import parse_contact_policy
from services.kernel.time import DAY_US, HOUR_US, MINUTE_US

CHOOSE: dict[str, Any] = {
    "id": "choose",
    "enter": {"event": "entered"},
    "steps": [
        {"wait": "1h"},
        {
            "choose": [
                {
                    "when": {"trait": {"name": "vip", "exists": True}},
                    "steps": [{"send": {"id": "vip", "to": "mail", "template": "t"}}],
                },
                {"steps": [{"send": {"id": "other", "to": "mail", "template": "t"}}]},
            ],
            "id": "who",
        },
    ],
}


async def test_changes_of_memberships_that_nothing_waits_for_are_not_decoded(
    bench: JourneyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("nothing waits for it")

    await bench.define(**CART)
    monkeypatch.setattr(fold_module, "triggering_change", decode)
    monkeypatch.setattr(journey_inputs, "JourneyFact", decode)
    await bench.enter("a-segment-that-no-journey-names")


async def test_cart_that_is_not_paid_gets_one_message_after_its_transition(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated")
    await bench.come_to_rest(1.9)
    assert bench.log.kinds() == ["began"]
    await bench.pass_time(0.2)
    await bench.look()
    assert await bench.effects() == {"reminder": "planned"}
    await bench.come_to_rest()
    assert bench.log.kinds() == ["began", "planned", "ended"]
    assert await bench.send() == ["reminder"]
    await bench.come_to_rest(24)
    assert await bench.send() == []
    [run] = await bench.runs()
    assert (run["state"], run["number"]) == (3, 3)
    assert await bench.ledger.database.pool.fetch("SELECT * FROM run_unpublished") == []


async def test_payment_of_another_shard_at_the_last_microsecond_stops_the_message(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.move(2, 1, version=1)
    due_us = BEGIN + 2 * HOUR_US
    # The shard of the payment is behind: the due has passed on every other one.
    bench.now_us = due_us + 1
    await bench.pass_time(shards=[0, 1, 3])
    await bench.look()
    assert await bench.effects() == {}
    bench.now_us = due_us
    await bench.happen("order_paid", 2, profile=1, version=1)
    await bench.come_to_rest(1)
    assert bench.log.kinds() == ["began", "ended"]
    assert await bench.effects() == {}


async def test_payment_of_another_shard_a_microsecond_after_the_due_leaves_one_message(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.move(2, 1, version=1)
    bench.now_us = BEGIN + 2 * HOUR_US
    await bench.come_to_rest()
    assert bench.now_us == BEGIN + 2 * HOUR_US + 1
    assert await bench.send() == ["reminder"]
    await bench.happen("order_paid", 2, profile=1, version=1)
    await bench.come_to_rest(24)
    assert await bench.send() == []
    rpc = await calls(bench)
    request = pb.ListRegretsRequest(journey_id="cart")
    assert not (await rpc.ListRegrets(request, None)).regrets, "it should have been sent"


async def test_payment_before_the_attempt_withdraws_the_message(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest(2)
    assert await bench.effects() == {"reminder": "pending"}
    paid = await bench.happen("order_paid", 1)
    await bench.come_to_rest()
    assert bench.log.kinds() == ["began", "planned", "ended", "withdrawn"]
    [row] = await bench.ledger.rows()
    assert (row["state"], row["reason"]) == (5, f"overtaken:{paid.fact_id.hex()}")


async def test_payment_after_the_attempt_leaves_the_message(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest(2)
    assert await bench.send() == ["reminder"]
    await bench.happen("order_paid", 1)
    await bench.come_to_rest()
    assert bench.log.kinds() == ["began", "planned", "ended"]


async def test_question_is_answered_between_two_looks_and_its_answer_is_in_the_log(
    bench: JourneyBench,
) -> None:
    await bench.define(**CHOOSE)
    await bench.happen("entered")
    await bench.come_to_rest(2)
    assert bench.log.kinds() == ["began", "answered", "planned", "ended"]
    assert list(await bench.effects()) == ["vip"]
    assert [question.at_us for question in bench.upstream.questions] == [BEGIN + HOUR_US]


async def test_question_without_an_answer_holds_its_run_and_no_other(bench: JourneyBench) -> None:
    await bench.define(**CHOOSE)
    await bench.define(**CART)
    await bench.happen("entered", 1)
    await bench.happen("cart_updated", 2)
    bench.upstream.error = ServiceUnavailable("not backfilled yet")
    await bench.come_to_rest(3)
    assert list(await bench.effects()) == ["reminder"]
    bench.upstream.error = None
    await bench.ledger.database.pool.execute("UPDATE journey_due SET retry_at = NULL")
    await bench.come_to_rest()
    assert set(await bench.effects()) == {"reminder", "vip"}


async def test_condition_that_refused_an_entry_is_evaluated_once(bench: JourneyBench) -> None:
    vip = {"trait": {"name": "vip", "exists": True}}
    await bench.define(**{**CART, "enter": {"event": "cart_updated", "if": vip}})
    bench.upstream.truth = lambda _: False
    await bench.happen("cart_updated")
    await bench.come_to_rest()
    await bench.happen("order_paid")
    await bench.come_to_rest()
    assert len(bench.upstream.questions) == 1
    assert await bench.runs() == []


async def test_quiet_hours_are_those_of_the_zone_of_the_person(bench: JourneyBench) -> None:
    form = {
        "zone": {"traits": ["timezone"], "else": "UTC"},
        "purposes": {"marketing": {"consent": "none", "quiet": {"from": "21:00", "to": "09:00"}}},
    }
    await bench.policy(contact_policy_to_proto(parse_contact_policy(form)))
    await bench.define(**CART)
    bench.upstream.zone[leaf(1)] = "Asia/Shanghai"
    await bench.happen("cart_updated", 1)
    await bench.happen("cart_updated", 2)
    await bench.come_to_rest(2.5)  # 02:30 in UTC, 10:30 in Shanghai
    states = {run["leaf_id"]: run["state"] for run in await bench.runs()}
    assert states == {leaf(1): 3, leaf(2): 1}
    await bench.come_to_rest(7)
    assert [run["state"] for run in await bench.runs()] == [3, 3]


async def test_runs_of_two_merged_persons_send_one_message(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest(1)
    await bench.happen("cart_updated", 2)
    await bench.come_to_rest()
    await bench.move(2, 1, version=1)
    await bench.come_to_rest(5)
    assert await bench.send() == ["reminder"]
    assert [run["state"] for run in await bench.runs()] == [3, 2]


async def test_goal_of_a_leaf_that_leaves_the_person_opens_the_run_again(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.move(2, 1, version=1)
    await bench.come_to_rest(1)
    await bench.happen("order_paid", 2, profile=1, version=1)
    await bench.come_to_rest()
    assert bench.log.kinds() == ["began", "ended"]
    await bench.move(2, 2, version=2)
    await bench.come_to_rest(0.1)
    await bench.come_to_rest(5)
    assert bench.log.kinds() == ["began", "ended", "reopened", "planned", "ended"]


async def test_event_of_before_the_journey_begins_no_run(bench: JourneyBench) -> None:
    bench.now_us += HOUR_US
    await bench.define(**CART)
    await bench.happen("cart_updated", occurred_at_us=BEGIN)
    await bench.come_to_rest(5)
    assert await bench.runs() == []


async def test_stop_ends_open_runs_and_withdraws_what_was_not_begun(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest(2)
    await bench.happen("cart_updated", 2)
    await bench.come_to_rest()
    await bench.flow("cart", facts_pb.FLOW_STOPPED)
    await bench.come_to_rest(1)
    await bench.happen("cart_updated", 3)
    await bench.come_to_rest(5)
    ends = [run["end_reason"] for run in await bench.runs()]
    assert ends == [1, 9]


async def test_new_version_moves_the_people_inside(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest(1)
    steps = [{"wait": "4h"}, {"send": {"id": "later", "to": "mail", "template": "t"}}]
    await bench.define(**{**CART, "steps": steps, "people_inside": "move"})
    await bench.come_to_rest(2)
    assert bench.log.kinds() == ["began", "moved"]
    await bench.come_to_rest(2)
    assert list(await bench.effects()) == ["later"]
    assert [run["version"] for run in await bench.runs()] == [2]


async def test_refused_transition_makes_the_run_that_of_the_log(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.pass_time(us=1)
    await bench.look()
    [row] = await bench.ledger.database.pool.fetch("SELECT run_id, transitions FROM run")
    # Another worker was first: the same run, as it was known at another instant.
    [began] = runs_pb.RunTransitions.FromString(row["transitions"]).transitions
    began.known_at_us -= 1
    fact = transition_fact(W, LeafId(leaf(1)), began, "activation")
    bench.log.facts[fact.fact_id] = fact
    await bench.come_to_rest()
    assert [each.known_at_us for each in bench.log.transitions()] == [began.known_at_us]
    await bench.come_to_rest(3)
    assert bench.log.kinds() == ["began", "planned", "ended"]


async def test_lost_database_is_restored_from_the_log_and_sends_nothing_twice(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    for number in range(1, 9):
        await bench.happen("cart_updated", number)
    await bench.come_to_rest(1)
    await bench.happen("order_paid", 8)
    await bench.come_to_rest(1)
    pool = bench.ledger.database.pool
    await pool.execute(
        "UPDATE effect SET state = 3, attempts = 1, begun_at_us = 5, ended_at = now()"
        " WHERE effect_id IN (SELECT effect_id FROM effect ORDER BY effect_id LIMIT 4)"
    )
    await bench.publish_ends()
    before = {bytes(r["effect_id"]): r["state"] for r in await bench.ledger.rows()}
    records = {bytes(r["run_id"]): bytes(r["transitions"]) for r in await bench.runs()}
    await bench.lose_database()
    after = {bytes(r["effect_id"]): r["state"] for r in await bench.ledger.rows()}
    # Those without an end may have been sent: their channels decide.
    assert after == {id_: 3 if state == 3 else 2 for id_, state in before.items()}
    assert {bytes(r["run_id"]): bytes(r["transitions"]) for r in await bench.runs()} == records
    appended = len(bench.log.facts)
    await bench.come_to_rest(24)
    assert len(bench.log.facts) == appended
    assert {bytes(r["effect_id"]) for r in await bench.ledger.rows()} == set(before)


async def test_step_starts_another_journey_with_the_properties_of_the_entry(
    bench: JourneyBench,
) -> None:
    first = {"id": "first", "enter": {"event": "entered"}, "steps": [{"start": "second"}]}
    send = {"send": {"id": "hello", "to": "mail", "template": "t"}}
    await bench.define(**first)
    await bench.define(id="second", enter={"call": True}, steps=[send])
    await bench.happen("entered", plan="gold")
    await bench.come_to_rest()
    assert await bench.carry_out() == ["JourneyEntered"]
    await bench.come_to_rest(0.1)
    rows = await bench.ledger.rows(step_id="hello")
    assert [row["variables"] for row in rows] == [b'{"entry":{"plan":"gold"}}']
    assert await bench.carry_out() == []


async def test_journeys_that_begin_each_other_stop_at_a_depth(bench: JourneyBench) -> None:
    ring = {"a": "b", "b": "c", "c": "a"}
    for own, following in ring.items():
        steps = [{"wait": "1m"}, {"start": following}]
        await bench.define(id=own, enter={"call": True}, steps=steps)
    await bench.define(id="begin", enter={"event": "entered"}, steps=[{"start": "a"}])
    await bench.happen("entered")
    started = 0
    for _ in range(12):
        await bench.come_to_rest(0.1)
        started += len(await bench.carry_out())
    assert started == 8
    refused = await bench.ledger.rows(state=5)
    assert [row["reason"] for row in refused] == ["more than 8 journeys have begun each other"]


async def test_step_puts_a_tag_as_a_fact_of_the_person(bench: JourneyBench) -> None:
    await bench.define(id="p", enter={"event": "entered"}, steps=[{"put": {"tag": "eager"}}])
    await bench.happen("entered")
    await bench.come_to_rest()
    assert await bench.carry_out() == ["TraitCorrected"]
    assert [row["state"] for row in await bench.ledger.rows()] == [3]


async def lived_journeys(bench: JourneyBench) -> None:
    """Let four persons live through two journeys, with a merge, a late goal and an answer."""
    await bench.define(**CART)
    await bench.define(**CHOOSE)
    for number in range(1, 5):
        await bench.happen("cart_updated", number, total=number)
        await bench.happen("entered", number)
    await bench.come_to_rest(0.5)
    await bench.happen("order_paid", 2)
    await bench.move(4, 3, version=1)
    await bench.come_to_rest(1.6)
    await bench.send()
    await bench.happen("order_paid", 1, occurred_at_us=BEGIN + HOUR_US)
    await bench.come_to_rest(3)


async def test_transitions_follow_from_what_the_log_has(bench: JourneyBench) -> None:
    await lived_journeys(bench)
    found = await bench.verify()
    assert found.unjustified == []
    assert (found.runs, found.transitions) == (8, len(bench.log.transitions()))


def flipped(payload: bytes, at: int) -> bytes:
    """Return a payload with one bit of a byte changed."""
    return payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]


def read_bytes(payload: bytes) -> list[int]:
    """Return where an event has what journeys read of it: its name and a property."""
    spans = [re.search(rb"entered|cart_updated|order_paid", payload)]
    spans += [re.search(rb'total": \d', payload)]
    return [at for span in spans if span for at in range(*span.span())]


async def test_byte_of_an_event_that_was_changed_in_the_log_is_found(bench: JourneyBench) -> None:
    """T20: what journeys read of an event, its instants, its leaf, and that it is there."""
    await lived_journeys(bench)
    events = [fact for fact in bench.log.facts.values() if fact.kind.endswith(".Event")]
    changes: list[tuple[Fact, Fact]] = []
    for fact in events:
        for at in read_bytes(fact.payload)[:: len(events) - 1]:
            changes.append((fact, Fact()))
            changes[-1][1].CopyFrom(fact)
            changes[-1][1].payload = flipped(fact.payload, at)
    first = events[0]
    for name, value in (("occurred_at_us", 1), ("leaf_id", leaf(9)), ("payload", b"\xff")):
        changes.append((first, Fact()))
        changes[-1][1].CopyFrom(first)
        setattr(changes[-1][1], name, value)
    for fact, other in changes:
        bench.log.facts[fact.fact_id] = other
        found = (await bench.verify()).unjustified
        assert {each.problem for each in found} == {FACT_DIFFERS}, other.payload
        bench.log.facts[fact.fact_id] = fact
    assert len(changes) > 20
    del bench.log.facts[first.fact_id]
    assert {each.problem for each in (await bench.verify()).unjustified} == {FACT_DIFFERS}


async def test_byte_of_a_transition_that_was_changed_in_the_log_is_found(
    bench: JourneyBench,
) -> None:
    """T20: the run and the number are named."""
    await lived_journeys(bench)
    facts = [fact for fact in bench.log.facts.values() if fact.kind == RUN_TRANSITIONED]
    for place, fact in enumerate(facts):
        payload = fact.payload
        message = runs_pb.RunTransitioned.FromString(payload)
        for at in {0, len(payload) - 1, place % len(payload), 7 * place % len(payload)}:
            fact.payload = flipped(payload, at)
            found = {(u.run_id, u.number, u.problem) for u in (await bench.verify()).unjustified}
            assert (message.run_id, message.number, NOT_LOGGED) in found, at
        fact.payload = payload
    assert (await bench.verify()).unjustified == []


async def test_entry_with_a_key_inside_of_an_object_is_verified(bench: JourneyBench) -> None:
    enter = {"event": "cart_updated", "per": "cart.id", "again": "always"}
    await bench.define(**{**CART, "enter": enter})
    event = bench.event("cart_updated", 1, cart={"id": "a"})
    # Profile passes the values on by their paths.
    event.properties = b'{"cart.id":"a"}'
    await bench.fold(1, MembershipsChanged(matched_events=[event]))
    await bench.come_to_rest(3)
    found = await bench.verify()
    assert (found.runs, found.unjustified) == (1, [])


async def test_transition_that_does_not_follow_is_found(bench: JourneyBench) -> None:
    await lived_journeys(bench)
    # The store and the log agree on an end that nothing explains.
    pool = bench.ledger.database.pool
    row = await pool.fetchrow("SELECT * FROM run WHERE state = 3 ORDER BY run_id LIMIT 1")
    assert row is not None
    stored = runs_pb.RunTransitions.FromString(row["transitions"])
    last = next(each for each in stored.transitions if each.HasField("ended"))
    last.ended.at_us += 1
    await pool.execute("UPDATE run SET transitions = $1", stored.SerializeToString())
    fact = transition_fact(W, row["leaf_id"], last, "activation")
    bench.log.facts[fact.fact_id] = fact
    await pool.execute("DELETE FROM run WHERE run_id <> $1", row["run_id"])
    [problem] = (await bench.verify()).unjustified
    assert (problem.run_id, problem.number) == (row["run_id"], last.number)


def schedule(**enter: Any) -> dict[str, Any]:
    send = {"send": {"id": "news", "to": "mail", "template": "t"}}
    at = {"at": "2026-03-02T10:00", "zone": "UTC"}
    return {"id": "news", "enter": {"schedule": at, "audience": "all", **enter}, "steps": [send]}


async def test_audience_of_a_schedule_begins_once_whatever_repeats(bench: JourneyBench) -> None:
    bench.upstream.audience["all"] = [[leaf(1), leaf(2)], [leaf(3)]]
    await bench.define(**schedule())
    await bench.come_to_rest(9)
    assert await bench.engine.scheduler.take_once() == 0
    await bench.come_to_rest(2)
    await asyncio.gather(*(bench.engine.scheduler.take_once() for _ in range(2)))
    while await bench.engine.scheduler.take_once():
        pass
    await bench.come_to_rest()
    runs = await bench.runs()
    assert {run["leaf_id"] for run in runs} == {leaf(1), leaf(2), leaf(3)}
    assert {run["begun_at_us"] for run in runs} == {BEGIN + 10 * HOUR_US}
    row = await bench.ledger.database.pool.fetchrow("SELECT * FROM schedule_occurrence")
    assert row is not None
    assert (row["taken"], row["is_complete"]) == (3, True)


async def test_audience_of_a_schedule_begins_at_its_pace_and_in_the_zone_of_each(
    bench: JourneyBench,
) -> None:
    form = {"zone": {"traits": ["timezone"], "else": "UTC"}}
    await bench.policy(contact_policy_to_proto(parse_contact_policy(form)))
    bench.upstream.audience["all"] = [[leaf(1), leaf(2)]]
    bench.upstream.zone[leaf(1)] = "Asia/Shanghai"
    own = {"at": "2026-03-03T10:00", "zone": "person"}
    await bench.define(**schedule(schedule=own, pace="60/h"))
    await bench.come_to_rest(24)
    assert await bench.engine.scheduler.take_once() == 1
    await bench.come_to_rest(12)
    begun = {run["leaf_id"]: run["begun_at_us"] - BEGIN for run in await bench.runs()}
    assert begun == {leaf(1): 26 * HOUR_US, leaf(2): 34 * HOUR_US + HOUR_US // 60}


async def test_look_that_is_not_taken_for_a_minute_raises_the_metric(bench: JourneyBench) -> None:
    await bench.define(**CART)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest()
    await bench.pass_time(2, us=MINUTE_US - 1)
    assert await bench.engine.upkeep.count_overdue() == 0
    await bench.pass_time(us=1)
    metric = bench.engine.upkeep.metrics.overdue._value
    await bench.engine.upkeep.measure()
    assert metric.get() == 1
    await bench.look()
    await bench.engine.upkeep.measure()
    assert metric.get() == 0


async def test_facts_are_deleted_long_after_the_last_run_of_their_person(
    bench: JourneyBench,
) -> None:
    steps = [*CART["steps"], {"wait": "70d"}]
    await bench.define(**{**CART, "steps": steps})
    await bench.happen("cart_updated", 1)
    await bench.happen("cart_updated", 2)
    await bench.come_to_rest()
    await bench.happen("order_paid", 2)
    for days in (59, 2, 62):
        await bench.come_to_rest(24 * days)
        deleted = await bench.engine.upkeep.delete_facts()
        assert deleted == {59: 0, 2: 2, 62: 0}[days]
    before = bench.log.kinds()
    await bench.come_to_rest(24 * 10)
    assert await bench.engine.upkeep.delete_facts() == 1
    await bench.happen("cart_updated", 2)
    await bench.come_to_rest()
    # What was deleted changes nothing of what has ended.
    assert bench.log.kinds() == [*before, "began"]


async def test_late_payment_is_a_regret_and_a_message_that_follows_is_none(
    bench: JourneyBench,
) -> None:
    await bench.define(**CART)
    for number in (1, 2):
        await bench.happen("cart_updated", number)
    await bench.come_to_rest(2)
    await bench.send()
    late = await bench.happen("order_paid", 1, occurred_at_us=BEGIN + HOUR_US)
    await bench.come_to_rest()
    rpc = await calls(bench)
    response = await rpc.ListRegrets(pb.ListRegretsRequest(journey_id="cart"), None)
    assert (response.persons, response.left_out) == (2, 0)
    [regret] = response.regrets
    assert (regret.profile_id, regret.step_id) == (leaf(1).hex(), "reminder")
    assert (regret.kind, regret.sent_at_us) == (pb.REGRET_KIND_UNWANTED, BEGIN + 2 * HOUR_US)
    assert regret.fact_id == late.fact_id.hex()


async def test_every_entry_of_a_person_is_explained(bench: JourneyBench) -> None:
    await bench.define(**{**CART, "enter": {"event": "cart_updated", "not_after": "1h"}})
    for occurred_us in (BEGIN, BEGIN + HOUR_US, BEGIN + 5 * HOUR_US, BEGIN + 6 * HOUR_US):
        bench.now_us = occurred_us
        await bench.happen("cart_updated", occurred_at_us=occurred_us)
        await bench.come_to_rest()
    await bench.pass_time(2)
    await bench.happen("cart_updated", occurred_at_us=BEGIN + 4 * HOUR_US)
    await bench.come_to_rest()
    rpc = await calls(bench)
    request = pb.WhyRunRequest(journey_id="cart", profile_id=leaf(1).hex())
    response = await rpc.WhyRun(request, None)
    reasons = [
        pb.EntryReason.Name(e.reason).removeprefix("ENTRY_REASON_") for e in response.entries
    ]
    assert reasons == ["BEGUN", "INSIDE", "LEARNT_TOO_LATE", "BEGUN", "INSIDE"]
    first, second, late, *_ = response.entries
    assert list(second.cited_fact_ids) == [second.fact_id, first.fact_id]
    assert list(late.cited_fact_ids) == [late.fact_id]
    assert {each.run.run_id for each in response.runs} == {
        each.run_id for each in response.entries if each.run_id
    }


async def test_membership_by_an_event_of_long_ago_begins_no_run_and_says_why(
    bench: JourneyBench,
) -> None:
    await bench.define(**{**CART, "enter": {"segment": {"id": "buyers"}}})
    await bench.pass_time(30)
    entered_us = bench.now_us
    old_us, new_us = entered_us - 25 * HOUR_US, entered_us - HOUR_US
    await bench.enter("buyers", 1, occurred_at_us=old_us)
    await bench.enter("buyers", 2, occurred_at_us=new_us)
    await bench.enter("buyers", 3)
    await bench.enter("buyers", 4, occurred_at_us=entered_us - 1_800 * DAY_US)
    await bench.pass_time(3)
    await bench.come_to_rest()
    await bench.send()
    rows = await bench.ledger.rows()
    assert {row["profile_id"] for row in rows} == {leaf(2), leaf(3)}
    # A run begins when the log has learnt of the membership, however old its event is.
    assert {row["changed_at_us"] for row in rows} == {entered_us + 2 * HOUR_US}
    rpc = await calls(bench)

    async def why(of: int) -> pb.EntryExplanation:
        request = pb.WhyRunRequest(journey_id="cart", profile_id=leaf(of).hex())
        [entry] = (await rpc.WhyRun(request, None)).entries
        return entry

    old, new, unknown, before = [await why(of) for of in (1, 2, 3, 4)]
    # What took place before the journey was defined is nothing to it, as an event of then.
    assert before.reason == pb.ENTRY_REASON_NOT_LIVE
    assert (old.reason, old.caused_at_us) == (pb.ENTRY_REASON_LEARNT_TOO_LATE, old_us)
    assert (new.reason, new.caused_at_us) == (pb.ENTRY_REASON_BEGUN, new_us)
    assert (unknown.reason, unknown.HasField("caused_at_us")) == (pb.ENTRY_REASON_BEGUN, False)
    # A replay makes the same transitions, and what would have been is what was.
    verified = await rpc.VerifyRuns(pb.VerifyRunsRequest(), None)
    assert not verified.unjustified
    regrets = await rpc.ListRegrets(pb.ListRegretsRequest(journey_id="cart"), None)
    assert not regrets.regrets


async def test_runs_of_a_journey_add_up(bench: JourneyBench) -> None:
    await lived_journeys(bench)
    rpc = await calls(bench)
    found = await rpc.SummarizeJourney(pb.SummarizeJourneyRequest(journey_id="cart"), None)
    assert found.begun == found.open + found.asleep + sum(each.count for each in found.ended) == 4
    audit = await rpc.AuditRuns(pb.AuditRunsRequest(), None)
    assert (list(audit.findings), audit.wait_for_answers) == ([], 0)
    await bench.ledger.database.pool.execute("UPDATE run SET state = 1, ended_at_us = NULL")
    audit = await rpc.AuditRuns(pb.AuditRunsRequest(journey_id="cart"), None)
    assert {each.problem for each in audit.findings} == {pb.RUN_PROBLEM_WITHOUT_DUE}
    listed = await rpc.ListRuns(pb.ListRunsRequest(profile_id=leaf(3).hex(), page_size=1), None)
    [run] = listed.runs
    assert listed.next_page_token
    whole = await rpc.GetRun(pb.GetRunRequest(run_id=run.run_id), None)
    assert [each.number for each in whole.transitions] == list(range(1, len(whole.transitions) + 1))


async def test_looks_and_publications_of_the_same_runs_lock_in_one_order(
    bench: JourneyBench,
) -> None:
    wait = {"wait": "1h"}
    sends = [{"send": {"id": f"s{n}", "to": "mail", "template": "t"}} for n in range(4)]
    steps = [step for send in sends for step in (wait, send)]
    await bench.define(id="many", enter={"event": "entered"}, steps=steps)
    for number in range(1, 61):
        await bench.happen("entered", number)

    async def publish() -> None:
        for _ in range(12):
            await bench.engine.publisher.publish_once()

    for _ in range(5):
        await bench.pass_time(1, us=1)
        await asyncio.gather(bench.look(), publish(), publish(), bench.look())
    await bench.come_to_rest()
    assert await bench.effects() == dict.fromkeys(("s0", "s1", "s2", "s3"), "pending")
    assert len(bench.log.transitions()) == 60 * 6
