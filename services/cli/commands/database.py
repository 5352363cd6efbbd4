"""`./onefold database roles`: what the services log in to PostgreSQL as."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from services.cli import output
from services.cli.endpoints import secret_from_environment
from services.devstack.database_roles import ADMIN_VARIABLE, apply_roles, load_logins, roles_script
from services.devstack.errors import ServerError

app = typer.Typer(no_args_is_help=True, help="The roles of the services in PostgreSQL.")


@app.callback()
def database() -> None:
    """Make the commands of this group subcommands also while there is only one."""


@app.command()
def roles(
    apply: Annotated[
        bool,
        Option("--apply", help=f"Run the SQL as the superuser of the DSN in {ADMIN_VARIABLE}."),
    ] = False,
) -> None:
    """Print the SQL that creates the roles of the services on a PostgreSQL of your own.

    Each service logs in as roles of its own, whose prefix and password are the user and the
    password in ONEFOLD_POSTGRES_DSN or, where the services have different passwords, in
    ONEFOLD_INGEST_POSTGRES_DSN and the like; each can be in a file that the variable with _FILE
    after it names. The SQL has verifiers in the place of passwords. It
    needs a superuser, and may be repeated, also after an update. `./onefold up` without a DSN, and
    the compose file, create the roles by themselves.
    """
    with output.exit_on_error():
        script = roles_script(load_logins(secret_from_environment))
        if not apply:
            output.out.print_document(script)
            return
        admin_dsn = secret_from_environment(ADMIN_VARIABLE)
        if not admin_dsn:
            raise ServerError(f"set {ADMIN_VARIABLE} to the DSN of a superuser")
        output.run(apply_roles(admin_dsn, script))
    output.out.print("The roles of the services exist.")
