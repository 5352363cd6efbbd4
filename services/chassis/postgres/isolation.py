"""Holds the workspaces of a service's tables apart: grants rights to its roles, sets policies.

`isolate` runs after the migrations of a schema, so it covers new tables, new generations and
changed grants alike. The fold role gets every table. What the api role gets is listed table by
table in `services/<service>/store/grants.sql`, and in the chassis's own for the tables that every
service has; a table that is not listed is closed to it. In each table with a column `workspace_id`
a policy shows it the rows of the workspace that its session names, and takes no others from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib.resources.abc import Traversable
from typing import NamedTuple

import asyncpg
import structlog

from services.chassis.postgres.database import Database, Queries, acquire
from services.chassis.postgres.roles import WORKSPACE_SETTING, ServiceRoles, quote_name, quote_text

log = structlog.get_logger(__name__)

Q = Queries.load(__package__, "isolation.sql")

_POLICY = "caller"
_OWN_ROWS = f"workspace_id = current_setting('{WORKSPACE_SETTING}', true)"
#: Tables in which a row with an empty workspace_id concerns all workspaces.
_SHARED = frozenset({"backfill"})
_OWN_AND_SHARED_ROWS = (
    f"workspace_id IN (current_setting('{WORKSPACE_SETTING}', true), '')"
    f" AND current_setting('{WORKSPACE_SETTING}', true) <> ''"
)


class IsolationMissing(Exception):
    """A role of the service can do more, or less, than it should; the message says what helps."""


class Relation(NamedTuple):
    """A table or a view."""

    name: str
    is_view: bool
    #: Whether its rows belong to single workspaces.
    has_workspace: bool


async def isolate(
    conn: asyncpg.Connection, schema: str, roles: ServiceRoles, grants: Sequence[str]
) -> None:
    """Bring rights and policies of a schema up to date, in one transaction.

    `conn` is the owner's. `grants`: statements for single tables, with `{api}` and `{fold}` for the
    names of the roles. Nothing is locked where nothing has changed.
    """
    relations = [Relation(*row) for row in await conn.fetch(Q.list_relations, schema)]
    script = ";\n".join(isolation_statements(schema, roles, relations, grants))
    checksum = blake2b(script.encode(), digest_size=16).hexdigest()
    if await conn.fetchval(Q.load_applied_isolation, schema) == checksum:
        return
    async with conn.transaction():
        await conn.execute(f"SET LOCAL search_path TO {schema}")
        await conn.execute(script)
        await conn.execute(f"COMMENT ON SCHEMA {schema} IS {quote_text(checksum)}")
    log.info("schema_isolated", schema=schema, tables=len(relations))


def isolation_statements(
    schema: str, roles: ServiceRoles, relations: Sequence[Relation], grants: Sequence[str]
) -> Iterator[str]:
    """Yield the statements that `isolate` runs; running them again changes nothing."""
    fold, api = quote_name(roles.fold), quote_name(roles.api)
    yield f"GRANT USAGE ON SCHEMA {schema} TO {fold}, {api}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {fold}, {api}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {fold}"
    yield f"REVOKE INSERT, UPDATE, DELETE ON {schema}.migration FROM {fold}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {fold}"
    for relation in relations:
        name = f"{schema}.{quote_name(relation.name)}"
        if relation.is_view:
            # By default a view reads as its owner, and no policy has rows for the owner.
            yield f"ALTER VIEW {name} SET (security_invoker = true)"
        elif relation.has_workspace:
            rows = _OWN_AND_SHARED_ROWS if relation.name in _SHARED else _OWN_ROWS
            yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
            yield f"DROP POLICY IF EXISTS {_POLICY} ON {name}"
            yield f"CREATE POLICY {_POLICY} ON {name} TO {api} USING ({rows})"
    for grant in grants:
        yield grant.format(api=api, fold=fold)


def load_grants(roots: Sequence[tuple[Traversable, str]], part: str) -> list[str]:
    """Return the grants of some (folder of services, service) for a part of their tables.

    `part`: `migrations` for the lasting tables, `state` for those of a generation.
    """
    grants: list[str] = []
    for root, service in roots:
        file = root.joinpath(service, "store", "grants.sql")
        if not file.is_file():
            continue
        text = Queries.parse(file.read_text("utf-8"), f"{service}:grants.sql")
        if part in dir(text):
            grants.append(getattr(text, part).rstrip("; \n"))
    return grants


async def check_isolation(database: Database) -> None:
    """Raise IsolationMissing where a role of the service could ignore the policies or change them.

    Raises StoreUnavailable.
    """
    async with acquire(database.pool) as conn:
        [fold] = await conn.fetch(Q.load_rights, database.service)
    async with acquire(database.api_pool) as conn:
        [api] = await conn.fetch(Q.load_rights, database.service)
    for role in (fold, api):
        if role["is_superuser"] or role["is_owner"]:
            raise IsolationMissing(
                f"the role {role['name']} is a superuser or can act as the owner of its tables:"
                " create the roles with `./onefold database roles`"
            )
    if api["bypasses_policies"] or not fold["bypasses_policies"]:
        raise IsolationMissing(
            f"{fold['name']} needs BYPASSRLS and {api['name']} must not have it: create the roles"
            " with `./onefold database roles`"
        )
