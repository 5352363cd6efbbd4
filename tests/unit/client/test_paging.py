"""Tests following page tokens."""

from __future__ import annotations

from typing import Any

from onefold.segment.v1.segment_service_pb2 import ListMembersRequest, ListMembersResponse, Member

from services.client.api import pages


async def test_pages_follow_the_tokens_to_the_last_page() -> None:
    async def list_members(request: ListMembersRequest, **_: Any) -> ListMembersResponse:
        at = int(request.page_token or 0)
        member = Member(profile_id=f"{request.segment_id}-{at}")
        return ListMembersResponse(members=[member], next_page_token=str(at + 1) if at < 2 else "")

    request = ListMembersRequest(segment_id="s")
    found = [page.members[0].profile_id async for page in pages(list_members, request)]
    assert found == ["s-0", "s-1", "s-2"]
