"""Tests what the roles of the services may do in PostgreSQL, whatever a statement says."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest
import pytest_asyncio
from security.tenant_rows import OTHER, OWN, SHARDS, Table, add_rows, migrate_all
from service_fixtures import create_database

from services import SERVICES
from services.activation.store.effects import Q as effects
from services.chassis.access.principal import Principal, Role, set_principal
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.postgres.migrate import create_generation, drop_generation, migrate
from services.chassis.postgres.roles import ServiceRoles, create_roles, quote_text, scram_verifier
from services.chassis.postgres.workspace import bind_workspace, workspace_scope
from services.devstack.postgres import PREFIX, PostgresServer
from services.identity.store.profiles import Q as identities
from services.ingest.log.store import Q as log
from services.ingest.store.quarantine import Q as quarantine
from services.kernel.errors import StoreUnavailable
from services.kernel.ids import WorkspaceId
from services.profile.store.evaluations import Q as evaluations
from services.profile.store.profiles import Q as profiles
from services.segment.store.memberships import Q as memberships

ROWS = 300
LOGINS = [(service, kind) for service in SERVICES for kind in ("fold", "api")]
#: What no login of a service may do: `{owner}` and `{table}` are those of its schema.
FORBIDDEN = {
    "become the owner": "SET ROLE {owner}",
    "become the owner by a function": "SELECT set_config('role', '{owner}', false)",
    "become the superuser": "SET ROLE onefold_admin",
    "act for the superuser": "SET SESSION AUTHORIZATION onefold_admin",
    "ignore policies": "ALTER ROLE CURRENT_USER BYPASSRLS",
    "switch policies off": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "drop a policy": "DROP POLICY caller ON {table}",
    "add a policy": "CREATE POLICY more ON {table} USING (true)",
    "drop a table": "DROP TABLE {table}",
    "truncate a table": "TRUNCATE {table}",
    "add a trigger": "CREATE RULE more AS ON INSERT TO {table} DO NOTHING",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "read a file": "SELECT pg_read_file('/etc/hostname')",
    "write a file": "COPY (SELECT 1) TO '/tmp/onefold-test'",
    "import a file": "SELECT lo_import('/etc/hostname')",
    "create an extension": "CREATE EXTENSION pg_trgm",
    "create a schema": "CREATE SCHEMA more",
    "create a table": "CREATE TABLE {schema}.more (a int)",
    "create a public table": "CREATE TABLE public.more (a int)",
    "create a temporary table": "CREATE TEMPORARY TABLE more (a int)",
    "create a function": "CREATE FUNCTION {schema}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "create a role": "CREATE ROLE more SUPERUSER",
    "change the server": "ALTER SYSTEM SET fsync = off",
}


class Filled(NamedTuple):
    """A database with rows of two workspaces in every table that has workspaces."""

    dsn: str
    tables: list[Table]
    #: A superuser's.
    admin: asyncpg.Connection

    async def login(self, service: str, kind: str) -> asyncpg.Connection:
        """Connect as a role; the caller closes the connection."""
        role = ServiceRoles.from_dsn(self.dsn, service).by_kind()[kind]
        return await asyncpg.connect(self.dsn, user=role)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(postgres_server: PostgresServer) -> AsyncIterator[Filled]:
    server = await asyncpg.connect(postgres_server.admin_dsn)
    name = await create_database(server)
    dsn = postgres_server.dsn.rpartition("/")[0] + f"/{name}"
    await migrate_all(dsn)
    admin = await asyncpg.connect(dsn)
    tables = await add_rows(admin, ROWS)
    await admin.execute("ANALYZE")
    yield Filled(dsn, tables, admin)
    await admin.close()
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


async def test_every_table_with_workspaces_has_policies_that_bind_its_owner_too(
    filled: Filled,
) -> None:
    assert len(filled.tables) > 30
    open_tables = await filled.admin.fetch(
        """
        SELECT c.oid::regclass FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE a.attname = 'workspace_id' AND c.relkind IN ('r', 'p')
          AND NOT (c.relrowsecurity AND c.relforcerowsecurity
                   AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))
        """
    )
    assert open_tables == []
    views = await filled.admin.fetch(
        "SELECT oid::regclass FROM pg_class WHERE relkind = 'v' AND relnamespace <> 11"
        " AND relnamespace::regnamespace::text <> 'information_schema'"
        " AND NOT 'security_invoker=true' = ANY (coalesce(reloptions, '{}'))"
    )
    assert views == []


@pytest.mark.parametrize(("service", "kind"), LOGINS)
async def test_login_of_a_service_reads_no_table_of_another_one(
    filled: Filled, service: str, kind: str
) -> None:
    conn = await filled.login(service, kind)
    try:
        own = 0
        for table in filled.tables:
            try:
                await conn.fetch(f"SELECT FROM {table} LIMIT 1")
                assert table.service == service
                own += 1
            except asyncpg.InsufficientPrivilegeError:
                # The api role may not read all of its own service either.
                assert kind == "api" or table.service != service
        assert own
        for other in SERVICES:
            if other != service:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await conn.fetch(f"SELECT FROM {other}.outbox LIMIT 1")
    finally:
        await conn.close()


@pytest.mark.parametrize(("service", "kind"), LOGINS)
async def test_login_of_a_service_cannot_extend_its_rights(
    filled: Filled, service: str, kind: str
) -> None:
    roles = ServiceRoles.from_dsn(filled.dsn, service)
    table = next(t for t in filled.tables if t.service == service)
    names = {"owner": roles.owner, "table": str(table), "schema": table.schema}
    conn = await filled.login(service, kind)
    try:
        for what, statement in FORBIDDEN.items():
            refusal = None
            try:
                await conn.execute(statement.format(**names))
            except asyncpg.PostgresError as error:
                refusal = error.sqlstate
            assert refusal == "42501", what
    finally:
        await conn.close()


#: Statements of the api that run often or read large tables.
HOT = {
    "ingest": (quarantine, "page get", log, "leaf_facts"),
    "identity": (identities, "lookup_profiles list_identifiers list_held"),
    "profile": (
        *(profiles, "profiles_of load_profiles list_profiles search_profiles leaf_states"),
        *(profiles, "member_page list_accounts account_names accounts_with_parent object_leaves"),
        *(profiles, "stated_parents leaves_of_profiles"),
        *(evaluations, "count_persons sample_page"),
    ),
    "segment": (memberships, "list_members load_memberships load_changes_of_profile"),
    "activation": (effects, "list_effects retry lock_dead"),
}


@pytest.mark.parametrize("service", HOT)
async def test_policies_leave_hot_statements_their_indexes(filled: Filled, service: str) -> None:
    found = HOT[service]
    statements = [
        getattr(queries, name).replace("{schema}", "")
        for queries, names in zip(found[::2], found[1::2], strict=True)
        for name in names.split()
    ]
    roles = ServiceRoles.from_dsn(filled.dsn, service)
    async with (
        Database(filled.dsn, service, roles=roles) as database,
        acquire(database.api_pool, OWN) as conn,
    ):
        # With few rows any plan is cheap; these settings leave those that also suit many.
        await conn.execute(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
            " SET enable_hashjoin = off; SET enable_mergejoin = off"
        )
        for number, statement in enumerate(statements):
            plan = await _plan(conn, f"p{number}", statement)
            assert "onefold.workspace" in json.dumps(plan), statement
            scans = [node for node in _nodes(plan) if "Relation Name" in node]
            assert scans
            for scan in scans:
                if scan["Node Type"] not in ("Bitmap Heap Scan", "ModifyTable"):
                    assert scan.get("Index Cond"), (statement, scan)


async def _plan(conn: asyncpg.Connection, name: str, statement: str) -> dict[str, Any]:
    """Return the plan of a statement whatever its parameters are."""
    await conn.execute(f"PREPARE {name} AS {statement.rstrip('; ')}")
    nulls = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d+)", statement))))
    [explained] = json.loads(await conn.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {name} ({nulls})"))
    return dict(explained["Plan"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        *product(
            ["fold", "api"],
            [
                "UPDATE ingest.fact SET recorded_at = 0",
                "UPDATE ingest.fact SET fact_id = ''",
                "DELETE FROM ingest.fact",
                "TRUNCATE ingest.fact",
            ],
        ),
        ("api", "UPDATE ingest.fact SET payload = ''"),
        ("api", "SELECT FROM ingest.fact FOR UPDATE"),
    ],
)
async def test_log_refuses_every_change_but_an_append(
    filled: Filled, kind: str, statement: str
) -> None:
    conn = await filled.login("ingest", kind)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(statement)
    finally:
        await conn.close()


@pytest.mark.parametrize("workspace", ["", OWN, OTHER])
async def test_api_role_sees_the_rows_of_the_named_workspace_only(
    filled: Filled, workspace: str
) -> None:
    readable = 0
    for service in SERVICES:
        conn = await filled.login(service, "api")
        try:
            if workspace:
                await conn.execute("SELECT set_config('onefold.workspace', $1, false)", workspace)
            # Names are shown to a search only; every name begins with this.
            await conn.execute("SELECT set_config('onefold.beginning', '', false)")
            for table in filled.tables:
                try:
                    rows = await conn.fetch(f"SELECT DISTINCT workspace_id FROM {table}")
                except asyncpg.InsufficientPrivilegeError:
                    continue
                readable += 1
                assert [row[0] for row in rows] == ([workspace] if workspace else []), table
        finally:
            await conn.close()
    assert readable > 25


#: Beginnings of names, and how many names of the own workspace they find. Some end the word that
#: the policy searches for, and add another one.
BEGINNINGS = {
    "of all names": ("", ROWS),
    "of names of the other workspace": (OTHER, 0),
    "which adds the other workspace": (f"{OTHER}' | '{OTHER}/", 0),
    "which adds all names but one": ("none' | !'none", ROWS),
}


@pytest.mark.parametrize("what", BEGINNINGS)
async def test_no_search_shows_a_name_of_another_workspace(filled: Filled, what: str) -> None:
    beginning, found = BEGINNINGS[what]
    names = "SELECT workspace_id FROM profile_g1.name"
    conn = await filled.login("profile", "api")
    try:
        await conn.execute("SELECT set_config('onefold.workspace', $1, false)", OWN)
        assert await conn.fetch(names) == [], "without a search none is shown"
        await conn.execute("SELECT set_config('onefold.beginning', $1, false)", beginning)
        assert [row[0] for row in await conn.fetch(names)] == [OWN] * found
        assert await conn.fetch(f"{names} WHERE workspace_id = $1", OTHER) == []
        search = f"{names} WHERE forms @@ $1::text::tsquery"
        assert await conn.fetch(search, f"'{OTHER}/':*") == []
        await conn.execute("SELECT set_config('onefold.workspace', '', false)")
        assert await conn.fetch(names) == [], "without a workspace none is shown"
    finally:
        await conn.close()


async def test_row_that_concerns_all_workspaces_is_seen_by_callers_of_one(filled: Filled) -> None:
    await filled.admin.execute(
        "INSERT INTO profile_g1.backfill (shard, name, workspace_id, version, blocking)"
        " VALUES (0, 'all', '', 1, false)"
    )
    conn = await filled.login("profile", "api")
    try:
        count = "SELECT count(*) FROM profile_g1.backfill WHERE name = 'all'"
        assert await conn.fetchval(count) == 0
        await conn.execute(f"SET onefold.workspace = '{OWN}'")
        assert await conn.fetchval(count) == 1
    finally:
        await conn.close()
        await filled.admin.execute("DELETE FROM profile_g1.backfill WHERE name = 'all'")


@pytest.mark.parametrize(
    "assignment",
    ["payload = ''", "leaf_id = NULL", "kind_id = kind_id", "payload = payload || '1'"],
)
async def test_log_is_overwritten_by_an_erasure_under_way_alone(
    filled: Filled, assignment: str
) -> None:
    conn = await filled.login("ingest", "fold")
    try:
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await conn.execute(f"UPDATE ingest.fact SET {assignment}")
    finally:
        await conn.close()


async def test_api_role_writes_no_row_of_another_workspace(filled: Filled) -> None:
    insert = """
        INSERT INTO quarantine (shard, quarantine_id, workspace_id, source_id, endpoint, reason,
                                field, message, format, raw, received_at)
        VALUES (0, $1, $2, '', '', '', '', '', '', '', 0)
    """
    async with (
        Database(
            filled.dsn, "ingest", roles=ServiceRoles.from_dsn(filled.dsn, "ingest")
        ) as database,
        acquire(database.api_pool, OWN) as conn,
    ):
        await conn.execute(insert, b"1" * 16, OWN)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(insert, b"2" * 16, OTHER)
        changed = await conn.execute("UPDATE quarantine SET released_fact_id = ''")
        assert changed == f"UPDATE {ROWS + 1}"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("UPDATE quarantine SET workspace_id = $1", OTHER)
    released = "SELECT count(*) FROM ingest.quarantine WHERE released_fact_id = ''"
    assert await filled.admin.fetchval(released) == ROWS + 1


async def test_connection_that_another_workspace_used_shows_nothing_of_it(filled: Filled) -> None:
    roles = ServiceRoles.from_dsn(filled.dsn, "profile")
    seen = "SELECT DISTINCT workspace_id FROM leaf"
    # One connection for all of them.
    async with Database(filled.dsn, "profile", max_size=2, roles=roles) as database:
        for workspace in (OWN, OTHER, "", OTHER, OTHER, OWN):
            set_principal(Principal(WorkspaceId(workspace), Role.SERVICE, "key"))
            async with acquire(database.api_pool) as conn:
                rows = await conn.fetch(seen)
                assert [row[0] for row in rows] == ([workspace] if workspace else [])
        with pytest.raises(asyncpg.DivisionByZeroError):
            await _fail_inside_transaction(database)
        bind_workspace("")
        assert await database.api_pool.fetch(seen) == [], "without acquire() none is seen, too"
        with workspace_scope(OWN):
            assert [row[0] for row in await database.api_pool.fetch(seen)] == [OWN]
        async with acquire(database.pool) as conn:
            assert len(await conn.fetch(seen)) == 2, "the fold role sees all workspaces"


async def _fail_inside_transaction(database: Database) -> None:
    async with transaction(database.api_pool, OTHER) as conn:
        await conn.fetch("SELECT 1 / 0")


async def _sleep(database: Database) -> None:
    async with transaction(database.api_pool) as conn:
        await conn.execute("SET LOCAL statement_timeout = '10ms'")
        await conn.execute("SELECT pg_sleep(10)")


async def test_workspace_is_named_once_for_calls_in_a_row(filled: Filled) -> None:
    roles = ServiceRoles.from_dsn(filled.dsn, "profile")
    async with Database(filled.dsn, "profile", max_size=2, roles=roles) as database:
        queries: list[str] = []
        async with acquire(database.api_pool, OWN) as conn:
            conn.add_query_logger(lambda record: queries.append(record.query))
            await conn.fetchval("SELECT 1")
        for workspace in (OWN, OWN, OTHER, OTHER):
            async with acquire(database.api_pool, workspace) as conn:
                await conn.fetchval("SELECT 1")
        assert sum("set_config" in query for query in queries) == 1
        assert len(queries) == 6


async def test_query_of_a_caller_that_takes_too_long_is_ended(filled: Filled) -> None:
    roles = ServiceRoles.from_dsn(filled.dsn, "profile")
    async with Database(filled.dsn, "profile", roles=roles) as database:
        async with acquire(database.api_pool) as conn:
            assert await conn.fetchval("SHOW statement_timeout") == "30s"
        with pytest.raises(StoreUnavailable, match="took too long"):
            await _sleep(database)
        async with acquire(database.pool) as conn:
            assert await conn.fetchval("SHOW statement_timeout") == "0"


async def test_new_generation_has_rights_and_policies_from_its_start(filled: Filled) -> None:
    roles = ServiceRoles.from_dsn(filled.dsn, "segment")
    async with Database(filled.dsn, "segment", roles=roles) as database:
        async with database.owning() as owner:
            await create_generation(owner, "segment", 9, SHARDS, roles=roles)
        async with acquire(database.pool) as conn:
            await conn.execute(
                "INSERT INTO segment_g9.definition"
                " (workspace_id, kind, definition_id, version, payload)"
                " VALUES ($1, 'k', 's', 1, ''), ($2, 'k', 's', 1, '')",
                OWN,
                OTHER,
            )
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute("DROP SCHEMA segment_g9 CASCADE")
        async with acquire(database.api_pool, OWN) as conn:
            rows = await conn.fetch("SELECT workspace_id FROM segment_g9.definition")
            assert [row[0] for row in rows] == [OWN]
        async with database.owning() as owner:
            await drop_generation(owner, "segment", 9)


async def test_migration_that_changes_rows_behind_a_policy_fails_instead_of_changing_none(
    database: str, tmp_path: Path
) -> None:
    login = quote_text(scram_verifier(database.split(":")[2].split("@")[0], b"salt"))
    admin = await asyncpg.connect(database)
    await admin.execute(create_roles(PREFIX, ["toy"], lambda _: login))
    await admin.execute(
        f"GRANT CREATE, CONNECT ON DATABASE {database.rpartition('/')[2]} TO onefold_toy_owner"
    )
    folder = tmp_path / "toy" / "store" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_item.sql").write_text("CREATE TABLE item (workspace_id text, n int);")
    roles = ServiceRoles.of(PREFIX, "toy")
    await migrate(database, "toy", root=tmp_path, roles=roles)
    await admin.execute("INSERT INTO toy.item VALUES ('a', 1)")
    update = "UPDATE item SET n = n + 1;"
    (folder / "0002_more.sql").write_text(update)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await migrate(database, "toy", root=tmp_path, roles=roles)
    lifted = "ALTER TABLE item NO FORCE ROW LEVEL SECURITY;"
    (folder / "0002_more.sql").write_text(lifted + update)
    await migrate(database, "toy", root=tmp_path, roles=roles)
    assert await admin.fetchval("SELECT n FROM toy.item") == 2
    # Changed grants are applied at the next start, and so is FORCE.
    (folder.parent / "grants.sql").write_text(
        "-- name: migrations\n-- All.\nGRANT SELECT ON item TO {api}"
    )
    await migrate(database, "toy", root=tmp_path, roles=roles)
    forced = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'toy.item'::regclass"
    assert await admin.fetchval(forced) is True
    await admin.close()
