"""Tests a stack over servers that exist already."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from services.devstack.errors import ServerError
from services.devstack.stack import DSN, NATS_URL, Stack


async def test_external_servers_are_used_and_no_private_one_is_started(
    database: str, nats_url: str, tmp_path: Path
) -> None:
    stack = Stack(tmp_path, settings={DSN: database, NATS_URL: nats_url}, only=("ingest",))
    async with stack, aiohttp.ClientSession() as http:
        assert not (tmp_path / "postgres" / "cluster").exists()
        assert stack.nats_url == nats_url
        async with http.get(stack.http("ingest") + "/readyz") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({DSN: "postgresql://nobody@127.0.0.1:1/none"}, "check ONEFOLD_POSTGRES_DSN"),
        ({NATS_URL: "nats://127.0.0.1:1"}, "check ONEFOLD_NATS_URL"),
    ],
)
async def test_unreachable_server_raises_an_error_of_one_line(
    database: str, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ServerError, match=message) as error:
        await Stack(tmp_path, settings={DSN: database, **settings}, only=("ingest",)).start()
    assert "\n" not in str(error.value)
