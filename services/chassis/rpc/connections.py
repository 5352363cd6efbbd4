"""Closes connections to a gRPC endpoint above its limits, which gRPC itself cannot count.

gRPC bounds connections in total only, and then refuses the newest: a stranger that opens as many
locks everyone else out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from threading import Event, Thread
from time import monotonic, thread_time

import prometheus_client
import structlog

from services.chassis.rpc.connection_limits import (
    ConnectionLimits,
    CutOff,
    OpenConnection,
    excess,
    far_above_share,
)
from services.chassis.runtime.addresses import Network, address_group, is_within
from services.chassis.runtime.own_sockets import OwnSocket, ServedPort, bytes_received, shut_down
from services.kernel.rate_limit import RateLimit, RateLimiter

log = structlog.get_logger(__name__)

#: How often the connections are looked at, seconds; where there are few, only each fifth time.
_SWEEP_S = 0.1
_SWEEPS_OF_FEW = 5
#: What the guard of another port has found is used, unless it is older, seconds.
_MOST_AGE_S = _SWEEP_S / 2
#: The most of the time of a processor that sweeps take.
_MOST_TIME = 0.05
#: The refused calls of one address, beyond its budget of these, before it is barred: units a second
#: and at once. A refused call takes 0.1 ms of the processor.
_REFUSALS = RateLimit(250.0, 10_000.0)
#: The units of a call without a valid key, and of one whose key has too many open calls.
_WITHOUT_KEY, _WITH_KEY = 100.0, 4.0
#: The bytes of one address, on connections without an admitted call, before it is barred: a second,
#: and at once. Until a call is admitted, gRPC takes 64 KB of messages of a connection.
_BYTES = RateLimit(512 * 1024.0, 4 * 1024 * 1024.0)
#: How long an address is barred, seconds.
_BARRED_S = 10.0
#: At most one line in so many seconds is logged of connections that were closed.
_LOG_EVERY_S = 10.0


class ConnectionGuard:
    """Holds the connections of one port within limits.

    It works in a thread: a flood of calls occupies the event loop.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        proxies: Sequence[Network],
        cut_offs: prometheus_client.Counter,
    ) -> None:
        """`proxies`: their connections carry many clients, and count in total only."""
        self.limits = limits
        self._proxies = proxies
        #: Returns the group of an address; empty = it has no limits, such as a trusted proxy.
        self.counted_address = lru_cache(maxsize=4_096)(self._counted_address)
        self._cut_offs = cut_offs
        #: The peers of connections with an admitted call, in the text form of gRPC. The event loop
        #: adds, the thread removes; so it is with the next two.
        self._admitted: set[str] = set()
        #: The peers of connections with refused calls.
        self._refused: set[str] = set()
        #: By group of addresses that are barred, until when.
        self._barred: dict[str, float] = {}
        self._refusals: RateLimiter[str] = RateLimiter(_REFUSALS)
        self._bytes: RateLimiter[str] = RateLimiter(_BYTES)
        #: Those peers, as of the sweep before.
        self._notes: tuple[set[str], set[str]] = (set(), set())
        self._sweeps = 0
        #: By inode, what is known of an open connection.
        self._open: dict[int, OpenConnection] = {}
        #: The addresses that the kernel ignores.
        self._ignored: frozenset[str] = frozenset()
        self._unlogged: Counter[CutOff] = Counter()
        self._logged_at = float("-inf")

    def _counted_address(self, host: str) -> str:
        if not self.limits.per_address or is_within(host, self._proxies):
            return ""
        return address_group(host)

    def admit(self, peer: str) -> None:
        """Note that a call of a connection has a valid key. `peer`: as gRPC names it."""
        self._admitted.add(peer)

    def refuse(self, peer: str, address: str, *, has_key: bool) -> None:
        """Note that a call of a connection was refused, as there are too many like it.

        `address`: what `counted_address` returns.
        """
        if address:
            self._refused.add(peer)
            self._use(self._refusals, address, _WITH_KEY if has_key else _WITHOUT_KEY, monotonic())

    def _use(self, budget: RateLimiter[str], address: str, cost: float, now: float) -> None:
        """Use a budget of an address, which is barred where the budget is used up."""
        if budget.delay(address, cost, now) > 0:
            self._barred[address] = now + _BARRED_S
        else:
            budget.take(address, cost, now)

    @asynccontextmanager
    async def watching(self, port: int) -> AsyncIterator[None]:
        """Close connections of `port` above the limits while the scope lasts."""
        ending = Event()
        thread = Thread(target=self._run, args=(ServedPort(port), ending), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            await asyncio.to_thread(thread.join)

    def _run(self, served: ServedPort, ending: Event) -> None:
        wait_s = _SWEEP_S
        while not ending.wait(wait_s):
            # Its processor time: on a machine that a flood keeps busy, a sweep waits for its turn.
            began = thread_time()
            try:
                self.sweep(served)
            except OSError as error:
                log.warning("grpc_connections_not_counted", error=type(error).__name__)
                wait_s = _LOG_EVERY_S
                continue
            self._log()
            wait_s = max(_SWEEP_S, (thread_time() - began) / _MOST_TIME)

    def sweep(self, served: ServedPort) -> None:
        """Close the connections that are above the limits now. Raises OSError."""
        limits, now = self.limits, monotonic()
        notes = (self._admitted.copy(), self._refused.copy())
        has_few_notes = len(notes[0]) + len(notes[1]) <= 2 * limits.connections
        is_quiet = has_few_notes and not self._barred and not self._ignored
        self._sweeps += 1
        is_quiet = is_quiet and self._sweeps % _SWEEPS_OF_FEW != 0
        found = served.connections(
            unless_fewer_than=limits.lowest if is_quiet else 0, max_age_s=_MOST_AGE_S
        )
        if not found and is_quiet:
            self._open.clear()
            return
        self._update(found, now)
        self._forget(*self._notes)
        self._notes = notes
        sockets = {each.inode: each for each in found}
        by_connection = {connection: inode for inode, connection in self._open.items()}
        for address in far_above_share(by_connection, limits):
            self._barred[address] = now + _BARRED_S
        self._apply_bars(served, now)
        for connection, reason in excess(by_connection, limits).items():
            if shut_down(sockets[by_connection[connection]]):
                self._cut_offs.labels(reason).inc()
                self._unlogged[reason] += 1

    def _update(self, found: Iterable[OwnSocket], now: float) -> None:
        """Note what is known of the open connections."""
        before, self._open = self._open, {}
        for each in found:
            known = before.get(each.inode)
            peer = known.peer if known else peer_of(each.host, each.port)
            address = known.address if known else self.counted_address(each.host)
            since = known.since if known else now
            admitted = peer in self._admitted
            floods = address in self._barred and (peer in self._refused or not admitted)
            received = 0 if admitted or not address else bytes_received(each)
            more = received - (known.received if known else 0)
            if more > 0:
                self._use(self._bytes, address, more, now)
            self._open[each.inode] = OpenConnection(
                peer, address, since, admitted, floods, received
            )

    def _forget(self, admitted: set[str], refused: set[str]) -> None:
        """Forget notes on closed connections; they were made before those now open were listed."""
        peers = {each.peer for each in self._open.values()}
        self._admitted -= admitted - peers
        self._refused -= refused - peers

    def _apply_bars(self, served: ServedPort, now: float) -> None:
        for address, until in list(self._barred.items()):
            if until <= now:
                self._barred.pop(address, None)
        barred = frozenset(self._barred)
        if barred != self._ignored:
            self._ignored = barred
            # Where the kernel cannot do it, the sweeps close what these addresses open.
            with suppress(OSError):
                served.bar(barred)

    def _log(self) -> None:
        now = monotonic()
        if self._unlogged and now - self._logged_at >= _LOG_EVERY_S:
            reasons = {reason.lower(): count for reason, count in self._unlogged.items()}
            log.warning("grpc_connections_closed", **reasons)
            self._unlogged.clear()
            self._logged_at = now


def peer_of(host: str, port: int) -> str:
    """Return the other end of a connection in the text form of gRPC."""
    if ":" in host:
        return f"ipv6:%5B{host.replace('%', '%25')}%5D:{port}"
    return f"ipv4:{host}:{port}"
