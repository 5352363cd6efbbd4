"""Rebuilds a projection of a running service."""

from __future__ import annotations

from functools import partial
from typing import Any

from onefold.projection.v1.projection_service_pb2 import RebuildRequest, RebuildResponse
from service_fixtures import wait_until

from services.kernel.errors import Conflict


async def rebuild(projection: Any, **fields: Any) -> RebuildResponse:
    """Rebuild when the backfills in progress have finished; return the last response."""
    return await wait_until(partial(_rebuild, projection, RebuildRequest(**fields)))


async def _rebuild(projection: Any, request: RebuildRequest) -> RebuildResponse | None:
    try:
        [*_, last] = [response async for response in projection.Rebuild(request, timeout=120.0)]
    except Conflict as error:
        if "retry when it has finished" in str(error):
            return None
        raise
    assert isinstance(last, RebuildResponse)
    return last
