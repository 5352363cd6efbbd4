"""Names the PostgreSQL roles of the services, and writes the SQL that creates them.

Each service has three roles, which log in with one password:

    <prefix>_<service>_owner   owns the schemas; migrates them and creates generations
    <prefix>_<service>_fold    reads and writes the rows of all workspaces: folds, relays, rebuilds
    <prefix>_<service>_api     reads and writes the rows of the workspace that its connection names

The prefix is the user name in the service's DSN. A role is a member of no other role, so none can
become another. `isolation` grants them their rights in the schemas.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, sha256
from types import MappingProxyType
from typing import Self
from urllib.parse import urlsplit

#: The setting that names the workspace of a connection of the api role.
WORKSPACE_SETTING = "onefold.workspace"

#: Settings of each role's sessions. A call may not hold the database for longer than a caller
#: waits. A fold or a migration may take any time: its transactions are bounded by their batches.
#: The fold role and the owner wait for leases and for other replicas' migrations without a limit.
SESSION_SETTINGS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "owner": {"statement_timeout": "0", "lock_timeout": "0"},
        "fold": {"statement_timeout": "0", "lock_timeout": "0"},
        "api": {"statement_timeout": "30s", "lock_timeout": "5s"},
    }
)
#: COPY writes to no table with policies that apply to its role, and folds write with COPY.
_ATTRIBUTES = {"owner": "NOBYPASSRLS", "fold": "BYPASSRLS", "api": "NOBYPASSRLS"}
_NO_RIGHTS = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT"
_SCRAM_ITERATIONS = 4096


@dataclass(frozen=True, slots=True)
class ServiceRoles:
    """The roles of one service."""

    owner: str
    fold: str
    api: str

    @classmethod
    def of(cls, prefix: str, service: str) -> Self:
        """Return the roles of a service with a prefix, such as `onefold_profile_api`."""
        return cls(*(f"{prefix}_{service}_{kind}" for kind in ("owner", "fold", "api")))

    @classmethod
    def from_dsn(cls, dsn: str, service: str) -> Self:
        """Return the roles that a service with this DSN logs in as. Raises ValueError."""
        prefix = urlsplit(dsn).username
        if not prefix:
            raise ValueError(
                "the DSN of PostgreSQL names no user: write postgresql://PREFIX:PASSWORD@HOST/NAME,"
                " where PREFIX is the one of `./onefold database roles`, such as onefold"
            )
        return cls.of(prefix, service)

    def by_kind(self) -> dict[str, str]:
        """Return the names of the roles by what they do: owner, fold and api."""
        return {"owner": self.owner, "fold": self.fold, "api": self.api}


def create_roles(prefix: str, services: Iterable[str], password: Callable[[str], str]) -> str:
    """Return the SQL that creates the roles of services, or changes existing ones to be the same.

    `password` returns the SQL expression of the password of a service: a literal, or a variable of
    psql. The SQL needs a superuser, as no other role may give BYPASSRLS in every version.
    """
    statements = ("".join(_create_role(role)) for role in _roles(prefix, services))
    passwords = (
        f"ALTER ROLE {quote_name(role.name)} PASSWORD {password(role.service)};\n"
        for role in _roles(prefix, services)
    )
    return "".join((*statements, *passwords))


def grant_database(prefix: str, services: Iterable[str], database: str) -> str:
    """Return the SQL that opens a database to the roles of services, and closes it to all others.

    It needs the owner of the database or a superuser.
    """
    roles = list(_roles(prefix, services))
    everyone = ", ".join(quote_name(role.name) for role in roles)
    owners = ", ".join(quote_name(role.name) for role in roles if role.kind == "owner")
    name = quote_name(database)
    return (
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;\n"
        f"GRANT CONNECT ON DATABASE {name} TO {everyone};\n"
        f"GRANT CREATE ON DATABASE {name} TO {owners};\n"
    )


def scram_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL stores of a password: SCRAM-SHA-256 as of RFC 5803.

    With it in the place of the password, no SQL and no log of the server has the password. The
    password must be ASCII, because SASLprep is not applied.
    """
    salted = pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def quote_name(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a text as an SQL literal; the text has no backslash."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class _Role:
    name: str
    service: str
    kind: str


def _roles(prefix: str, services: Iterable[str]) -> Iterator[_Role]:
    for service in services:
        for kind, name in ServiceRoles.of(prefix, service).by_kind().items():
            yield _Role(name, service, kind)


def _create_role(role: _Role) -> Iterator[str]:
    """Yield the statements for one role. CREATE ROLE knows no IF NOT EXISTS."""
    name = quote_name(role.name)
    yield (f"DO $$ BEGIN CREATE ROLE {name}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n")
    yield f"ALTER ROLE {name} WITH {_NO_RIGHTS} {_ATTRIBUTES[role.kind]};\n"
    for setting, value in SESSION_SETTINGS[role.kind].items():
        yield f"ALTER ROLE {name} SET {setting} = {quote_text(value)};\n"
