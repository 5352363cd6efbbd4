"""PostgreSQL and NATS stop under a running service, and come back, NATS perhaps empty."""

from __future__ import annotations

from pathlib import Path

import pytest
from service_fixtures import QUICK, OpenNatsServer, wait_until
from toy.running import DEADLINE, append, relaying, replica
from toy.words import LOG_SUBJECT, WordLog, sample_facts

from services.devstack.postgres import PostgresServer
from services.kernel.errors import StoreUnavailable


async def test_postgres_that_stops_and_comes_back_loses_nothing(
    nats_url: str, tmp_path: Path
) -> None:
    async with PostgresServer(tmp_path / "engines", settings=QUICK) as server:
        log = await WordLog.make(server.superuser_dsn)
        try:
            async with (
                replica(server.superuser_dsn, nats_url, log, tmp_path) as toy,
                relaying(toy.bus, log) as relay,
            ):
                for i in range(3):
                    token = await append(log, relay, sample_facts(10, i))
                    await toy.runner.wait_for(token, DEADLINE)
                    await server.stop()
                    with pytest.raises(StoreUnavailable):
                        await toy.runner.token()
                    await wait_until(lambda: not toy.runner.leased)
                    await server.start()
                await toy.runner.wait_for(await append(log, relay, sample_facts(10, 5)), DEADLINE)
                assert await toy.word_total() == 40
        finally:
            await log.close()


async def test_nats_that_comes_back_empty_is_filled_again(
    database: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        OpenNatsServer(tmp_path / "engines") as server,
        replica(database, server.url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        for i in range(3):
            token = await append(word_log, relay, sample_facts(10, i))
            await toy.runner.wait_for(token, DEADLINE)
            await server.wipe()
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, 5)), DEADLINE)
        assert await toy.word_total() == 40

        async def published() -> bool:
            last = await toy.bus.last_envelope("onefold.toy.0")
            return last is not None and last.next == 40

        await toy.bus.ready()
        await toy.bus.ensure_stream(LOG_SUBJECT)
        await toy.bus.ensure_stream("onefold.toy")
        await wait_until(published)
