"""A backtest is the truth: thirty simulated days with late events, merges, delays and edits.

The store, the fold, the player, the publisher and the calls are real; the log, the clock and the
sending are the test's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import pytest
from integration.activation.journey_fixture import BEGIN, CART, FakeRunner, JourneyBench, leaf
from integration.activation.ledger_fixture import W
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.type.v1.event_pb2 import Event

from services.activation.api.journey_runs import JourneyRunRpc
from services.activation.api.replays import JourneyReplayRpc
from services.activation.domain.journeys import looks
from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.program import event_subject
from services.activation.projection.journeys import player
from services.activation.projection.journeys.knowledge import GroupQuestion, PastPerson
from services.activation.projection.journeys.replays import JourneyReplays
from services.activation.projection.journeys.verification import RunVerifier
from services.chassis.access.principal import Principal, Role, set_principal
from services.devstack.folders import ROOT
from services.kernel.ids import LeafId, ProfileId, to_hex
from services.kernel.journeys.inputs import awaited_events
from services.kernel.journeys.model import Journey
from services.kernel.rules.filters import matcher
from services.kernel.rules.ids import structure_id
from services.kernel.time import HOUR_US

DAYS, PEOPLE = 30, 24
WITHDRAWN = ("overtaken", "asleep", "revised")
WELCOME: dict[str, Any] = {
    "id": "welcome",
    "enter": {"event": "joined", "again": {"after": "3d"}, "not_after": "2d"},
    "goal": [{"event": "order_paid"}],
    "steps": [
        {"send": {"id": "first", "to": "mail", "template": "t"}},
        {
            "listen": {
                "to": {"event": "clicked"},
                "at_most": "20h",
                "then": [{"send": {"id": "clicked", "to": "mail", "template": "t"}}],
                "otherwise": [{"send": {"id": "silent", "to": "mail", "template": "t"}}],
            },
            "id": "l",
        },
        {"wait": "1d"},
        {"send": {"id": "last", "to": "mail", "template": "t"}},
    ],
}
RULED: dict[str, Any] = {
    "id": "ruled",
    "enter": {"event": "joined", "again": "always"},
    "steps": [
        {"wait": "5h"},
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


class Past:
    """What the log says of persons, as profile and segment would."""

    def __init__(self, bench: JourneyBench, persons: Mapping[int, int]) -> None:
        self.bench, self._persons = bench, persons
        self.questions: list[GroupQuestion] = []

    async def persons(
        self, workspace_id: str, journey: Journey, from_us: int
    ) -> AsyncIterator[list[PastPerson]]:
        owner = {leaf(of): leaf(person) for of, person in self._persons.items()}
        facts: dict[bytes, list[JourneyFact]] = {profile: [] for profile in owner.values()}
        for fact in self.bench.log.facts.values():
            if fact.kind != Event.DESCRIPTOR.full_name or fact.occurred_at_us < from_us:
                continue
            name = Event.FromString(fact.payload).name
            subjects = tuple(
                event_subject(structure_id(events))
                for events in awaited_events(journey)
                if name in events.names and matcher(events.where)({})
            )
            if subjects:
                times = fact.occurred_at_us, fact.recorded_at_us
                own = JourneyFact(LeafId(fact.leaf_id), fact.fact_id, *times, subjects)  # type: ignore[arg-type]  # bytes
                facts[owner[fact.leaf_id]].append(own)
        for profile, own_facts in sorted(facts.items()):
            leaves = [LeafId(each) for each, of in owner.items() if of == profile]
            yield [PastPerson(ProfileId(profile), leaves, own_facts)]

    async def judge(self, workspace_id: str, questions: Sequence[GroupQuestion]) -> list[bool]:
        self.questions += questions
        return [self.bench.upstream.truth(each.question) for each in questions]


@dataclass(eq=False, kw_only=True)
class Calls(JourneyRunRpc, JourneyReplayRpc):
    """The calls about runs and replays."""


def calls(bench: JourneyBench, past: Past) -> Calls:
    set_principal(Principal(W, Role.ADMIN, "key_of_test"))
    database: Any = bench.ledger.database
    fakes: Any = bench.log, bench.upstream, FakeRunner(), None
    log, upstream, runner, journeys = fakes
    return Calls(
        database=database,
        runner=runner,
        verifier=RunVerifier(database.api_pool, log, upstream),
        journeys=journeys,
        replays=JourneyReplays(database, upstream, past),
    )


def truth(question: Any) -> bool:
    return bool(blake2b(str(question.at_us).encode()).digest()[0] & 1)


class Month:
    """Thirty days of some people, in which almost everything goes wrong."""

    def __init__(self, bench: JourneyBench, seed: int) -> None:
        self.bench, self._random = bench, Random(seed)
        self.person = {number: number for number in range(1, PEOPLE + 1)}
        self._version = 0

    async def live(self, days: int = DAYS) -> None:
        """Live through days, some hours after the other."""
        bench, random = self.bench, self._random
        bench.upstream.truth = truth
        await bench.define(**CART)
        await bench.define(**WELCOME)
        await bench.define(**RULED)
        for tick in range(days * 4):
            for _ in range(random.randint(0, 5)):
                await self._happen()
            if random.random() < 0.2:
                await self._move()
            if tick in (40, 80):
                inside = "move" if tick == 40 else "leave"
                await bench.define(**{**CART, "people_inside": inside, "priority": tick})
            await bench.come_to_rest(random.choice((1, 6, 6, 11)))
            # What is not sent at once may be withdrawn before it is.
            if random.random() < 0.7:
                await bench.send()
        await bench.come_to_rest(72)
        await bench.send()
        await bench.come_to_rest()

    async def _happen(self) -> None:
        random, bench = self._random, self.bench
        of = random.randint(1, PEOPLE)
        late_us = random.choice((0, 0, 0, random.randint(1, 30) * HOUR_US))
        await bench.happen(
            random.choice(("cart_updated", "cart_updated", "order_paid", "joined", "clicked")),
            of,
            occurred_at_us=max(BEGIN + 1, bench.now_us - late_us),
            profile=self.person[of],
            version=self._version,
        )

    async def _move(self) -> None:
        random = self._random
        of, to = random.sample(sorted(self.person), 2)
        to = random.choice((of, to))
        if self.person[to] == to:
            self._version += 1
            self.person[of] = to
            await self.bench.move(of, to, self._version)


async def backtest(
    rpc: Calls, journey_id: str, basis: pb.BacktestBasis
) -> tuple[dict[str, pb.ReplayedEffect], pb.BacktestJourneyResponse]:
    """Return the effects of a backtest of all days by id, and its last response."""
    request = pb.BacktestJourneyRequest(journey_id=journey_id, basis=basis, from_us=BEGIN)
    effects: dict[str, pb.ReplayedEffect] = {}
    async for response in rpc.BacktestJourney(request, None):
        effects |= {each.effect_id: each for each in response.effects}
    return effects, response


async def ledger_rows(bench: JourneyBench, journey_id: str) -> dict[str, Any]:
    rows = [row for row in await bench.ledger.rows() if row["journey_id"] == journey_id]
    return {to_hex(row["effect_id"]): row for row in rows}


def as_replayed(row: Any) -> pb.ReplayedEffect:
    """Return the row of the ledger as a backtest has it."""
    is_withdrawn = row["reason"].partition(":")[0] in WITHDRAWN
    return pb.ReplayedEffect(
        effect_id=to_hex(row["effect_id"]),
        run_id=to_hex(row["run_id"]),
        profile_id=to_hex(row["profile_id"]),
        step_id=row["step_id"],
        visit=row["visit"],
        at_us=row["changed_at_us"],
        destination_id=row["destination_id"],
        withdrawn=row["reason"] if is_withdrawn else "",
    )


async def test_backtest_of_a_month_is_its_ledger_and_its_regrets(bench: JourneyBench) -> None:
    month = Month(bench, 1)
    await month.live()
    rpc = calls(bench, Past(bench, month.person))
    withdrawn = 0
    for journey_id in ("cart", "welcome", "ruled"):
        found, last = await backtest(rpc, journey_id, pb.BACKTEST_BASIS_KNOWN)
        rows = await ledger_rows(bench, journey_id)
        assert len(rows) > 20
        assert found == {id_: as_replayed(row) for id_, row in rows.items()}
        assert last.left_out == 0
        in_force = sum(not each.withdrawn for each in found.values())
        withdrawn += len(found) - in_force
        assert sum(each.count for each in last.summary.effects) == in_force
        runs = [row for row in await bench.runs() if row["journey_id"] == journey_id]
        assert last.summary.begun == len(runs)
    assert withdrawn > 3
    await check_regrets(bench, month, rpc)


async def check_regrets(bench: JourneyBench, month: Month, rpc: Calls) -> None:
    """Check that what happened less the ledger is the regrets of the journey without edits."""
    found, last = await backtest(rpc, "welcome", pb.BACKTEST_BASIS_HAPPENED)
    request = pb.ListRegretsRequest(journey_id="welcome", page_size=1_000)
    listed = await rpc.ListRegrets(request, None)
    assert last.left_out == listed.left_out == 0
    owner = {to_hex(leaf(of)): to_hex(leaf(person)) for of, person in month.person.items()}
    sent, held = Counter[Any](), Counter[Any]()
    for row in (await ledger_rows(bench, "welcome")).values():
        if row["reason"].partition(":")[0] not in WITHDRAWN:
            of = sent if row["begun_at_us"] is not None else held
            of[owner[to_hex(row["leaf_id"])], row["step_id"], row["changed_at_us"]] += 1
    wanted = Counter((each.profile_id, each.step_id, each.at_us) for each in found.values())
    unwanted, missed = Counter[Any](), Counter[Any]()
    for each in listed.regrets:
        if each.sent_at_us:
            unwanted[each.profile_id, each.step_id, each.sent_at_us] += 1
        if each.ideal_at_us:
            missed[each.profile_id, each.step_id, each.ideal_at_us] += 1
    assert unwanted == sent - wanted
    assert missed == wanted - sent - held
    assert (len(unwanted) > 3, len(missed) > 3) == (True, True)


#: A network of its own, which has no route to anywhere.
ALONE = ("unshare", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",)))
#: Runs a test with the loopback interface alone, and counts the packets that had no route.
WITHOUT_ROUTE = """
import contextlib, fcntl, socket, struct, sys
import pytest

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket() as opened:
    fcntl.ioctl(opened, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def without_route():
    with open("/proc/self/net/snmp") as file:
        names, values = [line.split() for line in file if line.startswith("Ip:")]
    return int(values[names.index("OutNoRoutes")])


assert pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]]) == 0
assert without_route() == 0, "it has sent something"
with contextlib.suppress(OSError), socket.socket() as opened:
    opened.connect(("192.0.2.1", 9))
assert without_route() == 1, "what is sent would be counted"
"""


def test_backtest_without_a_route_sends_no_packet() -> None:
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no process have a network of its own")
    test = test_backtest_of_a_month_is_its_ledger_and_its_regrets.__name__
    command = [*ALONE, sys.executable, "-c", WITHOUT_ROUTE, f"{__file__}::{test}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_backtest_finds_a_system_that_looks_too_early(
    bench: JourneyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def early(person: Any, history: Any, known_us: int) -> Any:
        return looks.look_at(person, history, known_us + 3 * HOUR_US)

    with monkeypatch.context() as patch:
        patch.setattr(player, "look_at", early)
        month = Month(bench, 3)
        await month.live(days=6)
    rpc = calls(bench, Past(bench, month.person))
    found, _ = await backtest(rpc, "cart", pb.BACKTEST_BASIS_KNOWN)
    rows = await ledger_rows(bench, "cart")
    assert found != {id_: as_replayed(row) for id_, row in rows.items()}
