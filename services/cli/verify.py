"""`onefold verify`: every projection is rebuilt from the log, and its digest compared."""

from __future__ import annotations

from typing import Any

from onefold.projection.v1.projection_service_pb2 import RebuildRequest

from services.cli import output as show
from services.cli.client import Client
from services.kernel.errors import OnefoldError

#: Activation is no fold: it keeps what was sent, and nothing of it is ever rebuilt.
REBUILT = ("identity", "profile", "segment")


async def rebuild(
    client: Client,
    service: str,
    *,
    shards: int,
    workers: int = 1,
    switch_over: bool = False,
    replace: bool = False,
) -> Any:
    """Rebuild a projection beside the live one; the last message tells the digests.

    Raises OnefoldError.
    """
    request = RebuildRequest(
        shards=shards, workers=workers, switch_over=switch_over, resync=replace
    )
    last = None
    with show.bars() as bars:
        task = bars.add_task(f"rebuilding {service}", total=None)
        async for told in client.stream(client.projection(service).Rebuild, request):
            bars.update(task, completed=told.done, total=told.total)
            last = told
    if last is None or not last.finished:
        raise OnefoldError(f"the rebuild of {service} ended early; its log tells why")
    return last


async def verify_all(client: Client, shards: int) -> bool:
    """Print the digests; whether all are equal."""
    rows = []
    equal = True
    for service in REBUILT:
        told = await rebuild(client, service, shards=shards)
        equal &= told.equal
        for workspace in sorted({*told.live_digests, *told.rebuilt_digests}):
            live = told.live_digests.get(workspace, "")
            again = told.rebuilt_digests.get(workspace, "")
            rows.append((service, workspace, live, again, "yes" if live == again else "NO"))
        for row in told.differing_rows:
            show.err.print(f"{service}: differs: {row}")
    show.table("", ("projection", "workspace", "live digest", "rebuilt digest", "equal"), rows)
    return equal


async def rebuild_one(client: Client, service: str, workers: int) -> bool:
    """Rebuild a service and switch over; whether that was done."""
    told = await rebuild(client, service, shards=0, workers=workers, switch_over=True)
    if told.equal:
        show.out.print(f"{service} is built anew from {told.done:,} facts, and live.")
        return True
    show.err.print(f"{service}: the rebuilt digest differs; the live state was left in place")
    for row in told.differing_rows:
        show.err.print(f"  differs: {row}")
    return False


async def replace_one(client: Client, service: str, workers: int) -> bool:
    """Put a new state in the place of one that stands still; whether that was done.

    Identity cannot say what changed between two of its facts; so profile, which hears it, takes its
    whole state in anew.
    """
    done = True
    for each in ("identity", "profile") if service == "identity" else (service,):
        told = await rebuild(client, each, shards=0, workers=workers, replace=True)
        done &= told.switched
        show.out.print(f"{each} is built anew from {told.done:,} facts, and live.")
    return done
