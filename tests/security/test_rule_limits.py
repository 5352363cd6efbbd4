"""Attacks a running system with rules that are too large, too many, or too costly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.ingest.v1.admin_service_pb2 import CreateWorkspaceRequest
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from service_fixtures import MakeSettings

from services.chassis.codec.rules import rule_to_proto
from services.chassis.runtime.cpu import CostReports
from services.client.client import Client
from services.identity.projection.evidence_cache import EvidenceCache
from services.kernel.errors import InvalidField
from services.kernel.rules.limits import MAX_PREDICATES
from services.kernel.rules.model import All, Rule
from services.kernel.rules.values import Operator
from services.profile.domain import leaves
from services.profile.settings import ProfileSettings
from services.segment.domain.membership import ActiveSegments
from tests.rule_builders import count_of, events_named

FOLDING = ("ingest", "identity", "profile", "segment")
LIMIT = 20


def counts(first: int, number: int) -> Rule:
    """Return a rule of so many predicates, which other numbers make different ones."""
    events = events_named("bought")
    parts = (count_of(events, 0, Operator.GE, n) for n in range(first, first + number))
    return All(tuple(parts))


async def define_segment(client: Client, id_: str, rule: Rule) -> bool:
    segment = SegmentDefined(segment_id=id_, title=id_, rule=rule_to_proto(rule))
    request = segment_pb.DefineSegmentRequest(segment=segment)
    return (await client.segment.DefineSegment(request)).changed


async def define_tag(client: Client, id_: str, rule: Rule) -> bool:
    tag = TagDefined(tag_id=id_, title=id_, rule=rule_to_proto(rule))
    return (await client.profile.DefineTag(profile_pb.DefineTagRequest(tag=tag))).changed


async def is_accepted(defining: Any) -> bool:
    try:
        await defining
    except InvalidField as error:
        return "at most 20 are allowed" not in error.message
    return True


def with_limit(make_settings: MakeSettings) -> MakeSettings:
    def make(kind: Any, **fields: Any) -> Any:
        own = {"max_predicates_per_event": LIMIT} if kind is ProfileSettings else {}
        return make_settings(kind, **own, **fields)

    return make


async def test_predicates_of_rules_and_workspaces_are_limited_by_every_way_in(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> None:
    settings = with_limit(make_settings)
    async with whole_system(settings, internal_key, tmp_path, *FOLDING) as system:
        own = system.service
        await system.send("bought", "user_id:ann")
        for call in _calls_with_a_large_rule(own):
            with pytest.raises(InvalidField) as raised:
                await call
            assert f"more than {MAX_PREDICATES} predicates" in raised.value.message
        assert await define_tag(own, "twelve", counts(0, 12))
        with pytest.raises(InvalidField) as raised:
            await define_segment(own, "twelve", counts(100, 12))
        assert "`bought` use 12 predicates, this one adds 12" in raised.value.message
        assert raised.value.field == "segment.rule"
        # Eight more have place, for one of these rules; the same ones again are no more.
        defining = [define_segment(own, f"s{n}", counts(100 + 8 * n, 8)) for n in range(5)]
        accepted = await asyncio.gather(*map(is_accepted, defining))
        assert accepted.count(True) == 1
        with pytest.raises(InvalidField) as raised:
            await define_tag(own, "one", counts(999, 1))
        assert raised.value.field == "tag.rule"
        first = accepted.index(True)
        assert not await define_segment(own, f"s{first}", counts(100 + 8 * first, 8))
        assert await define_segment(own, "shared", counts(0, 12))
        async with await _other_tenant(system) as other:
            assert await define_segment(other, "s", counts(500, LIMIT))


def _calls_with_a_large_rule(client: Client) -> list[Any]:
    rule = counts(0, MAX_PREDICATES + 1)
    message = rule_to_proto(rule)
    ann = identifier("user_id:ann")
    return [
        define_segment(client, "large", rule),
        define_tag(client, "large", rule),
        client.profile.ExplainRule(profile_pb.ExplainRuleRequest(identifier=ann, rule=message)),
        client.profile.PreviewRule(profile_pb.PreviewRuleRequest(rule=message)),
        client.profile.GetAccount(profile_pb.GetAccountRequest(identifier=ann, rules=[message])),
    ]


async def _other_tenant(system: WholeSystem) -> Client:
    request = CreateWorkspaceRequest(workspace_id="tenant-b", title="B")
    created = await system.internal.admin.CreateWorkspace(request)
    await system.drain()
    return Client(replace(system.admin.endpoints, key=created.admin_key))


async def test_costly_event_is_logged_with_its_place_by_every_fold(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop in each fold costs as much as a slow rule or regular expression."""

    def costly(function: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **kwargs: Any) -> Any:
            end = time.thread_time() + 0.15
            while time.thread_time() < end:
                pass
            return function(*args, **kwargs)

        return slow

    async with whole_system(make_settings, internal_key, tmp_path, *FOLDING) as system:
        await define_segment(system.service, "buyers", counts(1, 1))
        await system.drain()
        monkeypatch.setattr(leaves, "fold_event", costly(leaves.fold_event))
        for owner, name in ((EvidenceCache, "observation"), (ActiveSegments, "segments_of")):
            monkeypatch.setattr(owner, name, costly(getattr(owner, name)))
        counters: list[object] = []
        report = CostReports.report
        monkeypatch.setattr(
            CostReports, "report", lambda w, *a: counters.append(w._exceeded) or report(w, *a)
        )
        with structlog.testing.capture_logs() as lines:
            await system.send("bought", "user_id:secret-ann", "email:secret@example.cn")
            await system.drain()
    assert counters
    assert all(counters)
    exceeded = [line for line in lines if line["event"] == "cpu_budget_exceeded"]
    places = [set(line) - {"event", "log_level", "cpu_s"} for line in exceeded]
    assert {"work", "workspace", "shard", "offset"} in places  # profile
    assert {"work", "workspace", "shard", "first", "next", "fact"} in places  # identity
    assert {"work", "workspace"} in places  # segment
    assert {line["workspace"] for line in exceeded if "workspace" in line} == {"default"}
    assert "secret" not in str(lines)
