"""T10: of the members of a snapshot each is sent to, or there is a reason why not."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Collection
from contextlib import AsyncExitStack
from random import Random
from typing import Any

from integration.activation.journey_fixture import BEGIN, JourneyBench, calls
from integration.activation.ledger_fixture import SHARDS, Ledger, W, destination
from onefold.activation.v1 import journey_service_pb2 as pb
from properties import PROFILE
from service_fixtures import wait_until

from services.activation.channels import Message, Sender
from services.activation.delivery.admission import RunAdmission
from services.activation.delivery.coupons import CouponIssuer
from services.activation.domain.message_channels import Smtp
from services.activation.domain.model import DeliveryState, Destination
from services.activation.domain.policy.contact import StatedConsent
from services.activation.domain.recipients import Recipient
from services.activation.domain.templates import Template, Texts
from services.activation.domain.transitions import AttemptResult, AttemptStatus
from services.chassis.codec.journeys import contact_policy_to_proto
from services.cli.commands.development import FAULT_SEEDS
from services.kernel.ids import LeafId, WorkspaceId, hash_id, to_hex
from services.kernel.journeys.contact_policy import parse_contact_policy
from services.kernel.time import HOUR_US
from services.kernel.tokens import Token

#: The whole size with the seeds of faults, and with the deep profile.
IS_WHOLE = FAULT_SEEDS in os.environ or os.environ.get(PROFILE) == "deep"
MEMBERS, PAGE = (50_000, 1_000) if IS_WHOLE else (400, 100)
WORKERS, KILLED = 10, 3
#: A guard against hanging, seconds.
WHOLE_S = 1_200.0 if IS_WHOLE else 120.0
MAIL = destination(Smtp("mail.x.example", from_address="shop@x.example"), "mail")
BULLETIN: dict[str, Any] = {
    "id": "news",
    "enter": {
        "schedule": {"at": "2026-03-02T10:00", "zone": "UTC"},
        "audience": "all",
        "pace": f"{MEMBERS}/h",
    },
    "steps": [{"send": {"id": "news", "to": "mail", "template": "t"}}],
}
POLICY = {"purposes": {"marketing": {"consent": "implied"}}}


def member(number: int) -> LeafId:
    return LeafId(hash_id("member", str(number)))


#: Every tenth one wants no messages, the address of every tenth one does not exist.
REFUSED = {member(n) for n in range(0, MEMBERS, 10)}
GONE = {to_hex(member(n)) + "@x.example" for n in range(1, MEMBERS, 10)}


class Provider(Sender):
    """Takes messages, and drops no repeat; some answers are lost."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self._random = Random(1)

    async def send(self, to: Destination, message: Message) -> AttemptResult:
        await asyncio.sleep(0)
        if any(address.encode() in message.payload for address in GONE & addresses(message)):
            return AttemptResult(AttemptStatus.REJECTED, "550")
        self.taken[message.key] += 1
        for _ in range(self._random.randrange(50)):
            await asyncio.sleep(0)
        lost = self._random.random() < 0.02
        return AttemptResult(AttemptStatus.LOST if lost else AttemptStatus.DELIVERED, "250")


def addresses(message: Message) -> set[str]:
    """Return the address of a message."""
    start = message.payload.index(b'"to":"') + 6
    return {message.payload[start : message.payload.index(b'"', start)].decode()}


class Gate:
    """What the gate reads: the log, the persons and the template."""

    def __init__(self, bench: JourneyBench) -> None:
        self.bench = bench

    async def now(self) -> tuple[Token, int]:
        return Token({}), self.bench.now_us

    async def persons(
        self, workspace_id: WorkspaceId, leaf_ids: Collection[LeafId], token: Token
    ) -> dict[LeafId, Recipient]:
        return {leaf_id: self._person(leaf_id) for leaf_id in leaf_ids}

    def _person(self, leaf_id: LeafId) -> Recipient:
        refusal = StatedConsent("marketing", False, BEGIN, bytes(16), "s")
        consents = [refusal] if leaf_id in REFUSED else []
        email = [("email", f"{to_hex(leaf_id)}@x.example")]
        return Recipient(email, {}, (leaf_id,), to_hex(leaf_id), consents)

    async def template(self, workspace_id: WorkspaceId, name: str) -> Template | None:
        texts = Texts("en", subject="News", text="Hello")
        return Template(WorkspaceId(W), name, 1, "", (texts,)) if name == "t" else None


