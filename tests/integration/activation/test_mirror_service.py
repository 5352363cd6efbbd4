"""Tests mirrors in a running activation: the copy is equal to the members, whatever happens."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from contract.channels import fakes
from contract.channels.fake_mirrors import FakeHubspot
from integration.activation.ledger_fixture import profile
from integration.activation.running_activation import (
    OTHER,
    SCHOOL,
    RunningActivation,
    activation,
    coupon,
    define_and_fold,
)
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1 import channels_pb2
from onefold.segment.v1 import segment_stream_pb2 as segment_pb
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import MakeSettings, wait_until

from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import to_hex


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

    @property
    def members(self) -> set[str]:
        members = self.whole.peers.segment.members
        ids = set().union(*(members.get(s, set()) for s in ("trial", "vip")))
        return {f"p{n}@x.example" for n in range(40) if profile(n) in ids}

    async def equal(self) -> None:
        await wait_until(lambda: self.crm.members.keys() == self.members, deadline_s=60.0)

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


async def test_copy_is_equal_to_the_members_of_its_segments(mirrored: Mirrored) -> None:
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
