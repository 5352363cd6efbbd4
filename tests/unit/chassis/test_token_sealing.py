"""Tests that sealed tokens tell nothing, and open for their workspace and kind only."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.identity.v1.identity_service_pb2 import LookupProfilesRequest, WatchMergesRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsResponse, StreamEventsResponse
from onefold.profile.v1 import profile_service_pb2
from onefold.segment.v1.segment_service_pb2 import WatchMembershipsRequest

from services.chassis.rpc.sealing import TokenSealer, method_paths
from services.kernel.errors import InvalidField

KEY, OTHER_KEY = "an-internal-key-of-a-test", "another-internal-key"
AT_LEAST = [("at_least",)]


def sealed(offsets: list[int], workspace_id: str = "shop", key: str = KEY) -> Any:
    """Return a request with a sealed token."""
    request = LookupProfilesRequest(at_least={"offsets": offsets})
    TokenSealer([key]).seal(request, AT_LEAST, workspace_id)
    return request


def opened(request: Any, *, workspace_id: str = "shop", keys: list[str] | None = None) -> list[int]:
    """Open the token of a request of a client, and return its offsets."""
    TokenSealer(keys or [KEY]).open(request, AT_LEAST, workspace_id, plain_too=False)
    return list(request.at_least.offsets)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=1024), st.text(max_size=128))
def test_sealed_token_opens_to_its_offsets(offsets: list[int], workspace_id: str) -> None:
    request = sealed(offsets, workspace_id)
    assert not request.at_least.offsets
    assert opened(request, workspace_id=workspace_id) == offsets
    assert not request.at_least.sealed


def test_sealed_tokens_of_equal_states_differ_and_their_size_tells_no_volume() -> None:
    few, again, many = (sealed(offsets) for offsets in ([1, 2], [1, 2], [2**63, 2**62]))
    assert few.at_least.sealed != again.at_least.sealed
    assert len(few.at_least.sealed) == len(many.at_least.sealed)


@pytest.mark.parametrize("workspace_id", ["", "shop2", "sho", "academy"])
def test_token_of_another_workspace_is_refused(workspace_id: str) -> None:
    with pytest.raises(InvalidField, match="at_least"):
        opened(sealed([1, 2]), workspace_id=workspace_id)


def test_token_made_with_the_previous_key_is_accepted_and_one_of_an_older_key_refused() -> None:
    assert opened(sealed([7], key=OTHER_KEY), keys=[KEY, OTHER_KEY]) == [7]
    with pytest.raises(InvalidField, match="internal key"):
        opened(sealed([7], key=OTHER_KEY))


@given(st.binary(max_size=80))
def test_forged_token_is_refused(forged: bytes) -> None:
    request = LookupProfilesRequest(at_least={"sealed": forged or b"x"})
    with pytest.raises(InvalidField):
        opened(request)


@given(st.data())
def test_changed_token_is_refused(data: st.DataObject) -> None:
    request = sealed([1, 2])
    raw = bytearray(request.at_least.sealed)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    request.at_least.sealed = bytes(raw)
    with pytest.raises(InvalidField):
        opened(request)


def test_position_of_a_stream_is_no_token() -> None:
    sealer = TokenSealer([KEY])
    watched = WatchMembershipsRequest(from_position={"sequences": [1, 2]})
    sealer.seal(watched, [("from_position",)], "shop")
    with pytest.raises(InvalidField):
        opened(LookupProfilesRequest(at_least={"sealed": watched.from_position.sealed}))


def test_plain_token_is_accepted_from_other_services_and_operators_only() -> None:
    plain = LookupProfilesRequest(at_least={"offsets": [1, 2]})
    TokenSealer([KEY]).open(plain, AT_LEAST, "", plain_too=True)
    assert list(plain.at_least.offsets) == [1, 2]
    with pytest.raises(InvalidField):
        opened(plain)


@pytest.mark.parametrize("plain_too", [False, True])
def test_absent_and_empty_tokens_are_accepted(plain_too: bool) -> None:
    for request in (LookupProfilesRequest(), LookupProfilesRequest(at_least={})):
        TokenSealer([KEY]).open(request, AT_LEAST, "shop", plain_too=plain_too)
        assert not request.at_least.offsets


def test_token_that_is_both_plain_and_sealed_is_refused() -> None:
    request = sealed([1])
    request.at_least.offsets.append(9)
    with pytest.raises(InvalidField):
        TokenSealer([KEY]).open(request, AT_LEAST, "shop", plain_too=True)


PROFILE = profile_service_pb2.DESCRIPTOR.services_by_name["ProfileService"].full_name


@pytest.mark.parametrize(
    ("method", "requests", "responses"),
    [
        ("/onefold.ingest.v1.IngestService/StreamEvents", (), (("result", "token"),)),
        ("/onefold.identity.v1.IdentityService/WatchMerges", (("from_token",),), (("token",),)),
        (
            "/onefold.segment.v1.SegmentService/WatchMemberships",
            (("from_position",),),
            (("position",),),
        ),
        (f"/{PROFILE}/WatchProfiles", (("from_token",),), (("token",),)),
        (f"/{PROFILE}/GetProfile", (("at_least",), ("as_of_token",)), (("token",),)),
    ],
)
def test_tokens_of_a_method_are_found_by_its_descriptors(
    method: str, requests: Any, responses: Any
) -> None:
    found = method_paths(method)
    assert (set(found[0]), found[1]) == (set(requests), responses)


def test_nested_token_is_sealed() -> None:
    response = StreamEventsResponse(result=IngestEventsResponse(token={"offsets": [3]}))
    TokenSealer([KEY]).seal(response, [("result", "token")], "shop")
    assert response.result.token.sealed
    assert not response.result.token.offsets


def test_message_without_a_token_stays_without() -> None:
    request = WatchMergesRequest()
    TokenSealer([KEY]).seal(request, [("from_token",)], "shop")
    assert not request.HasField("from_token")
