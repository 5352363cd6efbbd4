"""An erased person is gone from runs, messages and tickets, and the others are untouched."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import pytest
from integration.activation.journey_fixture import CART, EMPTY, JourneyBench, leaf
from integration.activation.ledger_fixture import Ledger, W
from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged
from properties import PROFILE

from services.activation.codec.bus import DELIVERY_ENDED
from services.activation.codec.journey_runs import RUN_TRANSITIONED
from services.kernel.errors import TokenNotReached

PLANTED = b"planted words"
#: Rows of the person with a leaf, in the tables that runs of these tests do not fill.
ROWS = """
INSERT INTO ticket (ticket_id, workspace_id, leaf_id, title, state) VALUES ($1, $2, $1, $3, 1);
INSERT INTO ticket_fact VALUES ($1, $1, $2, 'ticket_opened', 1, $4, $4);
INSERT INTO coupon VALUES ($5, $2, $5, $5, $1, 'j', 'n', 'pool', 'code', 1);
INSERT INTO report VALUES ($5, $2, 'mail', $5, $1, $5, 'j', 's', 'opened', 1, false, '', false);
INSERT INTO entry_answer VALUES ($2, 'j', $1, $4);
INSERT INTO slot_person (workspace_id, profile_id, row_id) VALUES ($2, $1, gen_random_uuid());
INSERT INTO mirror_member VALUES ($2, 'crm', $1, '{"s": 1}', '{key}', 1, now(), NULL);
INSERT INTO address VALUES ($2, $1, 'dead');
INSERT INTO failed_fact (shard, sequence, unit_key, workspace_id, payload)
    VALUES (0, 0, $1, $2, $6);
