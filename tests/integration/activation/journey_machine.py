"""Lives journeys in random steps over the real store, with an outside world that is the test's.

Fold, player, publisher, scheduler, gate, delivery and mirror are real; the log, the clock, the
persons, the provider and the receiver of the mirror are not.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import pytest
from integration.activation.journey_fixture import BEGIN, EMPTY, FakeUpstream, JourneyBench, leaf
from integration.activation.ledger_fixture import (
    KEYS,
    SHARDS,
    FakeRenderer,
    Ledger,
    W,
    destination,
    webhook,
)
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.segment.v1.segment_stream_pb2 import MembershipChange, MembershipsChanged

from services.activation.channels import Message, Sender
from services.activation.channels.change import ChangedProfile
from services.activation.channels.mirrors import MirrorSender, MirrorWrite
from services.activation.codec.coupons import pool_definition
from services.activation.codec.journey_facts import DESTINATION_FLOW_CHANGED
from services.activation.delivery.admission import RunAdmission
from services.activation.delivery.coupons import CouponIssuer
from services.activation.delivery.metrics import DeliveryMetrics
from services.activation.delivery.mirrors import MirrorContext, MirrorWorker
from services.activation.delivery.worker import DeliveryContext, DestinationWorker
from services.activation.domain.mirror_channels import Hubspot
from services.activation.domain.model import Destination
from services.activation.domain.policy.contact import StatedConsent
from services.activation.domain.recipients import Recipient
from services.activation.domain.sealing import NONCE_BYTES, SecretPlace
from services.activation.domain.system_channels import Webhook
from services.activation.domain.templates import Template, Texts
from services.activation.domain.transitions import AttemptResult, AttemptStatus, RetryPolicy
from services.activation.store import coupons as coupon_store
from services.activation.store import gate as gate_store
from services.activation.store import runs
from services.chassis.codec.journeys import contact_policy_to_proto
from services.chassis.postgres.database import transaction
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, to_hex
from services.kernel.journeys.contact_policy import parse_contact_policy
from services.kernel.journeys.coupons import CouponPool
from services.kernel.time import HOUR_US
from services.kernel.tokens import Token

LEAVES = (1, 2, 3)
#: Once a person, with a coupon and two ways.
CARE: dict[str, Any] = {
    "id": "j",
    "enter": {"event": "entered", "again": "never"},
    "goal": [{"event": "paid"}],
    "steps": [
        {"wait": "2h"},
        {
            "send": {
                "id": "first",
                "to": "mail",
                "template": "gift",
                "issue": {"gift": {"pool": "P", "valid": "3d"}},
            }
        },
        {
            "listen": {
                "to": {"event": "clicked"},
                "at_most": "2h",
                "then": [{"send": {"id": "clicked", "to": "mail", "template": "t"}}],
                "otherwise": [{"send": {"id": "silent", "to": "mail", "template": "t"}}],
            },
            "id": "l",
        },
    ],
}
#: To all members of a segment, again and again.
BULLETIN: dict[str, Any] = {
    "id": "news",
    "priority": 20,
    "enter": {
        "schedule": {"cron": "0 */4 * * *", "zone": "UTC"},
        "audience": "vip",
        "again": "always",
    },
    "steps": [{"send": {"id": "news", "to": "mail", "template": "t"}}],
}
#: Who enters is in the audience until a purchase by any leaf of the person.
ADS: dict[str, Any] = {
    "id": "ads",
    "enter": {"event": "entered", "again": "always"},
    "steps": [{"join": "crm"}],
}
BOUGHT: dict[str, Any] = {
    "id": "bought",
    "enter": {"event": "paid", "again": "always"},
    "steps": [{"drop": "crm"}],
}
QUIET_HOURS = range(3, 5)
AT_MOST, CAP_US = 2, 6 * HOUR_US
POLICY = {
    "zone": {"else": "UTC"},
    "purposes": {
        "marketing": {
            "consent": "implied",
            "quiet": {"from": "03:00", "to": "05:00"},
            "caps": [{"at_most": AT_MOST, "in": "6h"}],
        }
    },
}
CODES = tuple(f"CODE{n}" for n in range(4))
MAIL = destination(webhook("https://x.example/in", "mail"), "mail")
_TOKEN = KEYS.seal(SecretPlace(W, "crm", "hubspot.access_token"), "token", bytes(NONCE_BYTES))
COPY = destination(Hubspot(_TOKEN, "vip"), "crm", segment_ids=("vip",))
RETRIES = RetryPolicy(max_attempts=1_000)
#: The mirror has no definition in the fold of the test that loads its members from segment.
LOADED = "INSERT INTO mirror (workspace_id, destination_id, loaded_version) VALUES ($1, $2, $3)"
FLOWS = {"pause": facts_pb.FLOW_PAUSED, "resume": facts_pb.FLOW_OPEN}


class Step(NamedTuple):
    """Something that happens to the system."""

    what: str
    of: int = 1
    #: Half hours, or another number.
    halves: int = 0


class Died(BaseException):
    """Stands for the end of a process in the midst of an attempt."""


class Begun(NamedTuple):
    """A first attempt at a message."""

    at_us: int
    row: Any
    #: The leaves of the person then.
    leaves: frozenset[bytes]


@dataclass
class World:
    """What is so outside of activation, with its past."""

    #: The person of each leaf: another leaf.
    person: dict[int, int] = field(default_factory=lambda: {n: n for n in LEAVES})
    #: When leaves went to persons.
    moves: list[tuple[int, int, int]] = field(default_factory=list)
    #: By leaf, the answers with their instants.
    consents: defaultdict[int, list[tuple[int, bool]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    #: Journeys and destinations that are paused.
    paused: set[str] = field(default_factory=set)
    #: By profile, the changes of its membership with their instants.
    members: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    #: When goals happened and were recorded, and whose.
    goals: list[tuple[int, int, int]] = field(default_factory=list)

    def leaves_of(self, leaf_id: bytes, at_us: int | None = None) -> frozenset[bytes]:
        """Return the leaves of the person that a leaf belongs to, or belonged to."""
        person = self.person
        if at_us is not None:
            person = {n: n for n in LEAVES}
            person |= {n: to for since_us, n, to in self.moves if since_us <= at_us}
        own = next(person[n] for n in LEAVES if leaf(n) == leaf_id)
        return frozenset(leaf(n) for n in LEAVES if person[n] == own)

    def refuses(self, leaves: Collection[bytes]) -> bool:
        """Return whether the last answer of a person is a refusal."""
        answers = [a for n in LEAVES if leaf(n) in leaves for a in self.consents[n]]
        return bool(answers) and not max(answers)[1]

    def members_at(self, at_us: int) -> set[int]:
        return {
            n
            for n, changes in self.members.items()
            if sum(since_us <= at_us for since_us in changes) % 2
        }


class Audience(FakeUpstream):
    """Lists the members of the segment at an instant, in small pages."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        #: By occurrence.
        self.taken: dict[int, set[bytes]] = {}

    async def members(
        self, workspace_id: str, segment_id: str, at_us: int, page_token: str
    ) -> tuple[list[ProfileId], str]:
        members = sorted(leaf(n) for n in self.world.members_at(at_us))
        self.taken[at_us] = set(members)
        first = int(page_token or 0)
        following = str(first + 2) if first + 2 < len(members) else ""
        return [ProfileId(each) for each in members[first : first + 2]], following


