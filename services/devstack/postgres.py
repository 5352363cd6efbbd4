"""Runs a private PostgreSQL in the data folder.

<data folder>/postgres/
    lock  ports.json  passwords.json  server.log
    cluster/           PostgreSQL's files, owned by the account that it runs as
"""

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import asyncpg
import structlog

from services import SERVICES
from services.chassis.postgres.errors import is_transient
from services.chassis.postgres.roles import create_roles, grant_database, quote_text, scram_verifier
from services.devstack.account import OsAccount, path_for, unprivileged_account
from services.devstack.binaries import PG_VARIABLE, PostgresBinaries, postgres_for
from services.devstack.errors import ServerError
from services.devstack.managed_server import ManagedServer, Recovering
from services.devstack.ports import LOOPBACK, PortChooser
from services.devstack.process import end, ended, is_alive, spawn, workers_in, works_in

ADMIN, DATABASE = "onefold_admin", "onefold"
#: The prefix of the roles of the services; here they all have one password, as they run as one
#: account, which can read it.
PREFIX = "onefold"

#: Under plain "C" Chinese characters are no letters, and have no trigrams. Systems name UTF-8
#: differently.
LOCALES = ("C.UTF-8", "C.utf8", "en_US.UTF-8")
#: The same order and letters on every machine; PostgreSQL 15 and 16 have the system's only.
BUILTIN_LOCALE_17, BUILTIN_LOCALE_SINCE_18 = "C.UTF-8", "PG_UNICODE_FAST"

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a path of more than 107 bytes is no socket
    "cluster_name": "onefold",
    "max_connections": "200",
    "max_locks_per_transaction": "512",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",
    "timezone": "UTC",
    # Statements are short, cores few, and containers have little /dev/shm for parallel plans.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "random_page_cost": "1.1",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    # An acknowledged event is on disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_buffers": "16MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # Checkpoints, heads and evaluations are updated with every batch.
    "autovacuum_naptime": "30s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.2",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_cost_limit": "2000",
    # Every plan is a lookup by key, for which the most common values do not matter.
    "default_statistics_target": "20",
    # A refused statement is reported to its client, not logged: its values are personal data.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_timezone": "UTC",
    "log_startup_progress_interval": "5s",
}

#: The comment on the database is the checksum of the SQL that made the roles.
LOAD_DATABASE = """
SELECT shobj_description(oid, 'pg_database') AS made_by FROM pg_database WHERE datname = $1
"""
LZ4_IS_BUILT_IN = """
SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'wal_compression' AND setting = 'off'
"""

log = structlog.get_logger(__name__)


