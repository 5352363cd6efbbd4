"""Tests workspaces, sources and keys: facts of the log, folded into the tables of access."""

from __future__ import annotations

import asyncio
import secrets
import stat
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_ADMIN, ROLE_SERVICE, ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import (
    IngestEventsRequest,
    ListQuarantinedRequest,
    ReleaseQuarantinedRequest,
)
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.log.v1.log_service_pb2 import GetHeadRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.type.v1.event_pb2 import Event
from service_fixtures import MakeSettings, wait_until

from services.chassis.rpc.channel import open_channel
from services.ingest.service import Ingest, serve
from services.ingest.settings import IngestSettings
from services.kernel.errors import Conflict, InvalidField, NotAllowed, NotFound, OnefoldError


def defining(**fields: Any) -> admin_pb.DefineSourceRequest:
    return admin_pb.DefineSourceRequest(source=SourceDefined(**fields))


class TestSources:
    async def test_source_gets_a_new_version_where_its_content_changes(
        self, endpoints: Any
    ) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            stub = AdminServiceStub(peer)
            first = await stub.DefineSource(defining(source_id="app", channel="app"))
            again = await stub.DefineSource(defining(source_id="app", channel="app"))
            other = await stub.DefineSource(defining(source_id="app", channel="mini_program"))
            listed = await stub.ListSources(admin_pb.ListSourcesRequest())
        assert (first.changed, first.source.version) == (True, 1)
        assert (again.changed, again.source.version) == (False, 1)
        assert (other.changed, other.source.version) == (True, 2)
        # The head of the log includes the unchanged source.
        assert sum(again.token.offsets) >= sum(first.token.offsets) > 0
        assert sum(other.token.offsets) > sum(first.token.offsets)
        [app] = [s.source for s in listed.sources if s.source.source_id == "app"]
        assert app.channel == "mini_program"

    async def test_source_with_a_stale_etag_is_a_conflict_unless_nothing_changes(
        self, endpoints: Any
    ) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            stub = AdminServiceStub(peer)
            first = await stub.DefineSource(defining(source_id="shop", title="1"))
            second = defining(source_id="shop", title="2")
            second.etag = first.etag
            changed = await stub.DefineSource(second)
            repeated = await stub.DefineSource(second)
            third = defining(source_id="shop", title="3")
            third.etag = first.etag
            with pytest.raises(Conflict):
                await stub.DefineSource(third)
            listed = await stub.ListSources(admin_pb.ListSourcesRequest())
        assert (changed.changed, repeated.changed) == (True, False)
        assert changed.etag == repeated.etag != first.etag
        [shop] = [s for s in listed.sources if s.source.source_id == "shop"]
        assert (shop.source.title, shop.etag) == ("2", changed.etag)

    async def test_concurrent_definitions_of_a_source_all_take_effect_in_some_order(
        self, endpoints: Any
    ) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            stub = AdminServiceStub(peer)
            requests = [defining(source_id="busy", title=str(n)) for n in range(4)]
            responses = await asyncio.gather(*map(stub.DefineSource, requests))
            listed = await stub.ListSources(admin_pb.ListSourcesRequest())
        assert [r.source.title for r in responses] == ["0", "1", "2", "3"]
        assert sorted(r.source.version for r in responses) == [1, 2, 3, 4]
        [busy] = [s.source for s in listed.sources if s.source.source_id == "busy"]
        assert busy == max((r.source for r in responses), key=lambda source: source.version)

    async def test_dry_run_changes_nothing(self, endpoints: Any) -> None:
        request = defining(source_id="dry")
        request.dry_run = True
        async with endpoints.channel(endpoints.admin_key) as peer:
            stub = AdminServiceStub(peer)
            assert (await stub.DefineSource(request)).changed
            listed = await stub.ListSources(admin_pb.ListSourcesRequest())
        assert "dry" not in {summary.source.source_id for summary in listed.sources}

    @pytest.mark.parametrize("source_id", ["", "A", "a.b", "a b", "-a", "*", "x" * 64, "名"])
    async def test_invalid_source_id_is_refused(self, endpoints: Any, source_id: str) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            with pytest.raises(InvalidField) as caught:
                await AdminServiceStub(peer).DefineSource(defining(source_id=source_id))
        assert caught.value.field == "source.source_id"

    async def test_disabled_source_accepts_no_event(self, endpoints: Any, make_event: Any) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            stub = AdminServiceStub(peer)
            await stub.DefineSource(defining(source_id="gone"))
            issued = await stub.IssueKey(
                admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="gone")
            )
            await stub.DefineSource(defining(source_id="gone", disabled=True))
        async with endpoints.channel(issued.key) as peer:
            with pytest.raises(NotAllowed) as caught:
                await IngestServiceStub(peer).IngestEvents(
                    IngestEventsRequest(events=[make_event()])
                )
        assert caught.value.reason == "KEY_DISABLED"


