"""What strangers send to a gRPC port: silence, and headers of calls without messages.

`python -m tests.security.grpc_floods TARGET` reads what `tests.security.floods` reads.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack, suppress
from itertools import count

from tests.security.floods import INGEST_EVENTS, Flood, Target, main, pause
from tests.security.rpc_strangers import PREFACE, headers_of_calls, silent

#: Each flood has an address of its own.
_SILENT, _CALLING = "127.0.0.9", "127.0.0.8"
#: Connections that are opened at once, and how many times they are before the first are closed.
_AT_ONCE, _TIMES = 300, 6
#: The connections that call, fewer than an address may have, and the calls that each begins.
_CONNECTIONS, _CALLS = 90, 20
#: How long a stranger waits for a connection, as the service ignores it after a while.
_CONNECT_S = 2.0


async def silent_connections(target: Target) -> None:
    """Open connections that send nothing, again and again before the service closes them."""
    while True:
        with ExitStack() as opened:
            for _ in range(_TIMES):
                opened.enter_context(silent(target.grpc_port, _AT_ONCE, _SILENT))
                await pause(0.5)


async def calls_on_many_connections(target: Target) -> None:
    """Begin calls without a key and a message, and connect again where the service hangs up."""
    await asyncio.gather(*(_call_for_ever(target.grpc_port) for _ in range(_CONNECTIONS)))


async def _call_for_ever(port: int) -> None:
    while True:
        with suppress(OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=(_CALLING, 0)
                )
            reading = asyncio.create_task(reader.read())
            try:
                writer.write(PREFACE)
                for number in count():
                    if reading.done():
                        break
                    first = number * _CALLS
                    writer.write(headers_of_calls(INGEST_EVENTS, first=first, number=_CALLS))
                    await writer.drain()
                    await pause(0.1)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                writer.transport.abort()
        await pause(0.05)


FLOODS: list[Flood] = [silent_connections, calls_on_many_connections]

if __name__ == "__main__":
    os.nice(15)
    asyncio.run(main(Target.decode(sys.argv[1]), FLOODS))
