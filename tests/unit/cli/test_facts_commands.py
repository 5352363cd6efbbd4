"""Tests the commands about facts that cannot be folded, with services that are made up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from onefold.log.v1.log_pb2 import Fact, FactParked, FactUnparked
from onefold.log.v1.log_service_pb2 import AppendRequest, AppendResponse
from onefold.projection.v1 import projection_service_pb2 as pb

from services.cli.commands.facts import FactAddress, park_fact, parse_address, unpark_fact
from services.client.client import Client
from services.kernel.errors import InvalidField

AT = FactAddress(2, 1041)
PARKED = FactParked(shard=2, offset=1041, services=["profile"], reason="a test")
UNPARKED = FactUnparked(shard=2, offset=1041, services=["profile"], reason="a test")


class System:
    """Services with failed facts; remembers what is appended."""

    def __init__(self, **failed: pb.FailedFact) -> None:
        self._failed = failed
        self.appended: list[Fact] = []
        self.log = SimpleNamespace(Append=self._append)

    async def _append(self, request: AppendRequest) -> AppendResponse:
        self.appended += request.facts
        return AppendResponse()

    def projection(self, service: str) -> Any:
        async def list_failed(_request: object) -> pb.ListFailedFactsResponse:
            facts = [self._failed[service]] if service in self._failed else []
            return pb.ListFailedFactsResponse(facts=facts)

        async def await_token(_request: object) -> pb.AwaitTokenResponse:
            return pb.AwaitTokenResponse()

        return SimpleNamespace(ListFailedFacts=list_failed, AwaitToken=await_token)

    def as_client(self) -> Client:
        return cast(Client, self)


def failed_fact(*, parked: bool = False, offset: int = 1041) -> pb.FailedFact:
    return pb.FailedFact(shard=2, offset=offset, workspace_id="school", parked=parked)


def test_failed_fact_is_parked_by_a_fact_of_its_workspace() -> None:
    system = System(profile=failed_fact())
    asyncio.run(park_fact(system.as_client(), AT, ["profile"], PARKED, folded=False))
    [fact] = system.appended
    assert (fact.workspace_id, fact.leaf_id, len(fact.fact_id)) == ("school", b"", 16)
    assert FactParked.FromString(fact.payload) == PARKED


def test_folded_fact_is_refused_with_what_to_do() -> None:
    system = System(profile=failed_fact(offset=7))
    with pytest.raises(InvalidField, match="onefold rebuild profile --resync"):
        asyncio.run(park_fact(system.as_client(), AT, ["profile"], PARKED, folded=False))
    assert not system.appended
    asyncio.run(park_fact(system.as_client(), AT, ["profile"], PARKED, folded=True))
    assert len(system.appended) == 1


def test_fact_that_segment_has_folded_cannot_be_parked_at_all() -> None:
    with pytest.raises(InvalidField, match="segment has no failed fact 2:1041"):
        asyncio.run(park_fact(System().as_client(), AT, ["segment"], PARKED, folded=True))


def test_only_a_parked_fact_can_be_taken_back() -> None:
    system = System(profile=failed_fact())
    with pytest.raises(InvalidField, match="no parked fact"):
        asyncio.run(unpark_fact(system.as_client(), AT, ["profile"], UNPARKED))
    system = System(profile=failed_fact(parked=True))
    asyncio.run(unpark_fact(system.as_client(), AT, ["profile"], UNPARKED))
    assert [fact.kind for fact in system.appended] == ["onefold.log.v1.FactUnparked"]


@pytest.mark.parametrize(
    "text", ["2", "2:", ":3", "a:b", "2:3:4", "-1:3", "2: 3", "2:1" + "0" * 30]
)
def test_text_that_is_no_place_ends_the_command(text: str) -> None:
    with pytest.raises(SystemExit):
        parse_address(text)


def test_place_is_parsed() -> None:
    assert parse_address("2:1041") == AT
