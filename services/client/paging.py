"""Follows the page tokens of List calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, TypeVar

from services.client.api import Unary


class _PageRequest(Protocol):
    page_token: str


class _PageResponse(Protocol):
    @property
    def next_page_token(self) -> str: ...


Request = TypeVar("Request", bound=_PageRequest)
Response = TypeVar("Response", bound=_PageResponse)


async def pages(method: Unary[Request, Response], request: Request) -> AsyncIterator[Response]:
    """Yield every page of a list; `request` is changed on the way. Raises OnefoldError."""
    while True:
        response = await method(request)
        yield response
        request.page_token = response.next_page_token
        if not request.page_token:
            return