class PostgresServer(ManagedServer):
    """PostgreSQL on a loopback port, with a database `onefold` and the roles of the services."""

    name = "postgres"
    # SIGINT ends sessions and writes everything; SIGQUIT ends at once, the next start recovers;
    # SIGKILL is for a process that hangs in the disk.
    stop_steps = ((signal.SIGINT, 120.0), (signal.SIGQUIT, 15.0), (signal.SIGKILL, 5.0))
    port_names = ("postgres",)
    users = (ADMIN, PREFIX)

    def __init__(
        self,
        data_dir: Path,
        *,
        die_with_parent: bool = True,
        ports: PortChooser | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` of PostgreSQL take precedence over SETTINGS (`{"shared_buffers": "1GB"}`)."""
        super().__init__(data_dir, die_with_parent=die_with_parent, ports=ports)
        self.cluster = self.home / "cluster"
        self._settings = {**SETTINGS, **(settings or {})}
        self._account: OsAccount | None = None
        self._binaries: PostgresBinaries | None = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._ports["postgres"]

    @property
    def dsn(self) -> str:
        """Return the DSN of the services for the database `onefold`.

        Its user is the prefix of their roles and no role itself.
        """
        return self._dsn(PREFIX, DATABASE)

    @property
    def admin_dsn(self) -> str:
        """Return the DSN of the superuser for the database `postgres`."""
        return self._dsn(ADMIN, "postgres")

    @property
    def superuser_dsn(self) -> str:
        """Return the DSN of the superuser for the database `onefold`."""
        return self._dsn(ADMIN, DATABASE)

    def _dsn(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._passwords[role]}@{LOOPBACK}:{self.port}/{database}"

    def _find_running(self) -> int | None:
        with suppress(OSError, ValueError, IndexError):
            lines = (self.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid, port = int(lines[0]), int(lines[3])
            if works_in(pid, self.cluster):
                self._ports = {"postgres": port}
                return pid
        return None

    async def _spawn(self) -> subprocess.Popen[bytes]:
        binaries = await asyncio.to_thread(self._find_binaries)
        if not self.cluster.exists():
            await self._make_cluster(binaries)
        self._check_version(binaries)
        await self._wait_for_orphans()
        options = {**self._settings, "port": str(self.port)}
        with path_for(self.cluster, self._account) as (path, descriptors):
            return spawn(
                [
                    binaries.folder / "postgres",
                    "-D",
                    path,
                    *(f"--{key}={value}" for key, value in options.items()),
                ],
                cwd=Path("/"),
                log=self.log_file,
                account=self._account,
                death_signal=self._death_signal,
                descriptors=descriptors,
            )

    def _find_binaries(self) -> PostgresBinaries:
        if self._binaries is None:
            self._account = unprivileged_account(self.cluster)
            self._binaries = postgres_for(self._account)
        return self._binaries

    async def _make_cluster(self, binaries: PostgresBinaries) -> None:
        """Make the cluster whole or not at all: beside its place, then renamed."""
        half = self.home / "cluster.new"
        shutil.rmtree(half, ignore_errors=True)
        for locale in LOCALES:
            half.mkdir(mode=0o700)
            if self._account:
                os.chown(half, self._account.uid, self._account.gid)
            self._rotate_log()
            if await self._initdb(binaries, half, locale):
                half.rename(self.cluster)
                return
            shutil.rmtree(half)
            if "locale" not in (reason := self._last_error()):
                break
        raise ServerError(f"the database could not be made: {reason} (more in {self.log_file})")

    async def _initdb(self, binaries: PostgresBinaries, folder: Path, locale: str) -> bool:
        with (
            path_for(folder, self._account) as (path, descriptors),
            tempfile.NamedTemporaryFile(dir=self.home) as password,
        ):
            password.write(self._passwords[ADMIN].encode("ascii"))
            password.flush()
            if self._account:
                os.chown(password.name, self._account.uid, self._account.gid)
            # An account that cannot pass the folders opens the password by its descriptor, too.
            secret = f"/proc/self/fd/{password.fileno()}" if descriptors else password.name
            options = {"pgdata": path, "username": ADMIN, "pwfile": secret, "auth": "scram-sha-256"}
            options |= {"encoding": "UTF8", "locale": locale, **_builtin_locale(binaries.major)}
            initdb = spawn(
                [
                    binaries.folder / "initdb",
                    "--data-checksums",
                    *(f"--{key}={value}" for key, value in options.items()),
                ],
                cwd=Path("/"),
                log=self.log_file,
                account=self._account,
                death_signal=signal.SIGKILL,
                descriptors=(*descriptors, password.fileno()),
            )
            await ended(initdb.pid)
            return initdb.wait() == 0

    def _check_version(self, binaries: PostgresBinaries) -> None:
        try:
            made_by = int((self.cluster / "PG_VERSION").read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise ServerError(
                f"{self.cluster} is no database of PostgreSQL: restore it, "
                "or choose another folder with --data"
            ) from error
        if made_by != binaries.major:
            raise ServerError(
                f"{self.cluster} is of PostgreSQL {made_by}, the binaries are {binaries.major}: "
                f"set {PG_VARIABLE} to the bin folder of PostgreSQL {made_by}"
            )

    async def _wait_for_orphans(self) -> None:
        """Wait for the children of a killed postmaster: while one runs, no other can start."""
        for pid in workers_in(self.cluster):
            log.info("orphan_postgres_wait", pid=pid)
            await end(pid, (signal.SIGTERM, 10.0), (signal.SIGQUIT, 5.0))
        # Containers reuse process numbers: PostgreSQL would refuse to start because of another
        # program that has the number of its old postmaster.
        with suppress(OSError, ValueError, IndexError):
            pid_file = self.cluster / "postmaster.pid"
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
            if is_alive(pid) and not workers_in(self.cluster):
                pid_file.unlink()

    async def _responds(self) -> bool:
        try:
            connection = await asyncpg.connect(self.admin_dsn, timeout=5.0)
            try:
                await self._make_roles_and_database(connection)
            finally:
                await connection.close(timeout=5.0)
        except asyncpg.CannotConnectNowError as error:
            raise Recovering from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise ServerError(
                f"{self.home}/passwords.json is not the one of this database"
            ) from error
        except Exception as error:
            if is_transient(error):
                return False
            raise ServerError(f"postgres refused to make the database: {error}") from error
        return True

    async def _make_roles_and_database(self, connection: asyncpg.Connection) -> None:
        rights = grant_database(PREFIX, SERVICES, DATABASE)
        script = create_roles(PREFIX, SERVICES, lambda _: "") + rights
        checksum = hashlib.blake2b(script.encode(), digest_size=16).hexdigest()
        found = await connection.fetch(LOAD_DATABASE, DATABASE)
        if not found:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        if not found or found[0]["made_by"] != checksum:
            verifier = scram_verifier(self._passwords[PREFIX], secrets.token_bytes(16))
            roles = create_roles(PREFIX, SERVICES, lambda _: quote_text(verifier))
            comment = f"COMMENT ON DATABASE {DATABASE} IS {quote_text(checksum)}"
            await connection.execute(roles + rights + comment)
        if await connection.fetchval(LZ4_IS_BUILT_IN):
            await connection.execute("ALTER SYSTEM SET wal_compression = 'lz4'")
            await connection.execute("SELECT pg_reload_conf()")


def _builtin_locale(major: int) -> dict[str, str]:
    if major < 17:
        return {}
    locale = BUILTIN_LOCALE_17 if major == 17 else BUILTIN_LOCALE_SINCE_18
    return {"locale-provider": "builtin", "builtin-locale": locale}
