"""Tests the private PostgreSQL: its settings, kills, restarts and errors."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from service_fixtures import wait_until

from services import SERVICES
from services.chassis.postgres.roles import ServiceRoles
from services.devstack.account import unprivileged_account
from services.devstack.binaries import PG_VARIABLE
from services.devstack.errors import FolderInUse, ServerError
from services.devstack.ports import LOOPBACK
from services.devstack.postgres import PostgresServer
from services.devstack.process import is_alive, workers_in

SMALL = {"shared_buffers": "32MB"}
OLDER = Path("/usr/lib/postgresql/15/bin")
#: A supervisor in a separate process: starts the server, prints its process, and waits.
SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from services.devstack.postgres import PostgresServer

async def supervise(folder, tie):
    server = PostgresServer(Path(folder), die_with_parent=tie == "tied")
    await server.start()
    print(server.pid, server.port, flush=True)
    await asyncio.sleep(3600)

asyncio.run(supervise(*sys.argv[1:]))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """A server for tests that change nothing."""
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose server was started once, which takes most of the time of a test."""
    folder = tmp_path_factory.mktemp("stopped")
    async with PostgresServer(folder, settings=SMALL):
        pass
    return folder


@pytest.fixture
def used(stopped: Path, tmp_path: Path) -> Path:
    """A copy of that folder, for one test."""
    copy = tmp_path / "used"
    subprocess.run(["cp", "-a", stopped, copy], check=True)
    return copy


async def fetch(dsn: str, query: str, *arguments: object) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


def supervise(folder: Path, tie: str) -> tuple[subprocess.Popen[str], int, int]:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder), tie], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    while words := supervisor.stdout.readline().split():
        if words[0].isdigit():
            return supervisor, int(words[0]), int(words[1])
    raise AssertionError("the supervisor ended")


async def test_services_log_in_as_roles_that_own_nothing_in_the_server(
    server: PostgresServer,
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch(server.dsn, "SELECT 1")
    assert await fetch(server.admin_dsn, "SHOW is_superuser") == "on"
    for service in SERVICES:
        for role in ServiceRoles.from_dsn(server.dsn, service).by_kind().values():
            dsn = server.dsn.replace("//onefold:", f"//{role}:")
            assert await fetch(dsn, "SHOW is_superuser") == "off"
            owned = f"""
                SELECT count(*) FROM pg_shdepend
                WHERE refobjid = to_regrole('{role}') AND deptype = 'o'
            """
            assert await fetch(server.superuser_dsn, owned) == 0


async def test_settings_write_commits_to_the_disk(server: PostgresServer) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await fetch(server.superuser_dsn, f"SHOW {setting}") == "on"


async def test_chinese_text_has_trigrams(server: PostgresServer) -> None:
    if not await fetch(
        server.superuser_dsn, "SELECT true FROM pg_available_extensions WHERE name = 'pg_trgm'"
    ):
        pytest.skip("this PostgreSQL was built without pg_trgm")
    await fetch(server.superuser_dsn, "CREATE EXTENSION IF NOT EXISTS pg_trgm")
    assert await fetch(server.superuser_dsn, "SELECT show_trgm('上海市浦东新区')")


async def test_missing_or_wrong_password_is_rejected(server: PostgresServer) -> None:
    for password in ("", "wrong"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host=LOOPBACK,
                port=server.port,
                user="onefold_admin",
                password=password,
                database="postgres",
            )


async def test_secrets_and_logs_are_readable_by_the_owner_only(server: PostgresServer) -> None:
    for name in ("passwords.json", "server.log", "lock"):
        assert (server.home / name).stat().st_mode & 0o077 == 0


async def test_failed_statement_is_not_logged(server: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await fetch(server.superuser_dsn, "SELECT 'mei@example.org'::text::int")
    assert "mei@" not in server.log_file.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
async def test_server_started_by_root_runs_as_another_account(server: PostgresServer) -> None:
    status = Path(f"/proc/{server.pid}/status").read_text()
    ids = next(line for line in status.splitlines() if line.startswith("Uid:"))
    assert "0" not in ids.split()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that others cannot enter")
async def test_data_below_a_closed_folder_is_served_with_its_permissions_unchanged(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o700)
    async with PostgresServer(tmp_path / "deep", settings=SMALL) as closed:
        assert await fetch(closed.superuser_dsn, "SELECT 1") == 1
        assert (tmp_path / "deep" / "postgres" / "cluster" / "PG_VERSION").exists()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


async def test_data_and_port_survive_a_restart(used: Path) -> None:
    async with PostgresServer(used, settings=SMALL) as first:
        await fetch(first.superuser_dsn, "CREATE TABLE saved AS SELECT 42 AS answer")
    assert not is_alive_in(first)
    async with PostgresServer(used, settings=SMALL) as second:
        assert second.superuser_dsn == first.superuser_dsn
        assert await fetch(second.superuser_dsn, "SELECT answer FROM saved") == 42


async def test_port_in_use_is_replaced(used: Path) -> None:
    async with PostgresServer(used, settings=SMALL) as first:
        port = first.port
    other = await asyncio.start_server(lambda *_: None, LOOPBACK, port)
    async with other, PostgresServer(used, settings=SMALL) as second:
        assert second.port != port
        assert await fetch(second.superuser_dsn, "SELECT 1") == 1


async def test_killed_server_restarts_with_every_committed_row(used: Path) -> None:
    committed = 0

    async def write(dsn: str) -> None:
        nonlocal committed
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE fact (number bigint)")
        while True:
            await connection.execute("INSERT INTO fact VALUES ($1)", committed)
            committed += 1

    async with PostgresServer(used, settings=SMALL) as server:
        watching = asyncio.create_task(server.watch())
        writing = asyncio.create_task(write(server.superuser_dsn))
        await wait_until(lambda: committed > 100)
        killed, dsn = server.pid, server.superuser_dsn
        os.kill(killed, signal.SIGKILL)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InternalClientError, OSError)):
            await writing
        await wait_until(lambda: server.pid != killed and is_alive(server.pid))
        assert server.superuser_dsn == dsn
        counted = await wait_until(lambda: count_when_up(dsn))
        assert counted >= committed
    await watching


