"""A journey is edited with a thousand people inside: what the dry run says is what then happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from integration.activation.gated_ledger import template
from integration.activation.journey_fixture import FakeRunner, JourneyBench, leaf
from integration.activation.ledger_fixture import SHARDS, W, hook
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.activation.codec.templates import template_to_proto
from services.activation.commands.journeys import DefinedJourney, JourneyCommands
from services.activation.projection.journeys.replays import JourneyReplays
from services.activation.store.templates import save_template
from services.chassis.codec.journey_facts import JOURNEY_DEFINED
from services.chassis.definitions import DefinitionAppended, DefinitionFact
from services.chassis.postgres.database import transaction
from services.kernel.errors import InvalidField
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import Journey
from services.kernel.journeys.naming import JourneyProblem
from services.kernel.tokens import Token

PLACES, PEOPLE = 5, 1_000
KINDS = ("stay", "move", "leave", "gone")
OWN = PEOPLE // len(KINDS)


def form(kind: str, wait: str = "2h", **more: Any) -> dict[str, Any]:
    """Return a journey with five waits, each before a message."""
    steps: list[Any] = []
    for place in range(PLACES):
        steps += [{"wait": wait, "id": f"w{place}"}, _send(f"s{place}")]
    return {"id": kind, "enter": {"event": kind, "again": "never"}, "steps": steps, **more}


def _send(step_id: str) -> dict[str, Any]:
    return {"send": {"id": step_id, "to": "coupon", "template": "t"}}


def without_second(kind: str, **more: Any) -> dict[str, Any]:
    """Return the journey without its second place."""
    own = form(kind, **more)
    own["steps"] = [each for number, each in enumerate(own["steps"]) if number not in (2, 3)]
    return own


class DefinedFacts:
    """A log that passes definitions on to the bench."""

    def __init__(self, bench: JourneyBench) -> None:
        self._bench = bench

    async def head(self) -> Token:
        return Token({})

    async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
        logged = Fact(
            workspace_id=W,
            kind=JOURNEY_DEFINED,
            payload=fact.payload,
            recorded_at_us=self._bench.now_us,
            fact_id=fact.fact_id,
        )
        for shard in range(SHARDS):
            await self._bench.fold(shard, MembershipsChanged(broadcast_facts=[logged]))
        return DefinitionAppended(True, Token({}))


class NoProblems:
    """Finds that every rule can be."""

    async def problems(self, *_: Any) -> list[JourneyProblem]:
        return []


def commands(bench: JourneyBench) -> JourneyCommands:
    fakes: Any = FakeRunner(), DefinedFacts(bench), None, NoProblems(), None
    runner, log, identity, rules, past = fakes
    database: Any = bench.ledger.database
    upstream: Any = bench.upstream
    replays = JourneyReplays(database, upstream, past)
    return JourneyCommands(database, runner, log, identity, rules, replays)


async def filled(bench: JourneyBench) -> None:
    """Let a thousand people stand at the five places of four journeys."""
    await bench.ledger.define(hook("https://example.com/"))
    text = template("t", "Hello")
    async with transaction(bench.ledger.database.pool) as conn:
        payload = template_to_proto(text).SerializeToString()
        await save_template(conn, replace(text, workspace_id=W), payload)
    for kind in KINDS:
        await bench.define(**form(kind))
    for hours in reversed(range(PLACES)):
        for shard in range(SHARDS):
            events = [
                bench.event(kind, number)
                for place, kind in enumerate(KINDS)
                for number in range(place * OWN + 1, (place + 1) * OWN + 1)
                if number % PLACES == hours and number % SHARDS == shard
            ]
            await bench.fold(shard, MembershipsChanged(matched_events=events))
        await bench.come_to_rest(2 if hours else 0)
        await bench.send()
    await bench.come_to_rest(0.5)


async def places(bench: JourneyBench, kind: str) -> Counter[tuple[str, int]]:
    """Return how many open runs of a journey stand before each step, by their version."""
    rows = await bench.runs()
    return Counter(
        (row["step_id"], row["version"])
        for row in rows
        if row["journey_id"] == kind and row["state"] != 3
    )


def outcome_of(defined: DefinedJourney) -> Counter[str]:
    """Return where the open runs are before and after, as the dry run says it."""
    return Counter(
        {f"{e.step_id}>{e.what.value}>{e.target}": e.runs for e in defined.people if e.runs}
    )


async def test_edit_with_a_thousand_people_inside_does_what_its_dry_run_says(
    bench: JourneyBench,
) -> None:
    await filled(bench)
    define = commands(bench).define
    everyone = Counter({(f"w{place}", 1): OWN // PLACES for place in range(PLACES)})
    for kind in KINDS:
        assert await places(bench, kind) == everyone
    edits = {
        "stay": parse_journey(form("stay", "1m", people_inside="stay")),
        "move": parse_journey(form("move", "1m", people_inside="move")),
        "leave": parse_journey(form("leave", "1m", people_inside="leave")),
        "gone": parse_journey(
            without_second("gone", people_inside="move", moved_to={"w1": "w2", "s1": "s2"})
        ),
    }
    lost = parse_journey(without_second("gone", people_inside="move"))
    with pytest.raises(InvalidField, match="the step is gone"):
        await define(W, lost, dry_run=True)
    dry = {kind: await define(W, journey, dry_run=True) for kind, journey in edits.items()}
    assert outcome_of(dry["stay"]) == Counter({f"w{n}>stay>": 50 for n in range(PLACES)})
    assert outcome_of(dry["move"]) == Counter({f"w{n}>move>w{n}": 50 for n in range(PLACES)})
    assert outcome_of(dry["leave"]) == Counter({f"w{n}>leave>": 50 for n in range(PLACES)})
    targets = ("w0", "w2", "w2", "w3", "w4")
    assert outcome_of(dry["gone"]) == Counter(
        {f"w{n}>move>{target}": 50 for n, target in enumerate(targets)}
    )
    # Of those who move to waits of a minute everyone gets all that is left.
    messages = sum(50 * (PLACES - n) for n in range(PLACES))
    assert {kind: each.messages for kind, each in dry.items()} == {
        **dict.fromkeys(KINDS, 0),
        "move": messages,
    }

    await check_unconfirmed(bench, edits["move"], messages)
    bench.now_us += 1
    for kind, journey in edits.items():
        await define(W, journey, confirmed=messages if kind == "move" else 0)
    await bench.come_to_rest()
    assert await places(bench, "stay") == everyone
    assert await places(bench, "leave") == Counter()
    ends = Counter(row["end_reason"] for row in await bench.runs() if row["journey_id"] == "leave")
    assert ends == {runs_pb.RUN_END_EDITED: OWN}
    moved = Counter[tuple[str, int]]()
    for target in targets:
        moved[target, 2] += 50
    assert await places(bench, "gone") == moved

    sent = Counter[str]()
    for _ in range(6):
        await bench.come_to_rest(1 / 60)
        for row in await bench.ledger.rows(state=1):
            sent[row["journey_id"]] += 1
        await bench.send()
    assert sent == {"move": messages}
    await check_end(bench)


async def check_unconfirmed(bench: JourneyBench, edit: Journey, messages: int) -> None:
    """Check that nothing changes where too few messages are confirmed."""
    before = [dict(row) for row in await bench.runs()]
    for confirmed in (0, messages - 1):
        with pytest.raises(InvalidField, match=f"confirm it with {messages}"):
            await commands(bench).define(W, edit, confirmed=confirmed)
    await bench.look()
    assert [dict(row) for row in await bench.runs()] == before


async def check_end(bench: JourneyBench) -> None:
    """Check that every run ends, and that no person has a step twice."""
    for _ in range(PLACES + 1):
        await bench.come_to_rest(2)
        await bench.send()
    await bench.come_to_rest()
    assert {row["state"] for row in await bench.runs()} == {3}
    received = Counter(
        (bytes(row["leaf_id"]), row["step_id"]) for row in await bench.ledger.rows(state=3)
    )
    assert set(received.values()) == {1}
    steps = Counter(row["step_id"] for row in await bench.ledger.rows(state=3, journey_id="gone"))
    # Who had passed the second place before has its message, and no other person gets it.
    assert steps == {"s0": 250, "s1": 150, "s2": 250, "s3": 250, "s4": 250}
    assert leaf(1) in {own for own, _ in received}