class TestKeys:
    async def test_listed_keys_have_no_secret(self, endpoints: Any) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            stub = AdminServiceStub(peer)
            issued = await stub.IssueKey(admin_pb.IssueKeyRequest(role=ROLE_SERVICE, title="BI"))
            listed = await stub.ListKeys(admin_pb.ListKeysRequest())
        [key] = [k.key for k in listed.keys if k.key.key_id == issued.key_id]
        assert (key.role, key.title, key.key_hash) == (ROLE_SERVICE, "BI", b"")
        assert issued.key not in str(listed)

    async def test_database_holds_no_secret(self, endpoints: Any) -> None:
        conn = await asyncpg.connect(endpoints.settings.postgres_dsn.get_secret_value())
        try:
            for table in ("fact", "access_key", "api_key"):
                for row in await conn.fetch(f"SELECT * FROM ingest.{table}"):
                    assert endpoints.key not in str(tuple(row))
                    assert endpoints.admin_key not in str(tuple(row))
        finally:
            await conn.close()

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({}, InvalidField),
            ({"role": ROLE_SOURCE}, InvalidField),
            ({"role": ROLE_ADMIN, "source_id": "site"}, InvalidField),
            ({"role": ROLE_SOURCE, "source_id": "nowhere"}, NotFound),
            ({"role": ROLE_ADMIN, "title": "x" * 300}, InvalidField),
        ],
    )
    async def test_invalid_key_request_is_refused(
        self, endpoints: Any, fields: dict[str, Any], error: type[OnefoldError]
    ) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            with pytest.raises(error):
                await AdminServiceStub(peer).IssueKey(admin_pb.IssueKeyRequest(**fields))

    async def test_service_key_may_list_sources_but_define_neither_sources_nor_keys(
        self, endpoints: Any
    ) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            request = admin_pb.IssueKeyRequest(role=ROLE_SERVICE)
            issued = await AdminServiceStub(peer).IssueKey(request)
        async with endpoints.channel(issued.key) as peer:
            stub = AdminServiceStub(peer)
            await stub.ListSources(admin_pb.ListSourcesRequest())
            with pytest.raises(NotAllowed):
                await stub.DefineSource(defining(source_id="site"))
            with pytest.raises(NotAllowed):
                await stub.IssueKey(request)
            with pytest.raises(NotAllowed):
                await stub.CreateWorkspace(admin_pb.CreateWorkspaceRequest(workspace_id="x"))

    async def test_disabled_key_is_refused_and_a_key_cannot_disable_itself(
        self, endpoints: Any
    ) -> None:
        async with endpoints.channel(endpoints.admin_key) as peer:
            stub = AdminServiceStub(peer)
            issued = await stub.IssueKey(admin_pb.IssueKeyRequest(role=ROLE_ADMIN))
            await stub.DisableKey(admin_pb.DisableKeyRequest(key_id=issued.key_id))
            await stub.DisableKey(admin_pb.DisableKeyRequest(key_id=issued.key_id))
            with pytest.raises(NotFound):
                await stub.DisableKey(admin_pb.DisableKeyRequest(key_id="key_0"))
            listed = await stub.ListKeys(admin_pb.ListKeysRequest())
            keys = [each.key for each in listed.keys]
            [own] = [key for key in keys if key.role == ROLE_ADMIN and not key.disabled]
            with pytest.raises(InvalidField):
                await stub.DisableKey(admin_pb.DisableKeyRequest(key_id=own.key_id))
        async with endpoints.channel(issued.key) as peer:
            with pytest.raises(NotAllowed) as caught:
                await AdminServiceStub(peer).ListKeys(admin_pb.ListKeysRequest())
        assert caught.value.reason == "KEY_DISABLED"