UPDATE journey_fact SET properties = $4 WHERE leaf_id = $1;
UPDATE effect SET payload = $4, variables = $4, address_key = $1 WHERE leaf_id = $1;
"""


async def plant(bench: JourneyBench, of: int) -> None:
    """Plant words in every row of a person, and add the rows that there are none of."""
    left_out = MembershipsChanged()
    left_out.matched_events.add(leaf_id=leaf(of), workspace_id=W, properties=PLANTED)
    values = {1: leaf(of), 2: W, 3: PLANTED.decode(), 4: PLANTED, 5: leaf(of)[::-1]}
    values[6] = left_out.SerializeToString()
    for text in filter(str.strip, ROWS.split(";")):
        used = [n for n in values if f"${n}" in text]
        numbered = text
        for at, n in enumerate(used, 1):
            numbered = numbered.replace(f"${n}", f"$#{at}")
        await bench.ledger.database.pool.execute(
            numbered.replace("$#", "$"), *(values[n] for n in used)
        )


async def erase(bench: JourneyBench, *of: int) -> Fact:
    """Fold that these leaves were erased as one person, on every shard."""
    erased = PersonErased(request_id=bytes([*of]) + bytes(16 - len(of)))
    erased.identifier_ids.extend(map(leaf, of))
    await bench.broadcast(PersonErased.DESCRIPTOR.full_name, erased)
    return next(reversed(bench.log.facts.values()))


async def tables_with(bench: JourneyBench, *needles: bytes) -> set[str]:
    """Return the tables in which a row has any of these bytes."""
    pool, found = bench.ledger.database.pool, set()
    names = await pool.fetch(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
        " WHERE schemaname LIKE 'activation%'"
    )
    for (name,) in names:
        for row in await pool.fetch(f"SELECT * FROM {name}"):
            shown = b" ".join(v if isinstance(v, bytes) else str(v).encode() for v in row.values())
            if any(needle in shown for needle in needles):
                found.add(name.partition(".")[2])
    return found


async def begin(bench: JourneyBench, **form: Any) -> None:
    await bench.define(**(CART | form))
    for of in (1, 2):
        await bench.happen("cart_updated", of)
    await bench.come_to_rest(1.9)


async def test_erased_person_is_in_no_table_and_the_other_one_in_all(bench: JourneyBench) -> None:
    await begin(bench)
    await bench.come_to_rest(0.5)  # both messages are planned
    for of in (1, 2):
        await plant(bench, of)
    before = await tables_with(bench, leaf(2))
    assert {"run", "effect", "journey_fact", "ticket", "coupon", "report"} <= before
    assert {"address", "failed_fact"} <= before
    await erase(bench, 1)
    # The mirror removes what the receiver has, and names the member until then.
    assert await tables_with(bench, leaf(1)) == {"mirror_member"}
    assert await tables_with(bench, leaf(2)) == before
    await erase(bench, 2)
    assert await tables_with(bench, PLANTED) == set()
    rows = await bench.ledger.rows()
    assert [(row["state"], row["reason"], row["payload_deleted"]) for row in rows] == [
        (5, "erased", True)
    ] * 2
    assert await bench.send() == []
    await bench.publish_ends()
    assert not [f for f in bench.log.facts.values() if f.kind.endswith("EffectEnded")]


async def test_what_is_appended_before_the_erasure_is_folded_is_refused_and_then_deleted(
    bench: JourneyBench,
) -> None:
    """The log refuses it, by the state that was folded when the facts were read."""
    await bench.define(**CART)
    for of in (1, 2):
        await bench.happen("cart_updated", of)
    await bench.pass_time(2, us=1)
    await bench.look()  # both messages are planned
    await bench.pass_time(1)
    bench.log.erased_us[leaf(1)] = bench.now_us
    with pytest.raises(TokenNotReached):
        await bench.engine.publisher.publish_once()
    await bench.ledger.database.pool.execute(
        "UPDATE effect SET state = 3, attempts = 1, begun_at_us = $1, ended_at = now()",
        bench.now_us,
    )
    with pytest.raises(TokenNotReached):
        await bench.publish_ends()
    assert bench.log.kinds() == []
    await erase(bench, 1)
    # The fact of the erasure has the instant of the clock: later ones may have the same.
    await bench.come_to_rest()
    await bench.publish_ends()
    own = [
        fact for fact in bench.log.facts.values() if fact.kind in (RUN_TRANSITIONED, DELIVERY_ENDED)
    ]
    assert {fact.leaf_id for fact in own} == {leaf(2)}


async def test_mirror_member_who_is_erased_is_to_be_removed(bench: JourneyBench) -> None:
    await begin(bench)
    await plant(bench, 1)
    await erase(bench, 1)
    [row] = await bench.ledger.database.pool.fetch("SELECT * FROM mirror_member")
    assert (row["memberships"], row["keys"], row["version"] > 1) == ("{}", ["key"], True)
    assert row["due_at"] is not None
    assert ("school", "crm") in {tuple(key) for key in bench.queues} | {
        tuple(key) for keys in bench.projection._uncommitted.values() for key in keys
    }


async def test_attempt_whose_answer_is_not_known_stays_unconfirmed(bench: JourneyBench) -> None:
    await begin(bench)
    await bench.come_to_rest(0.5)
    await bench.ledger.database.pool.execute("UPDATE effect SET state = 2")
    await erase(bench, 1, 2)
    assert {row["state"] for row in await bench.ledger.rows()} == {6}


@dataclass
class Expected:
    """Says who gets the message of a journey that each person passes once."""

    #: The leaves of the present lives that have entered, in their order.
    entered: list[int] = field(default_factory=list)
    reached: set[int] = field(default_factory=set)
    is_merged: bool = False

    def person(self, of: int) -> set[int]:
        return {1, 2} if self.is_merged else {of}

    def take(self, step: str) -> None:
        of = int(step[-1]) if step[-1].isdigit() else 0
        match step.split()[0]:
            case "enter":
                self.entered.append(of)
            case "erase":
                erased = self.person(of)
                self.entered = [each for each in self.entered if each not in erased]
                self.reached -= erased
            case what:
                self.is_merged = what == "merge"

    def send(self) -> list[int]:
        """Return the leaves whose runs send when the message is due."""
        new = []
        for of in self.entered:
            if not self.reached & self.person(of):
                new.append(of)
                self.reached.add(of)
        return new


ENTRIES = {"enter 1", "enter 2"}
ALL_ORDERS = [
    order
    for erasure in ("erase 1", "erase 2")
    for order in permutations((*sorted(ENTRIES), "merge", "unmerge", erasure))
    if order.index("merge") < order.index("unmerge")
]
#: Without the deep profile, all those in which both have entered first, and some of the others.
ORDERS = [
    order
    for n, order in enumerate(ALL_ORDERS)
    if os.environ.get(PROFILE) == "deep" or {*order[:2]} == ENTRIES or n % 9 == 0
]


@pytest.mark.parametrize("is_due", [True, False], ids=["sent between", "due at the end"])
async def test_merge_unmerge_and_erasure_in_every_order_leave_what_the_others_wait_for(
    ledger: Ledger, is_due: bool
) -> None:
    for order in ORDERS:
        await ledger.database.pool.execute(EMPTY)
        await check_order(JourneyBench(ledger), order, is_due=is_due)


async def check_order(bench: JourneyBench, order: tuple[str, ...], *, is_due: bool) -> None:
    expected, sent = Expected(), set[bytes]()
    await bench.define(**CART | {"enter": {"event": "cart_updated", "again": "never"}})

    async def send() -> None:
        await bench.come_to_rest(2.1)
        await bench.send()
        rows = {row["effect_id"]: row["leaf_id"] for row in await bench.ledger.rows(state=3)}
        new = sorted(leaf_id for id_, leaf_id in rows.items() if id_ not in sent)
        assert new == sorted(map(leaf, expected.send())), order
        sent.update(rows)

    for step in order:
        if step.startswith("erase"):
            await erase(bench, *sorted(expected.person(int(step[-1]))))
        elif step.startswith("enter"):
            of = int(step[-1])
            to = 1 if expected.is_merged else of
            words = f"planted {of}"
            await bench.happen("cart_updated", of, profile=to, version=int(to != of), words=words)
        else:
            await bench.move(2, to=1 if step == "merge" else 2, version=1 + (step != "merge"))
        expected.take(step)
        await (send() if is_due else bench.come_to_rest())
    for _ in range(2):
        await send()
    assert {run["leaf_id"] for run in await bench.runs()} == {*map(leaf, expected.entered)}, order
    gone = [f"planted {of}".encode() for of in (1, 2) if of not in expected.entered]
    assert not gone or await tables_with(bench, *gone) == set(), order


async def test_new_life_stays_when_a_later_copy_of_the_erasure_is_folded(
    bench: JourneyBench,
) -> None:
    await begin(bench)
    fact = await erase(bench, 1)
    await bench.pass_time(us=10)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest(0.1)
    for shard in range(bench.shards):
        await bench.fold(shard, MembershipsChanged(broadcast_facts=[fact]))
    await bench.come_to_rest(3)
    assert await bench.send() == ["reminder", "reminder"]
    assert {"run", "journey_fact"} <= await tables_with(bench, leaf(1))
