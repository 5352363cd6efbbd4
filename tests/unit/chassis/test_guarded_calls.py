"""What the guard does for a call whose method has no personal data and is no act."""

from __future__ import annotations

from typing import Any, cast

import grpc
import pytest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest, GetProfileResponse

from services.chassis.access.principal import Principal, Role
from services.chassis.access.rights import UNMASK_KEY
from services.chassis.rpc import guard as guards
from services.chassis.rpc.admission import Admission, CallLimits
from services.chassis.rpc.sealing import TokenSealer
from services.chassis.rpc.streams import Credentials
from services.chassis.runtime.telemetry import Metrics
from services.kernel.ids import WorkspaceId

INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"
PROFILE = "/onefold.profile.v1.ProfileService/GetProfile"
REASON = "a customer has asked for it"


class Refused(Exception):
    """The call was aborted with a status."""


class Context:
    """A call as the transport shows it to the guard."""

    def __init__(self, *metadata: tuple[str, str]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", "Bearer k"), *self._metadata)

    def peer(self) -> str:
        return "ipv4:192.0.2.1:4000"

    def time_remaining(self) -> None:
        return None

    async def read(self) -> bytes:
        return b""

    async def abort(self, code: grpc.StatusCode, *_: object) -> None:
        raise Refused(code.name)


class Lenses:
    """Counts the lenses that calls get."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._lens_of = guards.lens_of
        monkeypatch.setattr(guards, "lens_of", self)

    def __call__(self, caller: Principal, reason: str = "") -> Any:
        self.count += 1
        return self._lens_of(caller, reason)


async def respond(method: str, role: Role, *metadata: tuple[str, str]) -> bytes:
    """Return the response to a call of a method, which has an empty message."""

    async def authenticate(_: Credentials) -> Principal:
        return Principal(WorkspaceId("shop"), role, "key_1")

    request, response = {
        INGEST: (IngestEventsRequest, IngestEventsResponse(accepted=1)),
        PROFILE: (GetProfileRequest, GetProfileResponse()),
    }[method]

    async def behaviour(_request: Any, _context: Any) -> Any:
        return response

    guard = guards.Guard(
        authenticate,
        lambda *_: None,
        {method: frozenset(Role)},
        Admission(CallLimits(10, 10, 10, 10)),
        guards.Sealing(TokenSealer(["a key"]), for_clients=True),
        Metrics("test"),
    )
    handler = grpc.unary_unary_rpc_method_handler(
        behaviour, request.FromString, type(response).SerializeToString
    )
    guarded = guards._GuardedMethod(guard, method, handler)
    return await guarded._respond(cast(Any, None), Context(*metadata))


async def test_call_without_personal_data_is_neither_masked_nor_an_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lenses = Lenses(monkeypatch)
    assert IngestEventsResponse.FromString(await respond(INGEST, Role.SOURCE)).accepted == 1
    assert lenses.count == 0
    await respond(PROFILE, Role.READER)
    assert lenses.count == 1


async def test_reason_of_a_call_without_personal_data_is_checked() -> None:
    with pytest.raises(Refused, match="PERMISSION_DENIED"):
        await respond(INGEST, Role.SOURCE, (UNMASK_KEY, REASON))