class TestWorkspaces:
    async def test_workspace_lists_only_its_own_sources_keys_and_events(
        self, endpoints: Any, make_event: Any
    ) -> None:
        internal = endpoints.settings.internal_key.get_secret_value()
        request = admin_pb.CreateWorkspaceRequest(workspace_id="other", title="Other")
        async with endpoints.channel(internal) as peer:
            made = await AdminServiceStub(peer).CreateWorkspace(request)
            again = await AdminServiceStub(peer).CreateWorkspace(request)
        assert made.admin_key
        assert not again.admin_key
        [rejection] = (await endpoints.ingest(make_event(name=""))).rejections
        async with endpoints.channel(made.admin_key) as peer:
            sources = await AdminServiceStub(peer).ListSources(admin_pb.ListSourcesRequest())
            assert not sources.sources
            keys = await AdminServiceStub(peer).ListKeys(admin_pb.ListKeysRequest())
            assert len(keys.keys) == 1
            ingest = IngestServiceStub(peer)
            assert not (await ingest.ListQuarantined(ListQuarantinedRequest())).entries
            with pytest.raises(NotFound):
                await ingest.ReleaseQuarantined(
                    ReleaseQuarantinedRequest(
                        quarantine_id=rejection.quarantine_id, event=make_event()
                    )
                )

    async def test_same_event_in_two_workspaces_is_two_facts(
        self, endpoints: Any, make_event: Any
    ) -> None:
        internal = endpoints.settings.internal_key.get_secret_value()
        async with endpoints.channel(internal) as peer:
            request = admin_pb.CreateWorkspaceRequest(workspace_id="third")
            made = await AdminServiceStub(peer).CreateWorkspace(request)
        key = await source_key(endpoints.service, made.admin_key)
        event = make_event()
        await endpoints.ingest(event)
        async with endpoints.channel(key) as peer:
            response = await IngestServiceStub(peer).IngestEvents(
                IngestEventsRequest(events=[event])
            )
        assert response.accepted == 1
        rows = [row for row, _ in await endpoints.facts(event.message_id)]
        assert {row["workspace_id"] for row in rows} == {"default", "third"}
        assert len({row["leaf_id"] for row in rows}) == 2


async def source_key(service: Ingest, admin_key: str) -> str:
    async with open_channel(f"127.0.0.1:{service.internal_grpc_port}", admin_key) as peer:
        stub = AdminServiceStub(peer)
        await stub.DefineSource(defining(source_id="site"))
        request = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="site")
        return str((await stub.IssueKey(request)).key)


async def test_head_of_the_log_is_for_administrators_only(endpoints: Any) -> None:
    """A token is no secret, but a producer needs only those of its own events."""
    async with endpoints.channel(endpoints.admin_key) as peer:
        defined = await AdminServiceStub(peer).DefineSource(defining(source_id="late"))
        head = await LogServiceStub(peer).GetHead(GetHeadRequest())
        pairs = zip(head.token.offsets, defined.token.offsets, strict=True)
        assert all(end >= own > 0 for end, own in pairs)
        assert head.now_us > 0
        request = admin_pb.IssueKeyRequest(role=ROLE_SERVICE)
        service = (await AdminServiceStub(peer).IssueKey(request)).key
    for key in (endpoints.key, service):
        async with endpoints.channel(key) as peer:
            with pytest.raises(NotAllowed):
                await LogServiceStub(peer).GetHead(GetHeadRequest())


async def send(service: Ingest, key: str, event: Event) -> Any:
    async with open_channel(f"127.0.0.1:{service.internal_grpc_port}", key) as peer:
        return await IngestServiceStub(peer).IngestEvents(IngestEventsRequest(events=[event]))


async def test_first_admin_key_is_written_once(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings(IngestSettings)
    file = tmp_path / "admin.key"
    async with serve(settings) as service:
        key = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await source_key(service, key)
    async with serve(settings) as service:
        assert file.read_text().strip() == key
        await source_key(service, key)


async def test_first_admin_key_can_be_set(make_settings: MakeSettings, tmp_path: Path) -> None:
    key = secrets.token_urlsafe(32)
    async with serve(make_settings(IngestSettings, admin_key=key)) as service:
        await source_key(service, key)
    assert not (tmp_path / "admin.key").exists()


async def test_emptied_tables_are_folded_again_from_the_log(
    make_settings: MakeSettings, tmp_path: Path, make_event: Any
) -> None:
    settings = make_settings(IngestSettings)
    async with serve(settings) as service:
        key = await source_key(service, (tmp_path / "admin.key").read_text().strip())
    conn = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    await conn.execute(
        "SET search_path TO ingest;"
        "TRUNCATE workspace, source, api_key, access_key, access_source;"
        "UPDATE definition_checkpoint SET next = 0"
    )
    await conn.close()
    async with serve(settings) as service:
        assert (await send(service, key, make_event())).accepted == 1


async def test_key_becomes_known_to_another_replica(
    make_settings: MakeSettings, tmp_path: Path, make_event: Any
) -> None:
    settings = make_settings(IngestSettings, definitions_poll_s=0.05)
    async with serve(settings) as one, serve(settings) as two:
        key = await source_key(one, (tmp_path / "admin.key").read_text().strip())
        event = make_event()

        async def taken() -> bool:
            try:
                await send(two, key, event)
            except NotAllowed:
                return False
            return True

        await wait_until(taken)
        assert (await send(one, key, event)).duplicates == 1