async def _nothing() -> None:
    return None


class Provider(Sender):
    """Takes messages as the script of a step has it, and drops repeats by their key."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.script, self.one_by_one = "delivered", asyncio.Lock()
        #: Is awaited while an attempt is made.
        self.on_attempt: Callable[[], Awaitable[object]] = _nothing
        self.taken: dict[str, bytes] = {}

    async def send(self, to: Destination, message: Message) -> AttemptResult:
        async with self.one_by_one:
            await self.machine.attempted(message)
        await self.on_attempt()
        if self.script != "failing":
            self.taken.setdefault(message.key, message.payload)
        if self.script == "dying":
            raise Died
        status = {"failing": AttemptStatus.FAILED, "losing": AttemptStatus.LOST}
        return AttemptResult(status.get(self.script, AttemptStatus.DELIVERED), "answer")


class Receiver(MirrorSender):
    """A receiver of a mirror that loses answers, and gets some writes late."""

    limit = 2

    def __init__(self) -> None:
        self.entries_there: dict[str, bytes] = {}
        self.losing = False

    def entries(self, destination: Destination, profile: ChangedProfile) -> dict[str, bytes]:
        return {profile.id: b"{}"}

    async def write(
        self, destination: Destination, writes: Sequence[MirrorWrite]
    ) -> list[AttemptResult]:
        for number, each in enumerate(writes):
            if self.losing and number % 2:
                continue
            if each.value is None:
                self.entries_there.pop(each.key, None)
            else:
                self.entries_there[each.key] = each.value
        status = AttemptStatus.LOST if self.losing else AttemptStatus.DELIVERED
        return [AttemptResult(status)] * len(writes)


class _Log:
    """The log as the gate and the coupons reach it."""

    def __init__(self, bench: JourneyBench) -> None:
        self._bench = bench

    async def now(self) -> tuple[Token, int]:
        return Token({}), self._bench.now_us

    async def append(self, facts: list[Any], known_us: int = 0) -> None:
        await self._bench.log.append(facts)


class _Profiles:
    """Has the profile of every person, without traits.

    Each is named as in the request: no membership follows a merge here, as segment has it do.
    """

    async def BatchGetProfiles(self, request: Any, **_: Any) -> profile_pb.BatchGetProfilesResponse:
        profiles = [
            profile_pb.Profile(profile_id=id_, leaf_ids=[id_]) for id_ in request.profile_ids
        ]
        return profile_pb.BatchGetProfilesResponse(profiles=profiles)


class Machine:
    """Takes steps in a system of journeys."""

    def __init__(self, ledger: Ledger, bench: JourneyBench | None = None) -> None:
        self.bench = bench or JourneyBench(ledger)
        self.world = World()
        self.audience = Audience(self.world)
        self.bench.engine.scheduler.reads = self.audience
        self.pool = ledger.database.pool
        self.provider, self.receiver = Provider(self), Receiver()
        log: Any = _Log(self.bench)
        issuer = CouponIssuer(ledger.database, log, "activation", b"k" * 32)
        arguments: Any = ledger.database, log, self._persons, self._template, SHARDS, issuer
        self.admission = RunAdmission(*arguments)
        self.begun: list[Begun] = []
        #: What was found while an attempt was made: an assertion there would be a failed attempt.
        self.found: list[str] = []
        #: By leaf, when a step was last carried out on it in the mirror, and whether it removed it.
        self.joins: dict[bytes, tuple[int, bool]] = {}
        #: How many entries of each leaf there were.
        self.entered: Counter[int] = Counter()
        self.taken: list[Step] = []
        self.max_in_flight = 8
        self._numbers = 0
        self._metrics = DeliveryMetrics(Metrics("activation"))

    async def begin(self, *journeys: dict[str, Any]) -> None:
        """Define journeys, the policy, the pool and the destinations in an empty store."""
        await self.pool.execute(EMPTY)
        await self.bench.ledger.define(MAIL, COPY)
        await self.pool.execute(LOADED, W, COPY.destination_id, COPY.version)
        pool = pool_definition(WorkspaceId(W), CouponPool("P", version=1))
        async with transaction(self.pool) as conn:
            await coupon_store.save_pool(conn, W, pool.payload)
            await conn.execute(coupon_store.Q.add_codes, W, "P", CODES)
        await self.bench.policy(contact_policy_to_proto(parse_contact_policy(POLICY)))
        for form in journeys or (CARE, BULLETIN, ADS, BOUGHT):
            await self.bench.define(**form)

    async def take(self, step: Step) -> None:
        """Let something happen."""
        self.taken.append(step)
        bench, halves_us = self.bench, step.halves * HOUR_US // 2
        match step.what:
            case "entered" | "paid" | "clicked":
                await self._happen(step.what, step.of, max(BEGIN + 1, bench.now_us - halves_us))
            case "pass":
                await bench.pass_time(step.halves / 2, us=1)
            case "pass one shard":
                await bench.pass_time(step.halves / 2, us=1, shards=[step.of])
            case "move" | "part":
                await self._move(step.of, step.of if step.what == "part" else step.halves % 3 + 1)
            case "member":
                await self._change_membership(step.of, times=1 + step.halves % 2)
            case "agree" | "refuse":
                answer = bench.now_us, step.what == "agree"
                self.world.consents[step.of].append(answer)
            case "pause" | "resume":
                id_ = ("j", "mail", "news")[step.of - 1]
                await self.flow(id_, FLOWS[step.what])
            case "look":
                await bench.look()
            case "two looks":
                await asyncio.gather(*(bench.engine.player.look_once() for _ in range(2)))
            case "publish":
                await bench.engine.publisher.publish_once()
            case "take":
                await bench.engine.scheduler.take_once()
            case "send":
                await self.send(("delivered", "failing", "losing", "dying")[step.halves % 4])
            case "mirror":
                await self.copy(losing=step.halves % 2 == 1)
            case "lose an answer":
                await self._lose_answer()
            case _:
                await self._fail_look()

    async def send(self, script: str = "delivered") -> None:
        """Make the attempts that are due, those included that wait for a time or a lease."""
        self.provider.script = script
        await self.pool.execute(gate_store.Q.end_holds)
        await self.pool.execute("UPDATE effect SET due_at = now() WHERE state IN (1, 2)")
        senders = {Webhook: self.provider}
        context = DeliveryContext(
            self.bench.ledger.database,
            FakeRenderer(),  # type: ignore[arg-type]
            senders,
            RETRIES,
            self._metrics,
            max_in_flight=self.max_in_flight,
            admission=self.admission,
        )
        worker = DestinationWorker(MAIL, context)
        ended = True
        while ended:
            try:
                async with asyncio.TaskGroup() as group:
                    await worker._cycle(group)
            except BaseExceptionGroup as error:
                if not error.subgroup(Died):
                    raise
                return
            ended = bool(worker._ended)
        assert not self.found, self.found

    async def copy(self, *, losing: bool = False) -> None:
        """Keep the mirror, until nothing is due."""
        self.receiver.losing = losing
        await self._note_joins()
        database, channel = self.bench.ledger.database, MagicMock()
        senders = {Hubspot: self.receiver}
        own = database, channel, channel, senders, RETRIES, SHARDS, self._metrics
        worker = MirrorWorker(COPY, MirrorContext(*own))
        worker._profiles = _Profiles()
        await self.pool.execute("UPDATE mirror_entry SET due_at = now() WHERE due_at IS NOT NULL")
        while await worker.step():
            pass

    async def _note_joins(self) -> None:
        """Note what the runs ask the mirror for that is carried out next."""
        rows = await self.pool.fetch(
            "SELECT leaf_id, journey_id, changed_at_us FROM effect"
            " WHERE destination_id = 'crm' AND state IN (1, 2)"
        )
        for row in rows:
            joins = row["journey_id"] == "ads"
            leaves = {row["leaf_id"]} if joins else self.world.leaves_of(row["leaf_id"])
            for each in leaves:
                step = row["changed_at_us"], not joins
                self.joins[each] = max(step, self.joins.get(each, step))

    def joined(self) -> set[bytes]:
        """Return the leaves that runs have added to the mirror, and not removed since."""
        return {each for each, (_, is_removed) in self.joins.items() if not is_removed}

    async def attempted(self, message: Message) -> None:
        """Check what must hold when an attempt is made, and record the first one."""
        effect_id = bytes.fromhex(message.key)
        row = await self.pool.fetchrow("SELECT * FROM effect WHERE effect_id = $1", effect_id)
        assert row is not None
        if (row["state"], row["payload"]) != (2, message.payload) or row["begun_at_us"] is None:
            self.found.append("I3: the attempt is not recorded before it is made")
        taken = self.provider.taken.get(message.key, message.payload)
        if taken != message.payload:
            self.found.append("I3: a repeat is another message")
        if all(each.row["effect_id"] != effect_id for each in self.begun):
            leaves = self.world.leaves_of(row["leaf_id"])
            begun = Begun(self.bench.now_us, row, leaves)
            self.found += [each async for each in self._faults_at_begin(begun)]
            self.begun.append(begun)

    async def _faults_at_begin(self, new: Begun) -> Any:
        row, world = new.row, self.world
        earlier = await self.pool.fetchval(
            "SELECT count(*) FROM effect WHERE leaf_id = ANY($1) AND destination_id = $2"
            " AND changed_at_us < $3 AND (state IN (1, 2) OR state = 8 AND due_at <= now())",
            *(list(new.leaves), row["destination_id"], row["changed_at_us"]),
        )
        if earlier:
            yield "I4: an earlier message to the person is open"
        if {row["journey_id"], row["destination_id"]} & world.paused:
            yield "I5: in a pause"
        if world.refuses(new.leaves):
            yield "I5: without consent"
        if (new.at_us - BEGIN) // HOUR_US % 24 in QUIET_HOURS:
            yield "I5: in quiet hours"
        own = [each for each in self.begun if each.row["leaf_id"] in new.leaves]
        # Every window that has this attempt in it begins after another one, or with none.
        for since_us in {each.at_us for each in own} | {new.at_us}:
            within = [e for e in own if since_us <= e.at_us < since_us + CAP_US]
            if new.at_us < since_us + CAP_US and len(within) >= AT_MOST:
                yield "I6: beyond the cap"
        key = row["journey_id"], row["step_id"]
        if key[0] == "j" and key in {(e.row["journey_id"], e.row["step_id"]) for e in own}:
            yield "I7: the person has had this step"
        if row["step_id"] == "first":
            coupons = await self.pool.fetch(
                "SELECT code, published FROM coupon WHERE effect_id = $1", row["effect_id"]
            )
            named = [c for c in CODES if c.encode() in row["payload"]]
            if [each["code"] for each in coupons] != named or len(named) != 1:
                yield "I17: not exactly its coupon is in the message"
            if not all(each["published"] for each in coupons):
                yield "I17: the log does not have the coupon"

    async def _persons(
        self, workspace_id: WorkspaceId, leaf_ids: Collection[LeafId], token: Token
    ) -> dict[LeafId, Recipient]:
        persons = {own: self._person(own) for own in map(self.world.leaves_of, leaf_ids)}
        return {leaf_id: persons[self.world.leaves_of(leaf_id)] for leaf_id in leaf_ids}

    def _person(self, leaves: frozenset[bytes]) -> Recipient:
        answers = [a for n in LEAVES if leaf(n) in leaves for a in self.world.consents[n]]
        consents = []
        if answers:
            at_us, granted = max(answers)
            consents = [StatedConsent("marketing", granted, at_us, bytes(16), "s")]
        own = tuple(LeafId(each) for each in sorted(leaves))
        return Recipient((), {"name": "Li"}, own, to_hex(own[0]), consents)

    async def _template(self, workspace_id: WorkspaceId, name: str) -> Template | None:
        texts = {"t": "{{ person.name }}", "gift": "{{ coupon.gift.code }}"}
        if name not in texts:
            return None
        return Template(WorkspaceId(W), name, 1, "", (Texts("en", text=texts[name]),))

    async def _happen(self, name: str, of: int, occurred_at_us: int) -> None:
        version = len(self.world.moves)
        profile = self.world.person[of]
        await self.bench.happen(
            name, of, occurred_at_us=occurred_at_us, profile=profile, version=version
        )
        self.entered[of] += name == "entered"
        if name == "paid":
            self.world.goals.append((occurred_at_us, self.bench.now_us, of))

    async def _move(self, of: int, to: int) -> None:
        if self.world.person[to] in (to, of) or of == to:
            self.world.moves.append((self.bench.now_us, of, to))
            self.world.person[of] = to
            await self.bench.move(of, to, len(self.world.moves))

    async def _change_membership(self, of: int, times: int) -> None:
        """Change a membership; what comes several times comes in the other order as well."""
        changes = []
        for _ in range(times):
            self.world.members[of].append(self.bench.now_us)
            changes.append(
                MembershipChange(
                    workspace_id=W,
                    segment_id="vip",
                    profile_id=leaf(of),
                    entered=len(self.world.members[of]) % 2 == 1,
                    ordinal=len(self.world.members[of]),
                    changed_at_us=self.bench.now_us,
                    cause=1,
                )
            )
        for each in (*reversed(changes), changes[0]):
            await self.bench.fold(of % SHARDS, MembershipsChanged(changes=[each]))

    async def flow(
        self, id_: str, flow: facts_pb.Flow, overdue: facts_pb.Overdue = facts_pb.OVERDUE_SEND
    ) -> None:
        """Pause, resume or stop a journey, or the destination `mail`."""
        is_paused = flow == facts_pb.FLOW_PAUSED
        (self.world.paused.add if is_paused else self.world.paused.discard)(id_)
        self._numbers += 1
        if id_ != "mail":
            await self.bench.flow(id_, flow, self._numbers, overdue)
            return
        change = facts_pb.DestinationFlowChanged(
            destination_id=id_, flow=flow, overdue=overdue, version=self._numbers
        )
        await self.bench.broadcast(DESTINATION_FLOW_CHANGED, change)

    async def _lose_answer(self) -> None:
        append = self.bench.log.append

        async def lost(facts: list[Any], known_us: int = 0) -> None:
            await append(facts, known_us)
            raise ServiceUnavailable("the answer is lost")

        self.bench.log.append = lost  # type: ignore[method-assign]
        try:
            await self.bench.engine.publisher.publish_once()
            await self.send()
        except ServiceUnavailable:
            pass
        finally:
            self.bench.log.append = append  # type: ignore[method-assign]

    async def _fail_look(self) -> None:
        """Let a look fail just before its commit."""

        async def failing(*_: Any) -> None:
            raise ServiceUnavailable("the store is away")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, "save_dues", failing)
            with suppress(ServiceUnavailable):
                await self.bench.engine.player.look_once()
