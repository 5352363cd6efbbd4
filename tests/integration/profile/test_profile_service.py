"""Profile through its doors, behind the real log and the real identity."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import asyncpg
import msgspec
import pytest
from integration.profile.profile_house import House, house
from laws.profile_world import RULES, START_US, Happening, life
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.codec.rules import rule_to_proto
from services.chassis.testing import MakeSettings
from services.kernel.errors import InvalidField, NotFound
from services.kernel.fold.leaf import LeafState, encode
from services.kernel.identifiers import Identifier
from services.kernel.rules.model import CountPredicate, EventFilter, Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]
ANN = Identifier("anonymous_id", "a-1")
USER = Identifier("user_id", "u-1")
RECENT = CountPredicate(EventFilter("viewed"), 3 * DAY_US, Operator.GE, 2)


@pytest.fixture
def open_house(make_settings: MakeSettings, internal_key: str) -> OpenHouse:
    def enter(**fields: str) -> AbstractAsyncContextManager[House]:
        return house(make_settings, internal_key, **fields)

    return enter


async def now_us(home: House) -> int:
    return (await home.tick()).at_us


def views(now: int) -> list[Happening]:
    return [
        Happening((ANN,), now - DAY_US, 1, "viewed", properties={"course": "a"}),
        Happening((USER, ANN), now - DAY_US + 5, 2, type="identify", traits={"city": "北京市"}),
        Happening((USER,), now - DAY_US + 9, 3, "viewed", properties={"course": "b"}),
    ]


def by_identifier(identifier: Identifier) -> IdentifierMessage:
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)


async def define(home: House, tag_id: str, rule: Rule, **fields: object) -> pb.DefineTagResponse:
    tag = facts_pb.TagDefined(tag_id=tag_id, title="t", rule=rule_to_proto(rule))
    answer = await home.profile.DefineTag(pb.DefineTagRequest(tag=tag, **fields))
    if answer.changed and not fields:
        home.token = answer.token
    return answer


async def get(home: House, **asked: object) -> pb.Profile:
    request = pb.GetProfileRequest(at_least=home.token, **asked)
    return (await home.profile.GetProfile(request)).profile


async def test_a_person_is_found_by_any_identifier_with_traits_and_tags(
    open_house: OpenHouse,
) -> None:
    async with open_house() as home:
        await define(home, "keen", RECENT)
        now = await now_us(home)
        await home.append(h.fact() for h in views(now))
        found = await get(home, identifier=by_identifier(ANN))
        assert found == await get(home, identifier=by_identifier(USER))
        assert found == await get(home, profile_id=found.profile_id)
        assert [(i.namespace, i.value) for i in found.identifiers] == [ANN, USER]
        assert {t.name: msgspec.json.decode(t.value) for t in found.traits} == {"city": "北京市"}
        assert list(found.tags) == ["keen"]
        assert (found.event_count, found.first_seen_us) == (3, now - DAY_US)
        assert len(found.leaf_ids) == 2

        await home.tick(3 * DAY_US)
        assert list((await get(home, identifier=by_identifier(ANN))).tags) == []

        request = pb.BatchGetProfilesRequest(profile_ids=[found.profile_id, "0" * 32])
        many = await home.profile.BatchGetProfiles(request)
        assert [p.profile_id for p in many.profiles] == [found.profile_id]


async def test_a_person_is_shown_as_the_log_knew_them(open_house: OpenHouse) -> None:
    async with open_house() as home:
        await define(home, "keen", RECENT)
        now = await now_us(home)
        happenings = views(now)
        early = await home.append([happenings[0].fact()])
        between = await now_us(home)
        await home.append(h.fact() for h in happenings[1:])
        user = by_identifier(USER)
        assert (await get(home, identifier=user)).event_count == 3
        for as_of in ({"as_of_token": early}, {"as_of_us": between}):
            then = await get(home, identifier=user, **as_of)
            assert (then.event_count, list(then.tags), list(then.traits)) == (1, [], [])
            assert [(i.namespace, i.value) for i in then.identifiers] == [ANN]
        with pytest.raises(NotFound):
            await get(home, identifier=user, as_of_us=now - 10 * DAY_US)


async def test_the_timeline_is_paged_from_newest_to_oldest(open_house: OpenHouse) -> None:
    async with open_house() as home:
        now = await now_us(home)
        same = [Happening((USER,), now - DAY_US, n, "viewed") for n in range(7)]
        later = [Happening((USER, ANN), now - DAY_US + n, 10 + n, "trial") for n in range(1, 4)]
        await home.append(h.fact() for h in same + later)
        await home.reach()
        seen, token = [], ""
        for _ in range(6):
            answer = await home.profile.ListTimeline(
                pb.ListTimelineRequest(identifier=by_identifier(ANN), page_size=3, page_token=token)
            )
            seen += answer.entries
            token = answer.next_page_token
            if not token:
                break
        assert [e.name for e in seen] == ["trial"] * 3 + ["viewed"] * 7
        assert len({e.fact_id for e in seen}) == 10
        assert [e.occurred_at_us for e in seen] == sorted(
            (e.occurred_at_us for e in seen), reverse=True
        )
        assert {(e.type, e.source_id, e.kind) for e in seen} == {
            ("track", "site", "onefold.type.v1.Event")
        }


async def test_a_rule_is_explained_even_if_nobody_defined_it(open_house: OpenHouse) -> None:
    async with open_house() as home:
        now = await now_us(home)
        await home.append(h.fact() for h in views(now))
        await home.reach()
        answer = await home.profile.ExplainRule(
            pb.ExplainRuleRequest(identifier=by_identifier(USER), rule=rule_to_proto(RECENT))
        )
        assert answer.holds
        assert [(v.actual, v.holds) for v in answer.predicates] == [(b"2", True)]
        assert "viewed" in answer.rule_text
        assert answer.at_us >= now


async def test_tags_are_defined_once_and_counted_up(open_house: OpenHouse) -> None:
    async with open_house() as home:
        dry = await define(home, "keen", RECENT, dry_run=True)
        assert (dry.changed, dry.tag.version) == (True, 1)
        first = await define(home, "keen", RECENT)
        again = await define(home, "keen", RECENT)
        assert (first.changed, again.changed, again.tag.version) == (True, False, 1)
        pairs = zip(again.token.offsets, first.token.offsets, strict=True)
        assert all(now >= then > 0 for now, then in pairs)
        other = CountPredicate(EventFilter("viewed"), 3 * DAY_US, Operator.GE, 3)
        assert (await define(home, "keen", other)).tag.version == 2
        await home.reach()
        tags = (await home.profile.ListTags(pb.ListTagsRequest())).tags
        assert [(t.tag_id, t.version) for t in tags] == [("keen", 2)]
        with pytest.raises(InvalidField):
            await define(home, "", RECENT)


async def test_what_was_said_and_how_everybody_stands_can_be_read(open_house: OpenHouse) -> None:
    async with open_house() as home:
        await define(home, "keen", RECENT)
        now = await now_us(home)
        await home.append(h.fact() for h in views(now))
        await home.tick()
        standings, heard, live = {}, {}, set()
        for shard in range(3):
            responses = [
                r
                async for r in home.profile.ReadEvaluations(pb.ReadEvaluationsRequest(shard=shard))
            ]
            standings |= {s.profile_id: s for r in responses for s in r.evaluations}
            live |= {(r.backfilled_workspace_id, *r.backfilled_predicates) for r in responses[1:]}
            assert "onefold.profile.v1.TagDefined" in {f.kind for f in responses[0].broadcast_facts}
            said = [
                r.batch async for r in home.profile.ReadOutbox(pb.ReadOutboxRequest(shard=shard))
            ]
            assert [b.sequence for b in said] == list(range(len(said)))
            assert said[-1].log_offset >= responses[0].log_offset
            for change in (c for b in said for c in b.changes):
                if change.version > getattr(heard.get(change.profile_id), "version", 0):
                    heard[change.profile_id] = change
        assert standings == {p: c for p, c in heard.items() if not c.merged_into}
        assert len(standings) == 1
        assert {workspace for workspace, *_ in live if workspace} == {"school"}


async def test_nobody_is_shown_to_another_workspace(open_house: OpenHouse) -> None:
    async with open_house(workspace_id="other") as home:
        now = await now_us(home)
        await home.append(h.fact() for h in views(now))
        profile_id = USER.id_in("school").hex()
        with pytest.raises(NotFound):
            await get(home, profile_id=profile_id)
        with pytest.raises(NotFound):
            await home.profile.ListTimeline(pb.ListTimelineRequest(profile_id=profile_id))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "by"),
        ({"profile_id": "xyz"}, "profile_id"),
        ({"identifier": IdentifierMessage(namespace="E mail", value="x")}, "identifier"),
    ],
)
async def test_bad_questions_name_their_field(
    open_house: OpenHouse, asked: dict[str, object], field: str
) -> None:
    async with open_house() as home:
        with pytest.raises(InvalidField) as refused:
            await home.profile.GetProfile(pb.GetProfileRequest(**asked))
        assert refused.value.field == field


async def rebuild(home: House, **asked: object) -> projection_pb.RebuildResponse:
    async for told in home.projection.Rebuild(projection_pb.RebuildRequest(**asked)):
        last = told
    assert list(last.differing_rows) == []
    assert last.equal
    return last


async def history(home: House, seed: int, first: int) -> None:
    now = await now_us(home)
    chance = random.Random(seed)
    happenings = [
        replace(
            h, occurred_at_us=h.occurred_at_us - START_US + now - 10 * DAY_US, message=first + n
        )
        for n, h in enumerate(life(chance, 300, 60))
    ]
    shuffled = chance.sample(happenings, len(happenings))
    await home.append(fact for h in shuffled for fact in h.facts())


async def test_a_rebuild_ends_in_the_same_state_and_can_take_over(open_house: OpenHouse) -> None:
    async with open_house() as home:
        await history(home, 1, 0)
        for number, rule in enumerate(RULES):
            await define(home, f"t{number}", rule)
        await history(home, 2, 1_000)
        await home.tick(DAY_US)
        first = await rebuild(home)
        assert first.done >= 600
        await rebuild(home, shards=1, workers=2)
        await rebuild(home, shards=8)
        taken_over = await rebuild(home, switch_over=True)
        assert dict(taken_over.live_digests).keys() == {"school"}

        status = await home.projection.GetStatus(projection_pb.GetStatusRequest())
        assert status.generation == 2
        await history(home, 3, 2_000)
        await define(home, "late", CountPredicate(EventFilter("trial"), 0, Operator.GE, 2))
        await home.tick(DAY_US)
        await rebuild(home)
        known = {}
        for shard in range(3):
            async for response in home.profile.ReadOutbox(pb.ReadOutboxRequest(shard=shard)):
                for change in response.batch.changes:
                    if change.version > getattr(known.get(change.profile_id), "version", 0):
                        known[change.profile_id] = change
        present = {p: set(c.true_predicates) for p, c in known.items() if not c.merged_into}
        standings = {}
        for shard in range(3):
            async for answer in home.profile.ReadEvaluations(
                pb.ReadEvaluationsRequest(shard=shard)
            ):
                standings |= {s.profile_id: set(s.true_predicates) for s in answer.evaluations}
        assert present == standings


async def test_a_rebuild_names_what_differs(open_house: OpenHouse, database: str) -> None:
    async with open_house() as home:
        await define(home, "keen", RECENT)
        now = await now_us(home)
        await home.append(h.fact() for h in views(now))
        await home.tick()
        conn = await asyncpg.connect(database)
        changed = await conn.fetch(
            "UPDATE profile_g1.leaf SET state = $1 RETURNING encode(leaf_id, 'hex')",
            encode(LeafState()),
        )
        await conn.execute("UPDATE profile_g1.digest SET value = value + 1")
        await conn.close()
        async for told in home.projection.Rebuild(projection_pb.RebuildRequest()):
            last = told
        assert not last.equal
        assert sorted(last.differing_rows) == sorted(f"leaf {row[0]}" for row in changed)
