"""Many calls at once on one gRPC connection are all answered."""

from __future__ import annotations

import asyncio
import os
import sys

from integration.ingest.ingest_endpoints import IngestEndpoints

from services.devstack.folders import ROOT

CALLERS, CALLS = 100, 2_000
#: A process of its own: one that shares the server's loop is too slow to have calls that overlap.
CLIENT = """
import asyncio, sys, uuid
import grpc
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event

address, key, callers, calls = sys.argv[1:]

def request():
    event = Event(type=EVENT_TYPE_TRACK, name="viewed", message_id=str(uuid.uuid4()))
    event.identifiers.add(namespace="user_id", value=event.message_id)
    return IngestEventsRequest(events=[event])

async def main():
    waiting = [request() for _ in range(int(calls))]
    async with grpc.aio.insecure_channel(address) as channel:
        stub = IngestServiceStub(channel)
        async def keep_calling():
            accepted = 0
            while waiting:
                metadata = (("authorization", f"Bearer {key}"),)
                accepted += (await stub.IngestEvents(waiting.pop(), metadata=metadata)).accepted
            return accepted
        print(sum(await asyncio.gather(*(keep_calling() for _ in range(int(callers))))))

asyncio.run(main())
"""


async def test_hundred_callers_on_one_public_connection_get_no_refusal(
    endpoints: IngestEndpoints,
) -> None:
    """A call that has ended counts for the limit of a connection until it is cleared away."""
    address = f"127.0.0.1:{endpoints.service.grpc_port}"
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, address, endpoints.key, str(CALLERS), str(CALLS)),
        env={**os.environ, "PYTHONPATH": str(ROOT / "gen")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(client.communicate(), 120)
    assert output.decode().strip() == str(CALLS), errors.decode()[-2_000:]
