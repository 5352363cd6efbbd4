"""The packs of the documentation are applied to a running system, page by page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from docs_examples.pages import PAGES, examples_of
from integration.whole.whole_system import WholeSystem, whole_system
from onefold.ingest.v1.admin_service_pb2 import CreateWorkspaceRequest
from onefold.segment.v1.segment_service_pb2 import ListSegmentsRequest
from service_fixtures import MakeSettings

from services.cli.commands.packs import AppliedDefinition, apply_pack
from services.client.client import Client


async def check_page(page: str, client: Client) -> None:
    """Apply the examples of a page in their order; the last ones hold then."""
    examples = examples_of(page)
    for example in examples:
        await apply_pack(client, example.pack)
    listed = (await client.segment.ListSegments(ListSegmentsRequest())).segments
    defined = {one.segment.segment_id for one in listed}
    assert defined == {s.segment_id for one in examples for s in one.pack.segments}
    again: list[AppliedDefinition] = []
    await apply_pack(client, examples[-1].pack, again, dry_run=True)
    assert [one.id for one in again if one.changed] == []


async def client_of_new_workspace(system: WholeSystem, number: int) -> Client:
    request = CreateWorkspaceRequest(workspace_id=f"page-{number}", title=PAGES[number])
    created = await system.internal.admin.CreateWorkspace(request)
    return Client(replace(system.admin.endpoints, key=created.admin_key))


async def test_examples_of_every_page_are_applied_to_a_running_system(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    async with whole_system(make_settings, internal_key, tmp_path) as system:
        clients = [await client_of_new_workspace(system, number) for number in range(len(PAGES))]
        await system.drain()  # every service knows the keys
        for page, made in zip(PAGES, clients, strict=True):
            async with made as client:
                # The subjects of NATS are those of the workspace of the newcomer.
                has_subject = any(
                    each.WhichOneof("channel") == "nats"
                    for one in examples_of(page)
                    for each in one.pack.destinations
                )
                await check_page(page, system.admin if has_subject else client)
