"""What the guard does for a call whose method has no personal data and is no act."""

from __future__ import annotations

from typing import Any, cast

import grpc
import pytest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, IngestEventsResponse
from onefold.profile.v1.profile_service_pb2 import (
    CorrectTraitRequest,
    CorrectTraitResponse,
    GetProfileRequest,
    GetProfileResponse,
)

from services.chassis.access.principal import Principal, Role
from services.chassis.access.rights import UNMASK_KEY
from services.chassis.audit.recorder import AuditedCall
from services.chassis.rpc import guard as guards
from services.chassis.rpc.admission import Admission, CallLimits
from services.chassis.rpc.sealing import TokenSealer
from services.chassis.rpc.streams import Credentials, OpenStreams
from services.chassis.runtime.telemetry import Metrics
from services.kernel.ids import WorkspaceId
from services.kernel.masking import FieldClass, FieldClasses
from services.kernel.restrictions import Peer

CORRECT = "/onefold.profile.v1.ProfileService/CorrectTrait"
INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"
PROFILE = "/onefold.profile.v1.ProfileService/GetProfile"
REASON = "a customer has asked for it"


class Refused(Exception):
    """The call was aborted with a status."""


class Context:
    """A call as the transport shows it to the guard."""

    message = b""

    def __init__(self, *metadata: tuple[str, str]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", "Bearer k"), *self._metadata)

    def peer(self) -> str:
        return "ipv4:192.0.2.1:4000"

    def time_remaining(self) -> None:
        return None

    async def read(self) -> bytes:
        return self.message

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
        CORRECT: (CorrectTraitRequest, CorrectTraitResponse(changed=True)),
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


async def test_open_stream_goes_by_the_classes_that_its_workspace_has_now() -> None:
    classes = [{"phone": FieldClass.NONE}, {}]

    def caller() -> Principal:
        return Principal(
            *(WorkspaceId("shop"), Role.READER, "key_1"),
            field_classes=FieldClasses.of(classes[0], {}),
        )

    async def authenticate(_: Credentials) -> Principal:
        return caller()

    opened = caller()
    call = AuditedCall(opened, None, guards.lens_of(opened), "")
    streams = OpenStreams(authenticate)
    with streams.open(Credentials("k", "", Peer("")), frozenset(Role)) as stream:
        before = guards._as_of_now(call, stream).lens
        assert before.identifier("phone", "+8613812345678")[-8] != "*"
        del classes[0]
        await streams._recheck_all()
        lens = guards._as_of_now(call, stream).lens
    assert lens.identifier("phone", "+8613812345678") == "+86138****5678"


async def test_act_with_the_mask_of_a_value_is_refused_to_a_key_that_has_stated_no_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masked = CorrectTraitRequest(correction={"trait": "id_card", "value": b'"***"'})
    monkeypatch.setattr(Context, "message", masked.SerializeToString())
    with pytest.raises(Refused, match="INVALID_ARGUMENT"):
        await respond(CORRECT, Role.ADMIN)
    answer = await respond(CORRECT, Role.ADMIN, (UNMASK_KEY, REASON))
    assert CorrectTraitResponse.FromString(answer).changed


async def test_reason_of_a_call_without_personal_data_is_checked() -> None:
    with pytest.raises(Refused, match="PERMISSION_DENIED"):
        await respond(INGEST, Role.SOURCE, (UNMASK_KEY, REASON))
