"""Tests the fixtures: the servers are real, and tests share nothing."""

from __future__ import annotations

import asyncpg
import nats
import pytest
from service_fixtures import MakeSettings, wait_until

from services.chassis.runtime.settings import ServiceSettings


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_a_database_of_its_own(database: str, turn: int) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE TABLE only_once (turn int)")
        assert await connection.fetchval("SELECT count(*) FROM only_once") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_no_stream_of_the_previous_test_is_left(nats_url: str, turn: int) -> None:
    connection = await nats.connect(nats_url)
    try:
        stream = connection.jetstream()
        assert await stream.streams_info() == []
        await stream.add_stream(name=f"ONEFOLD_{turn}", subjects=["onefold.test"])
    finally:
        await connection.close()


async def test_settings_contain_the_servers_of_the_test(
    make_settings: MakeSettings, database: str, nats_url: str
) -> None:
    settings = make_settings(ServiceSettings, shards=1)
    assert settings.postgres_dsn.get_secret_value() == database
    assert settings.nats_url.get_secret_value() == nats_url
    assert settings.shards == 1


async def test_wait_until_returns_the_first_true_result() -> None:
    results = iter([0, None, "", "there"])

    async def predicate() -> object:
        return next(results)

    assert await wait_until(predicate) == "there"


async def test_wait_until_a_result_that_never_comes_times_out() -> None:
    with pytest.raises(TimeoutError, match="was still False"):
        await wait_until(lambda: False, deadline_s=0.02)
