"""A stack over servers of the user's own."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from services.devstack.managed_server import ServerError
from services.devstack.stack import DSN, NATS_URL, Stack


async def test_given_servers_are_used_and_left_alone(
    database: str, nats_url: str, tmp_path: Path
) -> None:
    stack = Stack(tmp_path, settings={DSN: database, NATS_URL: nats_url}, only=("ingest",))
    async with stack, aiohttp.ClientSession() as http:
        assert not (tmp_path / "postgres" / "cluster").exists()
        assert stack.nats_url == nats_url
        async with http.get(stack.http("ingest") + "/readyz") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({DSN: "postgresql://nobody@127.0.0.1:1/none"}, "check ONEFOLD_POSTGRES_DSN"),
        ({NATS_URL: "nats://127.0.0.1:1"}, "check ONEFOLD_NATS_URL"),
    ],
)
async def test_a_server_that_is_not_there_is_told_in_one_line(
    database: str, tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    with pytest.raises(ServerError, match=told) as error:
        await Stack(tmp_path, settings={DSN: database, **settings}, only=("ingest",)).start()
    assert "\n" not in str(error.value)
