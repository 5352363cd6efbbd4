"""`./onefold console`: prints a link that logs a browser in to the console."""

from __future__ import annotations

from onefold.ingest.v1.admin_service_pb2 import IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_ADMIN

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.client.client import Client
from services.kernel.time import DAY_US


def console(data: DataDir) -> None:
    """Print a link that opens the console as an administrator; it works once, within 24 hours.

    People with other roles enter a key of theirs, see `./onefold keys issue`. The session of a link
    is a key: `./onefold keys list` shows it, and `./onefold keys disable` ends it.
    """
    output.out.print(run_with_client(data, login_link), soft_wrap=True)


async def login_link(client: Client) -> str:
    """Return a link that logs a browser in once. Its key is in no log of a server or a proxy."""
    if not client.endpoints.calls_url:
        output.fail("the address of the console is not known: run the command where it was started")
    request = IssueKeyRequest(role=ROLE_ADMIN, title="console, a login link", lifetime_us=DAY_US)
    issued = await client.admin.IssueKey(request)
    return f"{client.endpoints.calls_url}/console/#once={issued.key}"
