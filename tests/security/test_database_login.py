"""Tests with which roles a service starts, and its errors where they are missing."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest
import structlog
import structlog.testing
from security.tenant_rows import migrate_all
from service_fixtures import MakeSettings

from services.chassis.postgres.database import Database, RoleRefused
from services.chassis.postgres.isolation import IsolationMissing, check_isolation
from services.chassis.postgres.migrate import migrate
from services.chassis.postgres.roles import ServiceRoles
from services.devstack.database_roles import apply_roles, load_logins, roles_script
from services.devstack.errors import ServerError
from services.devstack.postgres import PREFIX, PostgresServer
from services.ingest.service import serve as serve_ingest
from services.ingest.settings import IngestSettings


async def test_start_with_a_role_that_policies_do_not_bind_is_refused(database: str) -> None:
    roles = ServiceRoles.from_dsn(database, "profile")
    await migrate(database, "profile", shards=1, roles=roles)
    wrong = {
        "superuser": replace(roles, api=PREFIX),
        "act as the owner": replace(roles, api=roles.owner),
        "must not have it": replace(roles, api=roles.fold),
    }
    for message, given in wrong.items():
        async with Database(database, "profile", roles=given) as opened:
            with pytest.raises(IsolationMissing, match=message):
                await check_isolation(opened)
    async with Database(database, "profile", roles=roles) as opened:
        await check_isolation(opened)
        admin = await asyncpg.connect(database)
        await admin.execute(f"ALTER ROLE {roles.fold} NOBYPASSRLS")
        try:
            with pytest.raises(IsolationMissing, match="needs BYPASSRLS"):
                await check_isolation(opened)
        finally:
            await admin.execute(f"ALTER ROLE {roles.fold} BYPASSRLS")
            await admin.close()


async def test_start_without_roles_says_how_to_create_them(database: str) -> None:
    with pytest.raises(RoleRefused, match="onefold database roles") as error:
        await migrate(database, "profile", roles=ServiceRoles.of("missing", "profile"))
    assert "ONEFOLD_POSTGRES_ROLES=single" in str(error.value)


async def test_service_with_a_single_role_starts_and_reports_it(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(IngestSettings, postgres_roles="single")
    with structlog.testing.capture_logs() as lines:
        async with serve_ingest(settings):
            pass
    assert "database_not_isolated" in {line["event"] for line in lines}


async def test_printed_roles_have_no_password_and_work_once_applied(
    postgres_server: PostgresServer,
) -> None:
    dsn = "postgresql://other:a%3Apass@127.0.0.1/other"
    script = roles_script(load_logins(lambda name: dsn if name == "ONEFOLD_POSTGRES_DSN" else ""))
    assert "a:pass" not in script
    server = await asyncpg.connect(postgres_server.admin_dsn)
    await server.execute("CREATE DATABASE other")
    try:
        for _ in range(2):
            await apply_roles(postgres_server.admin_dsn, script)
        login = f"postgresql://other:a%3Apass@127.0.0.1:{postgres_server.port}/other"
        await migrate_all(login)
        roles = ServiceRoles.from_dsn(login, "profile")
        async with Database(login, "profile", roles=roles) as opened:
            await check_isolation(opened)
    finally:
        await server.execute("DROP DATABASE other WITH (FORCE)")
        await server.close()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "set ONEFOLD_POSTGRES_DSN, or ONEFOLD_INGEST_POSTGRES_DSN"),
        ({"ONEFOLD_POSTGRES_DSN": "postgresql://h/onefold"}, "needs a user"),
        ({"ONEFOLD_POSTGRES_DSN": "postgresql://u:p@h"}, "the name of the database"),
        ({"ONEFOLD_POSTGRES_DSN": "postgresql://u:%C3%A4@h/d"}, "has to be ASCII"),
    ],
)
def test_incomplete_login_is_refused_with_what_is_missing(
    variables: dict[str, str], message: str
) -> None:
    with pytest.raises(ServerError, match=message):
        load_logins(lambda name: variables.get(name, ""))


def test_service_with_a_dsn_of_its_own_gets_its_own_password() -> None:
    variables = {
        "ONEFOLD_POSTGRES_DSN": "postgresql://onefold:shared@h/d",
        "ONEFOLD_PROFILE_POSTGRES_DSN": "postgresql://onefold:own@h/d",
    }
    logins = load_logins(lambda name: variables.get(name, ""))
    assert {s: login.password for s, login in logins.items() if login.password != "shared"} == {
        "profile": "own"
    }
