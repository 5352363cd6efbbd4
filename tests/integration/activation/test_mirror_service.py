"""Tests mirrors in a running activation: the copy is equal to the members, whatever happens."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from contract.channels import fakes
from contract.channels.fake_mirrors import FakeHubspot
from integration.activation.ledger_fixture import profile
from integration.activation.running_activation import (
    OTHER,
    SCHOOL,
    SHARDS,
    RunningActivation,
    activation,
    coupon,
    define_and_fold,
)
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1 import channels_pb2, journey_facts_pb2
from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1 import segment_stream_pb2 as segment_pb
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import MakeSettings, wait_until

from services.activation.domain.journeys.transitions import run_effect_id
from services.activation.domain.model import DeliveryState, RunEffect
from services.activation.store.journeys import save_journey
from services.activation.store.run_effects import add_planned_effects, release_effects
from services.chassis.codec.journeys import journey_to_proto
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import LeafId, WorkspaceId, to_hex
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import DropStep, JoinStep
from services.kernel.journeys.tree import all_steps


@dataclass
class Mirrored:
    """A running activation with a mirror of the segments `trial` and `vip`."""

    whole: RunningActivation
    crm: FakeHubspot
    #: By profile and segment, the ordinal of the last change.
    ordinals: dict[tuple[int, str], int]

    def person(self, n: int) -> str:
        """Add the profile of a person, and return its address."""
        peers = self.whole.peers
        peers.profile.add(profile(n), city=b'"x"')
        added = peers.profile.profiles[to_hex(profile(n))]
        del added.identifiers[:]
        added.identifiers.append(Identifier(namespace="email", value=f"p{n}@x.example"))
        return f"p{n}@x.example"

    def change(self, n: int, segment: str = "trial") -> segment_pb.MembershipChange:
        """Return the next change of a membership, of which segment knows already."""
        ordinal = self.ordinals[n, segment] = self.ordinals.get((n, segment), 0) + 1
        members = self.whole.peers.segment.members.setdefault(segment, set())
        (members.add if ordinal % 2 else members.discard)(profile(n))
        return segment_pb.MembershipChange(
            workspace_id="school",
            segment_id=segment,
            profile_id=profile(n),
            entered=ordinal % 2 == 1,
            ordinal=ordinal,
            changed_at_us=1_000_000 + ordinal,
            cause=segment_pb.MEMBERSHIP_CAUSE_RULE,
        )

    def forget(self, n: int) -> None:
        """Have segment know nothing of a person any more."""
        for members in self.whole.peers.segment.members.values():
            members.discard(profile(n))

    @property
    def members(self) -> set[str]:
        members = self.whole.peers.segment.members
        ids = set().union(*(members.get(s, set()) for s in ("trial", "vip")))
        return {f"p{n}@x.example" for n in range(40) if profile(n) in ids}

    async def equal(self) -> None:
        await wait_until(lambda: self.crm.members.keys() == self.members)

    async def shown(self, **request: Any) -> pb.Mirror:
        call = self.whole.stub(SCHOOL).GetMirror
        return (await call(pb.GetMirrorRequest(destination_id="crm", **request))).mirror


def crm_destination(url: str, **fields: Any) -> facts_pb.DestinationDefined:
    plain: dict[str, Any] = {
        "destination_id": "crm",
        "hubspot": channels_pb2.Hubspot(
            access_token="hs-token", member_property="in_trial", endpoint=url
        ),
        "segment_ids": ["trial", "vip"],
        "triggers": [1, 2],
        "traits": ["city"],
    }
    return facts_pb.DestinationDefined(**(plain | fields))


@pytest_asyncio.fixture
async def mirrored(make_settings: MakeSettings, nats_url: str) -> AsyncIterator[Mirrored]:
    async with fakes.serving(FakeHubspot({"access_token": "hs-token"})) as fake:
        assert isinstance(fake, FakeHubspot)
        target = f"127.0.0.1:{fake.port}"
        async with activation(make_settings, nats_url, private_targets=target) as whole:
            yield Mirrored(whole, fake, {})


async def _is_forgotten(database: str, n: int) -> bool:
    conn = await asyncpg.connect(database, server_settings={"search_path": "activation"})
    try:
        query = "SELECT count(*) FROM mirror_member WHERE profile_id = $1"
        return bool(await conn.fetchval(query, profile(n)) == 0)
    finally:
        await conn.close()


async def test_copy_is_equal_to_the_members_of_its_segments(
    mirrored: Mirrored, database: str
) -> None:
    chance, whole = random.Random(7), mirrored.whole
    for n in range(20):
        mirrored.person(n)
    # Those who were members before the destination are in it; `vip` is not defined yet.
    for n in range(5):
        mirrored.change(n)
    await define_and_fold(whole, crm_destination(mirrored.crm.url))
    await mirrored.equal()
    assert mirrored.crm.members["p1@x.example"] == {"city": "x"}

    # Changes come twice and in any order, answers are lost.
    mirrored.crm.script = chance.choices(["lost", "unanswered", "accepted"], k=10)
    changes = [
        mirrored.change(chance.randrange(20), chance.choice(["trial", "vip"])) for _ in range(60)
    ]
    changes += chance.sample(changes, 20)
    chance.shuffle(changes)
    await whole.publish_changes(*changes)
    await mirrored.equal()

    # One in both segments stays until it has left both; another one has lost its address.
    both, lost = 30, 31
    for n in (both, lost):
        mirrored.person(n)
    entering = [mirrored.change(n, s) for n in (both, lost) for s in ("trial", "vip")]
    await whole.publish_changes(*entering)
    await mirrored.equal()
    del whole.peers.profile.profiles[to_hex(profile(lost))]
    leaving = [mirrored.change(both), mirrored.change(lost), mirrored.change(lost, "vip")]
    await whole.publish_changes(*leaving)
    await mirrored.equal()
    assert "p30@x.example" in mirrored.crm.members
    assert "p31@x.example" not in mirrored.crm.members

    # An erased person is removed at the receiver, although no change says that it has left.
    erased = PersonErased(request_id=bytes(16), identifier_ids=[profile(both)])
    mirrored.forget(both)
    await whole.publish_facts(
        Fact(
            workspace_id="school",
            fact_id=b"erased" + bytes(10),
            kind=PersonErased.DESCRIPTOR.full_name,
            payload=erased.SerializeToString(),
            recorded_at_us=2**50,
        )
    )
    await mirrored.equal()
    assert "p30@x.example" not in mirrored.crm.members
    await wait_until(lambda: _is_forgotten(database, both))


async def test_mirror_is_reconciled_and_follows_its_definition(mirrored: Mirrored) -> None:
    whole, crm = mirrored.whole, mirrored.crm
    for n in range(6):
        mirrored.person(n)
        mirrored.change(n, "trial" if n % 2 else "vip")
    destination = crm_destination(crm.url)
    await define_and_fold(whole, destination)
    await mirrored.equal()

    async def is_quiet() -> bool:
        shown = await mirrored.shown()
        return (shown.loaded, shown.entries, shown.unwritten) == (True, 6, 0)

    await wait_until(is_quiet)
    assert (await mirrored.shown()).members == 6

    # The copy was changed elsewhere: members are missing, which a reconciliation writes again.
    written = crm.writes
    crm.members.clear()
    school = whole.stub(SCHOOL)
    response = await school.ReconcileMirror(pb.ReconcileMirrorRequest(destination_id="crm"))
    assert not response.mirror.loaded
    await mirrored.equal()
    await wait_until(is_quiet)
    assert crm.writes == written + 6

    # While a segment is not one of the mirror, changes of it are not recorded.
    await define_and_fold(whole, crm_destination(crm.url, segment_ids=["trial"]))
    await wait_until(lambda: len(crm.members) == 3)
    await whole.publish_changes(mirrored.change(0, "vip"))
    await define_and_fold(whole, destination)
    await mirrored.equal()
    assert "p0@x.example" not in crm.members

    with pytest.raises(NotFound):
        await whole.stub(OTHER).GetMirror(pb.GetMirrorRequest(destination_id="crm"))
    await define_and_fold(whole, coupon("https://x.example/in"))
    with pytest.raises(InvalidField):
        await school.ReconcileMirror(pb.ReconcileMirrorRequest(destination_id="coupon"))
    no_deliveries = await school.ListDeliveries(pb.ListDeliveriesRequest(destination_id="crm"))
    assert not no_deliveries.deliveries, "a mirror has no messages"


async def test_runs_add_persons_to_a_mirror_and_remove_them(
    mirrored: Mirrored, database: str
) -> None:
    for n in range(5):
        mirrored.person(n)
    await define_and_fold(mirrored.whole, crm_destination(mirrored.crm.url))
    form = {
        "id": "care",
        "enter": {"event": "registered", "again": "always"},
        "steps": [{"join": "crm"}, {"wait": "1d"}, {"drop": "crm"}],
    }
    journey = replace(parse_journey(form), version=1)
    join, drop = (s.id for s in all_steps(journey) if isinstance(s, (JoinStep, DropStep)))
    path = {"search_path": "activation_g1,activation"}
    conn = await asyncpg.connect(database, server_settings=path)
    defined = journey_facts_pb2.JourneyDefined(journey=journey_to_proto(journey))
    await save_journey(conn, "school", 1, defined.SerializeToString())

    async def carried_out(*steps: tuple[int, str]) -> None:
        effects = [_run_effect(n, step, visit) for visit, (n, step) in enumerate(steps)]
        async with conn.transaction():
            await add_planned_effects(conn, effects, SHARDS)
            keys = [(each.effect_id, each.leaf_id) for each in effects]
            await release_effects(conn, keys, SHARDS)

    await carried_out((0, join), (1, join), (2, join), (3, "gone"))
    wanted = {f"p{n}@x.example" for n in range(3)}
    await wait_until(lambda: mirrored.crm.members.keys() == wanted)
    # One is added and removed at once; another one is in a segment besides, and stays.
    await mirrored.whole.publish_changes(mirrored.change(1))
    await carried_out((0, drop), (1, drop), (3, join), (3, drop))
    await wait_until(lambda: mirrored.crm.members.keys() == wanted - {"p0@x.example"})
    # What took place earlier and is carried out later changes nothing.
    late, early = _run_effect(2, drop, 9), _run_effect(2, join, 5)
    for effect in (late, early):
        async with conn.transaction():
            await add_planned_effects(conn, [effect], SHARDS)
            await release_effects(conn, [(effect.effect_id, effect.leaf_id)], SHARDS)
        await wait_until(partial(is_delivered, conn, effect.effect_id))
    await mirrored.whole.publish_changes(mirrored.change(4))
    await wait_until(lambda: mirrored.crm.members.keys() == {"p1@x.example", "p4@x.example"})
    ended = await conn.fetch("SELECT step_id, state FROM effect WHERE destination_id = 'crm'")
    await conn.close()
    states = {True: DeliveryState.SUPPRESSED, False: DeliveryState.DELIVERED}
    assert len(ended) == 10
    assert all(row["state"] == states[row["step_id"] == "gone"] for row in ended)


async def is_delivered(conn: asyncpg.Connection, effect_id: bytes) -> bool:
    state = await conn.fetchval("SELECT state FROM effect WHERE effect_id = $1", effect_id)
    return bool(state == DeliveryState.DELIVERED)


def _run_effect(n: int, step_id: str, visit: int) -> RunEffect:
    run_id = profile(1_000 + n)
    return RunEffect(
        *(run_effect_id(run_id, (step_id, visit)), WorkspaceId("school"), run_id, "care", 1),
        *(step_id, visit, LeafId(profile(n)), profile(n), 1_000 + visit, "crm", "care", 50),
    )
