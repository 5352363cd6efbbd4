"""Tests ProfileService behind the real log and the real identity."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import asyncpg
import msgspec
import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import RULES, START_US, SourceEvent, random_events
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_stream_pb2 import ProfileChange
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.codec.rules import rule_to_proto
from services.kernel.errors import Conflict, InvalidField, NotFound
from services.kernel.fold.leaf import LeafState, encode
from services.kernel.identifiers.model import Identifier
from services.kernel.rules.model import Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from tests.index_key import INDEX_KEY
from tests.plain_engine import write_engine_rows
from tests.rule_builders import count_of, events_named

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
ANN = Identifier("anonymous_id", "a-1")
USER = Identifier("user_id", "u-1")
EMAIL = Identifier("email", "ann@x.example")
RECENT = count_of(events_named("viewed"), 3 * DAY_US, Operator.GE, 2)


def views(now_us: int) -> list[SourceEvent]:
    return [
        SourceEvent((ANN,), now_us - DAY_US, 1, "viewed", properties={"course": "a"}),
        SourceEvent(
            (USER, ANN), now_us - DAY_US + 5, 2, type="identify", traits={"city": "北京市"}
        ),
        SourceEvent((USER,), now_us - DAY_US + 9, 3, "viewed", properties={"course": "b"}),
    ]


def by_identifier(identifier: Identifier) -> IdentifierMessage:
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)


async def define(
    stack: ProfileStack, tag_id: str, rule: Rule, **options: object
) -> pb.DefineTagResponse:
    tag = facts_pb.TagDefined(tag_id=tag_id, title="t", rule=rule_to_proto(rule))
    response = await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag, **options))
    if response.changed and not options.get("dry_run"):
        stack.token = response.token
    return response


async def get(stack: ProfileStack, **request: object) -> pb.Profile:
    message = pb.GetProfileRequest(at_least=stack.token, **request)
    return (await stack.profile.GetProfile(message)).profile


async def published(stack: ProfileStack) -> dict[bytes, ProfileChange]:
    """Return the newest published change of each profile, without its own time.

    That is published only.
    """
    newest: dict[bytes, ProfileChange] = {}
    for shard in range(3):
        async for response in stack.internal.ReadOutbox(pb.ReadOutboxRequest(shard=shard)):
            for change in response.batch.changes:
                if change.version > getattr(newest.get(change.profile_id), "version", 0):
                    newest[change.profile_id] = change
                change.ClearField("occurred_at_us")
    return {p: change for p, change in newest.items() if not change.merged_into}


async def evaluations(stack: ProfileStack) -> dict[bytes, ProfileChange]:
    return {
        evaluation.profile_id: evaluation
        for shard in range(3)
        async for response in stack.internal.ReadEvaluations(pb.ReadEvaluationsRequest(shard=shard))
        for evaluation in response.evaluations
    }


async def test_profile_is_returned_for_any_identifier_with_traits_and_tags(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        await define(stack, "keen", RECENT)
        now_us = await stack.tick()
        await stack.append(e.fact() for e in views(now_us))
        profile = await get(stack, identifier=by_identifier(ANN))
        assert profile == await get(stack, identifier=by_identifier(USER))
        assert profile == await get(stack, profile_id=profile.profile_id)
        assert [(i.namespace, i.value) for i in profile.identifiers] == [ANN, USER]
        assert {t.name: msgspec.json.decode(t.value) for t in profile.traits} == {"city": "北京市"}
        assert [t.tag_id for t in profile.tags] == ["keen"]
        assert (profile.event_count, profile.first_seen_us) == (3, now_us - DAY_US)
        assert len(profile.leaf_ids) == 2
        assert not profile.other_identifier_ids
        known_by_mail = SourceEvent((USER, EMAIL), now_us - DAY_US, 4, "viewed")
        await stack.append([known_by_mail.fact()])
        known = await get(stack, identifier=by_identifier(EMAIL))
        [email] = known.other_identifier_ids
        named = await stack.profile.BatchGetProfiles(
            pb.BatchGetProfilesRequest(profile_ids=[email])
        )
        assert [(p.profile_id, p.leaf_ids) for p in named.profiles] == [
            (profile.profile_id, profile.leaf_ids)
        ]

        await stack.tick(3 * DAY_US)
        assert not (await get(stack, identifier=by_identifier(ANN))).tags

        request = pb.BatchGetProfilesRequest(profile_ids=[profile.profile_id, "0" * 32])
        many = await stack.profile.BatchGetProfiles(request)
        assert [p.profile_id for p in many.profiles] == [profile.profile_id]


async def test_profile_as_of_the_past_has_what_the_log_had_then(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await define(stack, "keen", RECENT)
        now_us = await stack.tick()
        events = views(now_us)
        early = await stack.append([events[0].fact()])
        await stack.append(e.fact() for e in events[1:])
        await stack.reach()
        ann = by_identifier(ANN)
        assert (await get(stack, identifier=ann)).event_count == 3
        for as_of in ({"as_of_token": early}, {"as_of_us": events[0].occurred_at_us}):
            then = await get(stack, identifier=ann, **as_of)
            assert (then.event_count, [t.tag_id for t in then.tags], list(then.traits)) == (
                1,
                [],
                [],
            )
            assert [(i.namespace, i.value) for i in then.identifiers] == [ANN]
        with pytest.raises(NotFound):
            await get(stack, identifier=ann, as_of_us=now_us - 10 * DAY_US)


async def test_timeline_is_paged_from_newest_to_oldest(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        now_us = await stack.tick()
        same = [SourceEvent((USER,), now_us - DAY_US, n, "viewed") for n in range(7)]
        later = [
            SourceEvent((USER, ANN), now_us - DAY_US + n, 10 + n, "trial") for n in range(1, 4)
        ]
        await stack.append(e.fact() for e in same + later)
        await stack.reach()
        entries, token = [], ""
        for _ in range(6):
            response = await stack.profile.ListTimeline(
                pb.ListTimelineRequest(identifier=by_identifier(ANN), page_size=3, page_token=token)
            )
            entries += response.entries
            token = response.next_page_token
            if not token:
                break
        assert [e.name for e in entries] == ["trial"] * 3 + ["viewed"] * 7
        assert len({e.fact_id for e in entries}) == 10
        times = [e.occurred_at_us for e in entries]
        assert times == sorted(times, reverse=True)
        assert {(e.type, e.source_id, e.kind) for e in entries} == {
            ("track", "site", "onefold.type.v1.Event")
        }


async def test_rule_without_a_definition_is_explained(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        now_us = await stack.tick()
        await stack.append(e.fact() for e in views(now_us))
        await stack.reach()
        response = await stack.profile.ExplainRule(
            pb.ExplainRuleRequest(identifier=by_identifier(USER), rule=rule_to_proto(RECENT))
        )
        assert response.holds
        assert [(p.actual, p.holds) for p in response.predicates] == [(b"2", True)]
        assert "viewed" in response.rule_text
        assert response.as_of_us >= now_us


async def test_tag_gets_a_new_version_only_when_its_content_changes(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        dry = await define(stack, "keen", RECENT, dry_run=True)
        assert (dry.changed, dry.tag.version) == (True, 1)
        first = await define(stack, "keen", RECENT)
        again = await define(stack, "keen", RECENT)
        assert (first.changed, again.changed, again.tag.version) == (True, False, 1)
        pairs = zip(again.token.offsets, first.token.offsets, strict=True)
        assert all(now >= then > 0 for now, then in pairs)
        other = count_of(events_named("viewed"), 3 * DAY_US, Operator.GE, 3)
        assert (await define(stack, "keen", other)).tag.version == 2
        await stack.reach()
        tags = (await stack.profile.ListTags(pb.ListTagsRequest())).tags
        assert [(t.tag.tag_id, t.tag.version) for t in tags] == [("keen", 2)]
        with pytest.raises(InvalidField):
            await define(stack, "", RECENT)


async def test_tag_with_a_stale_etag_is_not_changed(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        first = await define(stack, "keen", RECENT)
        other = count_of(events_named("viewed"), 3 * DAY_US, Operator.GE, 3)
        second = await define(stack, "keen", other, etag=first.etag)
        assert second.changed
        with pytest.raises(Conflict):
            await define(stack, "keen", RECENT, etag=first.etag)
        repeated = await define(stack, "keen", other, etag=first.etag)
        assert (repeated.changed, repeated.etag) == (False, second.etag)
        await stack.reach()
        [tag] = (await stack.profile.ListTags(pb.ListTagsRequest())).tags
        assert (tag.tag.version, tag.etag) == (2, second.etag)


async def test_published_changes_and_current_evaluations_can_be_read(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await define(stack, "keen", RECENT)
        now_us = await stack.tick()
        await stack.append(e.fact() for e in views(now_us))
        await stack.tick()
        backfilled = set()
        for shard in range(3):
            request = pb.ReadEvaluationsRequest(shard=shard)
            pages = [response async for response in stack.internal.ReadEvaluations(request)]
            backfilled |= {(p.backfilled_workspace_id, *p.backfilled_predicates) for p in pages[1:]}
            kinds = {f.kind for f in pages[0].broadcast_facts}
            assert "onefold.profile.v1.TagDefined" in kinds
            outbox = stack.internal.ReadOutbox(pb.ReadOutboxRequest(shard=shard))
            batches = [response.batch async for response in outbox]
            assert [b.sequence for b in batches] == list(range(len(batches)))
            assert batches[-1].log_offset >= pages[0].log_offset
        current = await evaluations(stack)
        assert current == await published(stack)
        assert len(current) == 1
        assert {workspace for workspace, *_ in backfilled if workspace} == {"school"}


async def test_profile_of_another_workspace_is_not_found(open_stack: OpenStack) -> None:
    async with open_stack(workspace_id="other") as stack:
        now_us = await stack.tick()
        await stack.append(e.fact() for e in views(now_us))
        profile_id = USER.id_in("school", INDEX_KEY).hex()
        with pytest.raises(NotFound):
            await get(stack, profile_id=profile_id)
        with pytest.raises(NotFound):
            await stack.profile.ListTimeline(pb.ListTimelineRequest(profile_id=profile_id))


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({}, "by"),
        ({"profile_id": "xyz"}, "profile_id"),
        ({"identifier": IdentifierMessage(namespace="E mail", value="x")}, "identifier"),
    ],
)
async def test_invalid_request_names_its_field(
    open_stack: OpenStack, request_fields: dict[str, object], field: str
) -> None:
    async with open_stack() as stack:
        with pytest.raises(InvalidField) as rejected:
            await stack.profile.GetProfile(pb.GetProfileRequest(**request_fields))
        assert rejected.value.field == field


async def rebuild(stack: ProfileStack, **options: object) -> projection_pb.RebuildResponse:
    """Rebuild, and check that the state is equal."""
    response = await stack.rebuild(**options)
    assert list(response.differing_rows) == []
    assert response.equal
    return response


async def append_history(stack: ProfileStack, seed: int, first_message: int) -> None:
    """Append random events of the last ten days."""
    now_us = await stack.tick()
    rng = random.Random(seed)
    events = [
        replace(
            event,
            occurred_at_us=event.occurred_at_us - START_US + now_us - 10 * DAY_US,
            message=first_message + n,
        )
        for n, event in enumerate(random_events(rng, 300, 60))
    ]
    shuffled = rng.sample(events, len(events))
    await stack.append(fact for event in shuffled for fact in event.facts())


async def test_rebuild_ends_in_an_equal_state_that_can_take_over(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    async with open_stack() as stack:
        await append_history(stack, 1, 0)
        for number, rule in enumerate(RULES):
            await define(stack, f"t{number}", rule)
        await append_history(stack, 2, 1_000)
        await stack.tick(DAY_US)
        first = await rebuild(stack)
        assert first.done >= 600
        await rebuild(stack, shards=1, workers=2)
        await rebuild(stack, shards=8)
        switched = await rebuild(stack, switch_over=True)
        assert dict(switched.live_digests).keys() == {"school"}

        status = await stack.projection.GetStatus(projection_pb.GetStatusRequest())
        assert status.generation == 2
        rows = write_engine_rows(tmp_path / "rows", "profile", await logged_facts(stack))
        await append_history(stack, 3, 2_000)
        await stack.tick(DAY_US)
        begun = await rebuild(stack, rows=rows, shards=2)
        assert begun.done < first.done, "what the rows have is not folded again"
        await define(stack, "late", count_of(events_named("trial"), 0, Operator.GE, 2))
        await stack.tick(DAY_US)
        with pytest.raises(Conflict, match="rules have changed"):
            await stack.rebuild(rows=rows)
        await rebuild(stack)
        newest = {p: set(c.true_predicates) for p, c in (await published(stack)).items()}
        current = {p: set(e.true_predicates) for p, e in (await evaluations(stack)).items()}
        assert newest == current


async def logged_facts(stack: ProfileStack) -> list[list[Fact]]:
    """Return the facts of each shard."""
    head = await stack.log.GetHead(log_pb.GetHeadRequest())
    return [
        [f async for r in stack.log.Read(log_pb.ReadRequest(shard=shard)) for f in r.batch.facts]
        for shard in range(len(head.token.offsets))
    ]


async def test_rebuild_of_a_damaged_state_names_the_differing_rows(
    open_stack: OpenStack, database: str
) -> None:
    async with open_stack() as stack:
        await define(stack, "keen", RECENT)
        now_us = await stack.tick()
        await stack.append(e.fact() for e in views(now_us))
        await stack.tick()
        conn = await asyncpg.connect(database)
        changed = await conn.fetch(
            "UPDATE profile_g1.leaf SET state = $1 RETURNING encode(leaf_id, 'hex')",
            encode(LeafState()),
        )
        await conn.execute("UPDATE profile_g1.digest SET value = value + 1")
        await conn.close()
        response = await stack.rebuild()
        assert not response.equal
        assert sorted(response.differing_rows) == sorted(f"leaf {row[0]}" for row in changed)