async def enter_members(bench: JourneyBench) -> int:
    """Take the audience while members come and go; return how many were named before."""
    named = [member(n) for n in range(MEMBERS)]
    bench.upstream.audience["all"] = [
        [bytes(leaf) for leaf in named[at : at + PAGE]] for at in range(0, MEMBERS, PAGE)
    ]
    await bench.define(**BULLETIN)
    await bench.pass_time(10, us=1)
    ordinals = 0
    while await bench.engine.scheduler.take_once():
        # They come and go after the instant of the audience.
        await bench.enter("all", ordinals, ordinal=1 + ordinals % 2)
        ordinals += 1
    return len(named)


async def test_members_of_a_snapshot_add_up_while_workers_are_killed(ledger: Ledger) -> None:
    bench, provider = JourneyBench(ledger), Provider()
    await ledger.define(MAIL)
    await bench.policy(contact_policy_to_proto(parse_contact_policy(POLICY)))
    named = await enter_members(bench)
    gate = Gate(bench)
    log: Any = gate
    issuer = CouponIssuer(ledger.database, log, "activation", bytes(32))
    arguments: Any = ledger.database, gate, gate.persons, gate.template, SHARDS, issuer
    admission = RunAdmission(*arguments)
    options: dict[str, Any] = {"admission": admission, "senders": {Smtp: provider}, "lease_s": 3.0}

    async def worker(number: int) -> None:
        async with ledger.dispatching(**options, drain_s=0.0):
            # Some are killed in the midst of their attempts.
            await wait_until(lambda: number < KILLED and len(provider.taken) > number, WHOLE_S)

    async with AsyncExitStack() as scope:
        tasks = [asyncio.create_task(worker(n)) for n in range(WORKERS)]
        scope.callback(lambda: [task.cancel() for task in tasks])
        for _ in range(12):
            await bench.come_to_rest(1 / 10)
        await ended(ledger, named)
    states = await ledger.states()
    named_states = {"ACCEPTED", "DEAD", "SUPPRESSED", "UNCONFIRMED"}
    assert states.keys() <= named_states
    assert sum(states.values()) == named
    assert states["SUPPRESSED"] == len(REFUSED)
    assert states["DEAD"] <= len(GONE) <= states["DEAD"] + states["UNCONFIRMED"]
    assert max(provider.taken.values()) == 1, "a message was sent twice"
    assert states["ACCEPTED"] <= len(provider.taken) <= named - len(REFUSED)
    await check_summary(bench, states, named)


async def ended(ledger: Ledger, named: int) -> None:
    """Wait until so many effects have ended."""
    open_ = {DeliveryState.PENDING.name, DeliveryState.UNKNOWN.name, DeliveryState.PLANNED.name}

    async def have_ended() -> bool:
        states = await ledger.states()
        return sum(states.values()) == named and not open_ & states.keys()

    await wait_until(have_ended, WHOLE_S)


async def check_summary(bench: JourneyBench, states: dict[str, int], named: int) -> None:
    rpc = await calls(bench)
    summary = await rpc.SummarizeJourney(pb.SummarizeJourneyRequest(journey_id="news"), None)
    assert summary.begun == sum(each.count for each in summary.ended) == named
    [step] = summary.steps
    assert {DeliveryState(e.state).name: e.count for e in step.effects} == states
    audit = await rpc.AuditRuns(pb.AuditRunsRequest(), None)
    assert list(audit.findings) == []
    assert bench.now_us >= BEGIN + 11 * HOUR_US
