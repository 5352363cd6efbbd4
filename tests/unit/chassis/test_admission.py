"""Tests which calls are admitted, and that a refused call holds nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest

from services.chassis.access.principal import Principal, Role
from services.chassis.rpc.admission import Admission, AdmittedCall, CallLimits
from services.kernel.errors import RateLimited
from services.kernel.ids import WorkspaceId


def caller(role: Role, key_id: str = "k", workspace: str = "shop") -> Principal:
    return Principal(WorkspaceId(workspace), role, key_id)


def enter_all(
    admission: Admission, who: Principal, *, is_stream: bool = False, address: str = ""
) -> list[AdmittedCall]:
    """Return the calls that are admitted until one is refused, at most 100."""
    calls: list[AdmittedCall] = []
    with suppress(RateLimited):
        while len(calls) < 100:
            calls.append(admission.enter(who, address, is_stream=is_stream))
    return calls


def admitted(
    admission: Admission, who: Principal, *, is_stream: bool = False, address: str = ""
) -> int:
    """Return how many calls are admitted until one is refused, at most 100."""
    return len(enter_all(admission, who, is_stream=is_stream, address=address))


LIMITS = CallLimits(
    calls_per_key=10, streams_per_key=4, calls_of_sources=12, calls_per_workspace=25
)


def test_key_has_its_calls_and_fewer_streams() -> None:
    admission = Admission(LIMITS)
    assert admitted(admission, caller(Role.ADMIN), is_stream=True) == 4
    assert admitted(admission, caller(Role.ADMIN)) == 6
    assert admitted(admission, caller(Role.ADMIN, "another")) == 10


def test_sources_share_a_limit_that_others_do_not_have() -> None:
    admission = Admission(LIMITS)
    assert admitted(admission, caller(Role.SOURCE, "a")) == 10
    assert admitted(admission, caller(Role.SOURCE, "b")) == 2
    assert admitted(admission, caller(Role.ADMIN)) == 10


def test_keys_of_a_workspace_share_a_limit_and_leave_room_for_another_one() -> None:
    admission = Admission(LIMITS)
    calls = [enter_all(admission, caller(Role.READER, f"key {i}")) for i in range(4)]
    assert list(map(len, calls)) == [10, 10, 5, 0]
    assert admitted(admission, caller(Role.READER, "another", "market")) == 10
    admission.leave(calls[0][0])
    assert admitted(admission, caller(Role.READER, "key 3")) == 1


def test_address_leaves_half_of_the_calls_of_a_source_to_others() -> None:
    admission, who = Admission(LIMITS), caller(Role.SOURCE)
    calls = enter_all(admission, who, address="192.0.2.1")
    assert len(calls) == 5
    assert admitted(admission, who, address="192.0.2.2") == 3
    admission.leave(calls[0])
    assert admitted(admission, who, address="192.0.2.3") == 2


def test_address_leaves_half_of_the_streams_of_a_source_to_others() -> None:
    admission, who = Admission(LIMITS), caller(Role.SOURCE)
    assert admitted(admission, who, is_stream=True, address="192.0.2.1") == 2
    assert admitted(admission, who, is_stream=True, address="192.0.2.2") == 1


def test_address_may_use_all_calls_of_a_key_that_is_no_source() -> None:
    assert admitted(Admission(LIMITS), caller(Role.ADMIN), address="192.0.2.1") == 10


def test_other_services_have_no_limit() -> None:
    assert admitted(Admission(LIMITS), caller(Role.INTERNAL), is_stream=True) == 100


@pytest.mark.parametrize("is_stream", [False, True])
def test_refused_call_holds_nothing(is_stream: bool) -> None:
    admission = Admission(LIMITS)
    filler, source = caller(Role.SOURCE, "a"), caller(Role.SOURCE, "b")
    calls = enter_all(admission, filler)
    assert len(calls) == 10
    own = enter_all(admission, source, is_stream=is_stream)
    assert len(own) == 2
    for call in (*calls, *own):
        admission.leave(call)
    assert admitted(admission, source, is_stream=True) == 4
