"""What is defined in one workspace is written as a pack, and defines the same in another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from integration.whole.whole_system import whole_system
from onefold.ingest.v1.admin_service_pb2 import CreateWorkspaceRequest
from pack_rules import PACKS
from service_fixtures import MakeSettings

from services.cli.commands.packs import AppliedDefinition, apply_pack, defined_pack, pack_files
from services.cli.commands.packs import _write_pack as write_pack
from services.cli.definitions import pack_forms, read_pack
from services.client.client import Client

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgZG9jdW1lbnRz"
#: Another set of stages with an id of the pack: its segments need the stages that it adds.
OTHER = """
stages:
  - {id: lifecycle, stages: [{stage: 首购客户, rule: {tag: keen}}], default: 访客}
tags:
  - {id: keen, rule: {count: {event: a, at_least: 1}}}
"""
#: What the pack for retail does not have.
MORE = """
sources:
  - {id: seller, trust: public, party: third, allowed_traits: [city], max_age: 7d, disabled: true}
tags:
  - id: rfm
    rfm: {quantiles: 5, period: month, values: [{value: 重要, recency: 4}]}
    default: 其他
segments:
  - {id: vip, title: "${NAME}", rule: {any: [{tag: {id: rfm, is: 重要}}, {segment: churned}]}}
  - {id: old, title: Retired, rule: {segment: vip}, retired: true}
destinations:
  - id: coupon
    webhook: {url: "https://example.com/hook", secret: "${COUPON_SECRET}"}
    segments: [vip, "stage:lifecycle=沉默客户"]
    on: [entered, left]
    content: {coupon: "$${CODE}", days: 3}
"""


async def exported(client: Client) -> dict[str, str]:
    return pack_files(pack_forms(await defined_pack(client)))


async def test_exported_definitions_are_the_same_elsewhere(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    more, other = tmp_path / "more.yaml", tmp_path / "other.yaml"
    more.write_text(MORE, encoding="utf-8")
    other.write_text(OTHER, encoding="utf-8")
    async with whole_system(make_settings, internal_key, tmp_path) as system:
        await apply_pack(system.admin, read_pack(other, {}))
        await apply_pack(system.admin, read_pack(PACKS / "retail", {}))
        named = {"NAME": "a: b", "COUPON_SECRET": SECRET}
        await apply_pack(system.admin, read_pack(more, named))
        files = await exported(system.admin)
        assert SECRET not in "".join(files.values())
        assert "Retired" not in files["segments.yaml"]
        write_pack(tmp_path / "exported", files)
        pack = read_pack(tmp_path / "exported", {"COUPON_SECRET": SECRET})

        again: list[AppliedDefinition] = []
        await apply_pack(system.admin, pack, again, dry_run=True)
        assert [one.id for one in again if one.changed] == []

        request = CreateWorkspaceRequest(workspace_id="elsewhere", title="Elsewhere")
        created = await system.internal.admin.CreateWorkspace(request)
        await system.drain()  # every service knows the key
        endpoints = replace(system.admin.endpoints, key=created.admin_key)
        async with Client(endpoints) as elsewhere:
            await apply_pack(elsewhere, pack)
            assert await exported(elsewhere) == files