async def count_when_up(dsn: str) -> int:
    try:
        return int(str(await fetch(dsn, "SELECT count(*) FROM fact")))
    except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError):
        return 0


async def test_second_supervisor_of_a_folder_raises_an_error_with_the_first_one(used: Path) -> None:
    async with PostgresServer(used, settings=SMALL) as first:
        with pytest.raises(FolderInUse, match=f"process {os.getpid()}.*--data"):
            await PostgresServer(used, settings=SMALL).start()
        assert await fetch(first.superuser_dsn, "SELECT 1") == 1


async def test_two_folders_have_two_servers(used: Path, server: PostgresServer) -> None:
    async with PostgresServer(used, settings=SMALL) as other:
        assert other.port != server.port
        assert await fetch(other.superuser_dsn, "SELECT 1") == await fetch(
            server.superuser_dsn, "SELECT 1"
        )


async def test_running_server_is_adopted(used: Path) -> None:
    supervisor, pid, port = await asyncio.to_thread(supervise, used, "free")
    with supervisor:
        supervisor.kill()
    async with PostgresServer(used) as adopted:
        assert (adopted.pid, adopted.port) == (pid, port)
        assert await fetch(adopted.superuser_dsn, "SELECT 1") == 1
    assert not is_alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has death signals")
async def test_server_dies_with_its_supervisor(used: Path) -> None:
    supervisor, pid, _ = await asyncio.to_thread(supervise, used, "tied")
    with supervisor:
        supervisor.kill()
    await wait_until(lambda: not is_alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has death signals")
async def test_start_during_the_stop_of_an_orphan_starts_another_server(used: Path) -> None:
    supervisor, pid, _ = await asyncio.to_thread(supervise, used, "tied")
    with supervisor:
        supervisor.kill()
    async with PostgresServer(used, settings=SMALL) as server:
        assert server.pid != pid
        assert await fetch(server.superuser_dsn, "SELECT 1") == 1


async def test_interrupted_first_start_is_repeated(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "cluster.new" / "base"
    half.mkdir(parents=True)
    (half / "1").write_text("half")
    async with PostgresServer(tmp_path, settings=SMALL) as server:
        assert await fetch(server.superuser_dsn, "SELECT 1") == 1


async def test_reused_process_number_does_not_prevent_a_start(used: Path) -> None:
    async with PostgresServer(used, settings=SMALL) as server:
        cluster = server.cluster
    account = unprivileged_account(cluster)
    rights = {"user": account.uid, "group": account.gid} if account else {}
    with subprocess.Popen(["sleep", "600"], cwd="/", **rights) as other:
        (cluster / "postmaster.pid").write_text(f"{other.pid}\n{cluster}\n1\n1\n\n\n")
        async with PostgresServer(used, settings=SMALL) as server:
            assert server.pid != other.pid
        assert other.poll() is None
        other.kill()


async def test_missing_binaries_raise_an_error_with_their_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PG_VARIABLE, str(tmp_path))
    with pytest.raises(ServerError, match=PG_VARIABLE):
        await PostgresServer(tmp_path / "data").start()


async def test_lost_passwords_and_another_version_raise_errors(used: Path) -> None:
    async with PostgresServer(used, settings=SMALL) as server:
        passwords, version = server.home / "passwords.json", server.cluster / "PG_VERSION"
    saved = passwords.read_text()
    passwords.unlink()
    with pytest.raises(ServerError, match="passwords"):
        await server.start()
    passwords.write_text(saved)
    version.write_text("11\n")
    with pytest.raises(ServerError, match=f"PostgreSQL 11.*{PG_VARIABLE}"):
        await server.start()
    assert not is_alive_in(server)


@pytest.mark.skipif(not OLDER.exists(), reason="no older PostgreSQL on this machine")
async def test_older_server_sorts_chinese_as_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PG_VARIABLE, str(OLDER))
    async with PostgresServer(tmp_path, settings=SMALL) as server:
        assert await fetch(server.superuser_dsn, "SELECT 'ÄÖ上' ~* '^äö.$'") is True
        assert int(str(await fetch(server.superuser_dsn, "SHOW server_version_num"))) < 160_000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that others cannot enter")
async def test_binaries_in_a_closed_folder_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.devstack.binaries import find_postgres

    package = find_postgres().parents[1]
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, tmp_path / part.name)
    tmp_path.chmod(0o700)
    monkeypatch.setenv(PG_VARIABLE, str(tmp_path / package.name / "pginstall" / "bin"))
    async with PostgresServer(tmp_path / "data", settings=SMALL) as server:
        program = Path(f"/proc/{server.pid}/exe").readlink()
        assert not program.is_relative_to(tmp_path)
    shutil.rmtree(program.parents[3])


def is_alive_in(server: PostgresServer) -> bool:
    return bool(workers_in(server.cluster))
