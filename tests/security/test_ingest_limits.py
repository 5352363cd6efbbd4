"""No stranger stops or fills ingest: keys before bodies, rates, and the quota of the quarantine."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import (
    IngestEndpoints,
    make_call,
    make_event,
    make_source,
    run_ingest,
)
from onefold.ingest.v1.ingest_service_pb2 import (
    IngestEventsRequest,
    ListQuarantinedRequest,
    ReleaseQuarantinedRequest,
)
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_PUBLIC, SOURCE_TRUST_SERVER
from service_fixtures import HANG_S, OpenNatsServer, wait_until

from services.devstack.postgres import PostgresServer
from services.ingest.api.http_body import KEY_BYTES
from services.ingest.commands.limits import delete_expired
from services.ingest.domain.quarantine_quota import QuarantineQuota
from services.ingest.store.quarantine import QuarantineStore
from services.kernel.errors import NotAllowed, RateLimited
from services.kernel.time import DAY_US

QUOTA_ENTRIES, QUOTA_BYTES = 8, 4_000
MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    """Run ingest with low limits, but for the rates of keys."""
    limits = {
        "refused_calls_per_s": 0.5,
        "http_memory_bytes": 8 * MIB,
        "quarantine_entries": QUOTA_ENTRIES,
        "quarantine_bytes": QUOTA_BYTES,
        "trusted_proxies": "127.0.0.9",
    }
    data_dir = tmp_path_factory.mktemp("l")
    async with run_ingest(postgres_server, nats_server, data_dir, **limits) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    """Run ingest with a low rate of keys: 1,000 events at once, and then 5 a second."""
    limits = {"public_events_per_s": 5.0, "public_address_share": 1.0, "refused_calls_per_s": 0.5}
    data_dir = tmp_path_factory.mktemp("s")
    async with run_ingest(postgres_server, nats_server, data_dir, **limits) as running:
        yield running


async def source(ingest: IngestEndpoints, trust: Any = SOURCE_TRUST_PUBLIC) -> str:
    """Define another source and return its key."""
    name = f"s{uuid.uuid4().hex[:12]}"
    return await make_source(ingest.service, ingest.admin_key, name, "web", trust)


async def post(
    ingest: IngestEndpoints, body: Any, headers: Mapping[str, str], *, address: str = "127.0.0.1"
) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    """Send a body from an address; return the status, the response and its headers."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with session.post(ingest.url("/v1/batch"), headers=headers, **sent) as response:
            return response.status, await response.json(), response.headers


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class TestKeysBeforeBodies:
    async def test_unknown_key_is_refused_before_the_body_is_sent(
        self, ingest: IngestEndpoints
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.service.http_port)
        writer.write(
            b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer unknown\r\n"
            b"Content-Length: 4000000\r\n\r\n"
        )
        async with asyncio.timeout(HANG_S):
            assert b" 401 " in await reader.readline()
        writer.close()

    async def test_body_without_a_key_is_refused_after_its_start(
        self, ingest: IngestEndpoints
    ) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", ingest.service.http_port, local_addr=("127.0.0.2", 0)
        )
        writer.write(b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
        writer.write(b'{"batch":["' + b"x" * 2 * KEY_BYTES)
        async with asyncio.timeout(HANG_S):
            assert b" 401 " in await reader.readline()
        writer.close()

    async def test_large_body_with_its_key_in_the_start_is_accepted(
        self, ingest: IngestEndpoints
    ) -> None:
        calls = [make_call(properties={"text": "x" * 5_000}) for _ in range(200)]
        status, response, _ = await post(ingest, {"writeKey": ingest.key, "batch": calls}, {})
        assert (status, response["accepted"]) == (200, 200)

    async def test_key_after_the_start_of_a_large_body_is_not_found(
        self, ingest: IngestEndpoints
    ) -> None:
        calls = [make_call(properties={"text": "x" * 5_000}) for _ in range(20)]
        body = {"batch": calls, "writeKey": ingest.key}
        status, response, _ = await post(ingest, body, {}, address="127.0.0.3")
        assert (status, response["code"]) == (401, "KEY_MISSING")

    async def test_slow_bodies_of_strangers_and_of_one_key_leave_room_for_others(
        self, ingest: IngestEndpoints
    ) -> None:
        flooder = await source(ingest)
        writers = []
        for headers in (b"", f"Authorization: Bearer {flooder}\r\n".encode()):
            for _ in range(12):
                _, writer = await asyncio.open_connection("127.0.0.1", ingest.service.http_port)
                head = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n"
                writer.write(head + headers + b"\r\n" + b" " * (900_000 if headers else 60_000))
                writers.append(writer)
        calls = [make_call(properties={"text": "x" * 20_000}) for _ in range(40)]
        for _ in range(5):
            status, response, _ = await post(ingest, {"batch": calls}, bearer(ingest.key))
            assert (status, response["success"]) == (200, True)
        for writer in writers:
            writer.close()


class TestRefusedCalls:
    async def test_address_with_many_refused_calls_gets_429_and_known_keys_go_on(
        self, ingest: IngestEndpoints
    ) -> None:
        address = "127.0.0.4"
        refused = [await post(ingest, {}, bearer(f"k{n}"), address=address) for n in range(7)]
        assert [status for status, _, _ in refused] == [401] * 5 + [429] * 2
        assert refused[-1][1]["code"] == "RATE_LIMITED"
        assert int(refused[-1][2]["Retry-After"]) >= 1
        body = {"batch": [make_call()]}
        assert (await post(ingest, body, bearer(ingest.key), address=address))[0] == 200
        assert (await post(ingest, {}, bearer("k"), address="127.0.0.5"))[0] == 401

    async def test_calls_over_grpc_with_unknown_keys_are_limited_by_address(
        self, slow: IngestEndpoints
    ) -> None:
        request = IngestEventsRequest(events=[make_event()])
        reasons = []
        async with slow.channel("unknown") as channel:
            for _ in range(7):
                with pytest.raises((NotAllowed, RateLimited)) as caught:
                    await IngestServiceStub(channel).IngestEvents(request)
                reasons.append(caught.value.reason)
        assert reasons == ["KEY_UNKNOWN"] * 5 + ["RATE_LIMITED"] * 2
        assert (await slow.ingest(make_event())).accepted == 1

    async def test_forwarded_address_counts_behind_a_trusted_proxy_only(
        self, ingest: IngestEndpoints
    ) -> None:
        async def statuses(peer: str, forwarded: list[str]) -> list[int]:
            answers = [
                await post(ingest, {}, {**bearer("k"), "X-Forwarded-For": each}, address=peer)
                for each in forwarded
            ]
            return [status for status, _, _ in answers]

        clients = [f"203.0.113.{n}" for n in range(6)]
        assert await statuses("127.0.0.9", clients) == [401] * 6
        spoofed = [f"{client}, 198.51.100.1" for client in clients]
        assert await statuses("127.0.0.9", spoofed) == [401] * 5 + [429]
        assert await statuses("127.0.0.6", clients) == [401] * 5 + [429]

    async def test_new_key_works_while_unknown_keys_are_refused(
        self, ingest: IngestEndpoints
    ) -> None:
        async def stranger(number: int) -> None:
            for attempt in range(20):
                key = f"{number}-{attempt}"
                async with ingest.http.post(
                    ingest.url("/v1/batch"), headers=bearer(key), data=b"{}"
                ) as response:
                    assert response.status in (401, 429)

        flood = [asyncio.ensure_future(stranger(number)) for number in range(20)]
        key = await source(ingest)
        async with asyncio.timeout(HANG_S):
            while (await ingest.post("/v1/track", make_call(), key=key))[0] != 200:
                pass
        for each in flood:
            each.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


class TestRates:
    async def test_key_beyond_its_rate_gets_429_and_other_keys_go_on(
        self, slow: IngestEndpoints
    ) -> None:
        key = await source(slow)
        calls = [make_call() for _ in range(600)]
        assert (await post(slow, {"batch": calls}, bearer(key)))[0] == 200
        status, response, headers = await post(slow, {"batch": calls}, bearer(key))
        assert (status, response["code"]) == (429, "RATE_LIMITED")
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert (await post(slow, {"batch": calls}, bearer(await source(slow))))[0] == 200

    async def test_key_of_a_server_has_no_limit_by_default(self, slow: IngestEndpoints) -> None:
        key = await source(slow, trust=SOURCE_TRUST_SERVER)
        for _ in range(3):
            calls = [make_call() for _ in range(600)]
            assert (await post(slow, {"batch": calls}, bearer(key)))[0] == 200

    async def test_call_over_grpc_beyond_its_rate_states_when_to_retry(
        self, slow: IngestEndpoints
    ) -> None:
        request = IngestEventsRequest(events=[make_event() for _ in range(600)])
        async with slow.channel(await source(slow)) as channel:
            await IngestServiceStub(channel).IngestEvents(request)
            with pytest.raises(RateLimited) as caught:
                await IngestServiceStub(channel).IngestEvents(request)
        assert 1 <= caught.value.retry_after <= 60

    async def test_message_over_nats_beyond_its_rate_is_delivered_later(
        self, slow: IngestEndpoints
    ) -> None:
        name = f"s{uuid.uuid4().hex[:12]}"
        key = await make_source(slow.service, slow.admin_key, name, "web", SOURCE_TRUST_PUBLIC)
        mark = uuid.uuid4().hex
        for size in (996, 10):
            calls = [make_call(event=mark, messageId=f"{size}-{n}") for n in range(size)]
            await slow.nats.jetstream().publish(
                f"onefold.in.default.{name}",
                json.dumps({"batch": calls}).encode(),
                headers={"Authorization": f"Bearer {key}"},
            )
            await wait_until(lambda: slow.facts_with(mark))

        async def is_complete() -> bool:
            return len(await slow.facts_with(mark)) == 1_006

        await wait_until(is_complete)


class TestQuarantine:
    async def usage(self, ingest: IngestEndpoints, key: str) -> tuple[int, int, int, int]:
        """Return what is counted of a source, and what is stored: entries and bytes of each."""
        conn = await asyncpg.connect(ingest.settings.postgres_dsn.get_secret_value())
        try:
            return tuple(
                await conn.fetchrow(
                    "SELECT u.entries, u.size_bytes, count(q.raw), "
                    " coalesce(sum(octet_length(q.raw)), 0)"
                    " FROM ingest.quarantine_usage AS u"
                    " JOIN ingest.access_key AS k USING (workspace_id, source_id)"
                    " LEFT JOIN ingest.quarantine AS q ON q.source_id = u.source_id"
                    "   AND q.released_fact_id IS NULL"
                    " WHERE k.key_hash = sha256($1::text::bytea)"
                    " GROUP BY u.entries, u.size_bytes",
                    key,
                )
            )
        finally:
            await conn.close()

    async def test_junk_beyond_the_quota_is_refused_and_not_stored(
        self, ingest: IngestEndpoints
    ) -> None:
        key = await source(ingest)
        junk = [make_call(userId=None) for _ in range(QUOTA_ENTRIES + 5)]
        status, response = await ingest.post("/v1/batch", {"batch": [*junk, make_call()]}, key=key)
        assert (status, response["accepted"]) == (200, 1)
        stored = [r for r in response["rejections"] if r["quarantineId"]]
        left_out = [r for r in response["rejections"] if not r["quarantineId"]]
        assert (len(stored), len(left_out)) == (QUOTA_ENTRIES, 5)
        assert {r["code"] for r in response["rejections"]} == {"NO_IDENTIFIER"}
        assert all("quarantine of the source is full" in r["message"] for r in left_out)
        status, response = await ingest.post("/v1/batch", b"junk", key=key)
        assert (status, response["quarantineId"]) == (400, "")
        entries, size, stored_entries, stored_size = await self.usage(ingest, key)
        assert entries == stored_entries == QUOTA_ENTRIES
        assert size == stored_size <= QUOTA_BYTES
        async with ingest.channel(key) as channel:
            bad = make_event()
            del bad.identifiers[:]
            result = await IngestServiceStub(channel).IngestEvents(
                IngestEventsRequest(events=[bad])
            )
        assert [r.quarantine_id for r in result.rejections] == [""]

    async def test_quota_of_bytes_holds_for_concurrent_senders(
        self, ingest: IngestEndpoints
    ) -> None:
        key = await source(ingest)
        bodies = [b"junk" + bytes([48 + n]) * 900 for n in range(12)]
        await asyncio.gather(*(ingest.post("/v1/batch", body, key=key) for body in bodies))
        entries, size, stored_entries, stored_size = await self.usage(ingest, key)
        assert entries == stored_entries == 4
        assert size == stored_size <= QUOTA_BYTES

    async def test_repeated_junk_is_one_entry(self, ingest: IngestEndpoints) -> None:
        key = await source(ingest)
        junk = make_call(userId=None)
        answers = [await ingest.post("/v1/track", junk, key=key) for _ in range(3)]
        ids = {answer["rejections"][0]["quarantineId"] for _, answer in answers}
        assert len(ids) == 1
        assert (await self.usage(ingest, key))[0] == 1

    async def test_released_event_makes_room(self, ingest: IngestEndpoints) -> None:
        key = await source(ingest)
        _, response = await ingest.post("/v1/track", make_call(userId=None), key=key)
        request = ReleaseQuarantinedRequest(
            quarantine_id=response["rejections"][0]["quarantineId"], event=make_event()
        )
        async with ingest.channel(ingest.admin_key) as channel:
            for _ in range(2):
                released = await IngestServiceStub(channel).ReleaseQuarantined(request)
                assert not released.result.rejections
        assert await self.usage(ingest, key) == (0, 0, 0, 0)

    async def test_entries_expire_and_make_room(self, ingest: IngestEndpoints) -> None:
        key = await source(ingest)
        for _ in range(3):
            await ingest.post("/v1/track", make_call(userId=None), key=key)
        async with ingest.channel(ingest.admin_key) as channel:
            await LogServiceStub(channel).TickClock(TickClockRequest(advance_us=31 * DAY_US))
        await ingest.post("/v1/track", make_call(userId=None), key=key)
        pool = await asyncpg.create_pool(
            ingest.settings.postgres_dsn.get_secret_value(),
            server_settings={"search_path": "ingest"},
        )
        quarantine = QuarantineStore(pool, pool, 4, QuarantineQuota(0, 0))
        log = ingest.service.event_log
        while await delete_expired(log, quarantine, days=30):
            pass
        await pool.close()
        assert (await self.usage(ingest, key))[0] == 1
        async with ingest.channel(ingest.admin_key) as channel:
            listed = await IngestServiceStub(channel).ListQuarantined(
                ListQuarantinedRequest(page_size=100, include_released=True)
            )
        month_ago_us = log.clock.now_us() - 30 * DAY_US
        assert all(entry.received_at_us >= month_ago_us for entry in listed.entries)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nonsense", 404), ("GET", "/v1/batch", 405), ("POST", "/v1/nonsense", 404)],
)
async def test_error_of_any_path_is_json_that_a_page_may_read(
    ingest: IngestEndpoints, method: str, path: str, status: int
) -> None:
    async with ingest.http.request(method, ingest.url(path)) as response:
        body = await response.json()
        assert (response.status, body["success"]) == (status, False)
        assert body["code"]
        assert body["message"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
