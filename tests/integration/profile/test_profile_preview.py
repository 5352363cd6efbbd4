"""How people would stand if identity grouped them otherwise, before it does and after."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from integration.profile.profile_house import House, house
from laws.profile_world import WORKSPACE, Happening, definition
from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.testing import MakeSettings
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.identifiers import Identifier
from services.kernel.rules.model import CountPredicate, EventFilter
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]
ANN, BOB = Identifier("member_id", "ann"), Identifier("member_id", "bob")
TWO_VIEWS = CountPredicate(EventFilter("viewed"), 0, Operator.GE, 2)
A_TRIAL = CountPredicate(EventFilter("trial"), 0, Operator.GE, 1)


@pytest.fixture
def open_house(make_settings: MakeSettings, internal_key: str) -> OpenHouse:
    def enter(**fields: str) -> AbstractAsyncContextManager[House]:
        return house(make_settings, internal_key, **fields)

    return enter


def ident(identifier: Identifier) -> bytes:
    return identifier.id_in(WORKSPACE)


def group(profile: Identifier, *held: Identifier) -> pb.HypotheticalProfile:
    return pb.HypotheticalProfile(profile_id=ident(profile).hex(), identifier_ids=map(ident, held))


async def two_people(home: House) -> int:
    """Ann viewed once and had a trial, Bob viewed once; the log's clock."""
    facts = [definition("keen", TWO_VIEWS), definition("tried", A_TRIAL)]
    await home.append(facts)
    now = int((await home.tick()).at_us)
    happenings = [
        Happening((ANN,), now - DAY_US, 1),
        Happening((ANN,), now - DAY_US + 1, 2, "trial"),
        Happening((BOB,), now - DAY_US + 2, 3),
    ]
    await home.append(h.fact() for h in happenings)
    await home.reach()
    return now


async def foresee(home: House, *people: pb.HypotheticalProfile) -> dict[bytes, Any]:
    request = pb.PreviewProfilesRequest(profiles=people, at_least=home.token)
    return told((await home.profile.PreviewProfiles(request)).changes)


def told(changes: Any) -> dict[bytes, Any]:
    return {c.profile_id: (tuple(c.true_predicates), c.merged_into) for c in changes}


async def said(home: House) -> list[Any]:
    found = []
    for shard in range(3):
        async for answer in home.profile.ReadOutbox(pb.ReadOutboxRequest(shard=shard)):
            found += answer.batch.changes
    return sorted(found, key=lambda change: change.version)


async def test_a_preview_of_a_merge_and_of_a_split_is_what_is_said_afterwards(
    open_house: OpenHouse,
) -> None:
    async with open_house() as home:
        now = await two_people(home)
        before = await said(home)
        apart = told(before)
        foreseen = await foresee(home, group(ANN, ANN, BOB))
        assert len(foreseen[ident(ANN)][0]) == 2, "together they viewed twice"
        assert foreseen[ident(BOB)] == ((), ident(ANN))
        assert await said(home) == before, "a preview changes nothing"

        alias = Happening((ANN, BOB), now, 4, type="alias")
        await home.append([alias.fact()])
        await home.reach()
        assert told((await said(home))[len(before) :]) == foreseen

        split = await foresee(home, group(ANN, ANN), group(BOB, BOB))
        assert split == {p: apart[p] for p in split}
        assert await foresee(home, group(ANN, ANN, BOB)) == {}, "as it is, nothing would change"


async def test_strangers_and_other_workspaces_have_nothing_to_tell(open_house: OpenHouse) -> None:
    async with open_house() as home:
        await two_people(home)
        nobody = Identifier("member_id", "nobody")
        assert await foresee(home, group(nobody, nobody)) == {}
        foreign = pb.HypotheticalProfile(
            profile_id=ANN.id_in("other").hex(), identifier_ids=[ANN.id_in("other")]
        )
        assert await foresee(home, foreign) == {}


async def test_what_cannot_be_previewed_is_refused_with_its_field(open_house: OpenHouse) -> None:
    async with open_house() as home:
        with pytest.raises(InvalidField) as refused:
            await foresee(home, pb.HypotheticalProfile(profile_id="x"))
        assert refused.value.field == "people[0].profile_id"
        wrong = pb.HypotheticalProfile(profile_id=ident(ANN).hex(), identifier_ids=[b"x"])
        with pytest.raises(InvalidField) as refused:
            await foresee(home, wrong)
        assert refused.value.field == "people[0].identifier_ids"
        with pytest.raises(TooLarge):
            await foresee(home, *[pb.HypotheticalProfile()] * 10_001)
