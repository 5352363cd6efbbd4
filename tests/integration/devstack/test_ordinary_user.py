"""Tests the servers as an ordinary user, without the rights of root."""

from pathlib import Path

import asyncpg

from tests.integration.devstack.conftest import OrdinaryUser

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = Path(asyncpg.__file__).parents[1]
SERVE = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from services.devstack.nats import NatsServer
from services.devstack.postgres import PostgresServer

async def serve(folder):
    async with PostgresServer(folder) as postgres, NatsServer(folder) as nats:
        connection = await asyncpg.connect(postgres.superuser_dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert {os.stat(f"/proc/{e.pid}").st_uid for e in (postgres, nats)} == {os.geteuid()}

assert os.geteuid() != 0
asyncio.run(serve(Path(sys.argv[1])))
print("served")
"""


def test_servers_run_as_an_ordinary_user(ordinary: OrdinaryUser) -> None:
    done = ordinary.run(
        [ordinary.python, "-c", SERVE, ordinary.home / "data"],
        {
            "PATH": f"{PACKAGES.parents[2] / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}:{PACKAGES}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["served"]), done.stderr
