"""Tests PreviewProfiles: evaluations under another grouping of identifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import WORKSPACE, SourceEvent, definition
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_stream_pb2 import ProfileChange

from services.kernel.errors import InvalidField, TooLarge
from services.kernel.identifiers.model import Identifier
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of, events_named

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
ANN, BOB = Identifier("member_id", "ann"), Identifier("member_id", "bob")
TWO_VIEWS = count_of(events_named("viewed"), 0, Operator.GE, 2)
A_TRIAL = count_of(events_named("trial"), 0, Operator.GE, 1)
#: True predicates and the profile it is merged into, by profile.
Changes = dict[bytes, tuple[tuple[int, ...], bytes]]


def profile_id(identifier: Identifier) -> bytes:
    return identifier.id_in(WORKSPACE, INDEX_KEY)


def hypothetical(profile: Identifier, *identifiers: Identifier) -> pb.HypotheticalProfile:
    return pb.HypotheticalProfile(
        profile_id=profile_id(profile).hex(),
        identifier_ids=[profile_id(identifier).hex() for identifier in identifiers],
    )


async def ingest_two_profiles(stack: ProfileStack) -> int:
    """Ingest a view and a trial of Ann and a view of Bob; return the log's clock."""
    await stack.append([definition("keen", TWO_VIEWS), definition("tried", A_TRIAL)])
    now_us = await stack.tick()
    events = [
        SourceEvent((ANN,), now_us - DAY_US, 1),
        SourceEvent((ANN,), now_us - DAY_US + 1, 2, "trial"),
        SourceEvent((BOB,), now_us - DAY_US + 2, 3),
    ]
    await stack.append(e.fact() for e in events)
    await stack.reach()
    return now_us


async def preview(stack: ProfileStack, *profiles: pb.HypotheticalProfile) -> Changes:
    request = pb.PreviewProfilesRequest(profiles=profiles, at_least=stack.token)
    return by_profile((await stack.profile.PreviewProfiles(request)).changes)


def by_profile(changes: Iterable[ProfileChange]) -> Changes:
    return {c.profile_id: (tuple(c.true_predicates), c.merged_into) for c in changes}


async def published(stack: ProfileStack) -> list[ProfileChange]:
    found: list[ProfileChange] = []
    for shard in range(3):
        async for response in stack.internal.ReadOutbox(pb.ReadOutboxRequest(shard=shard)):
            found += response.batch.changes
    return sorted(found, key=lambda change: change.version)


async def test_preview_of_a_merge_and_of_a_split_equals_the_later_changes(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        now_us = await ingest_two_profiles(stack)
        before = await published(stack)
        separate = by_profile(before)
        merged = await preview(stack, hypothetical(ANN, ANN, BOB))
        assert len(merged[profile_id(ANN)][0]) == 2, "together they viewed twice"
        assert merged[profile_id(BOB)] == ((), profile_id(ANN))
        assert await published(stack) == before, "a preview changes nothing"

        alias = SourceEvent((ANN, BOB), now_us, 4, type="alias")
        await stack.append([alias.fact()])
        await stack.reach()
        assert by_profile((await published(stack))[len(before) :]) == merged

        split = await preview(stack, hypothetical(ANN, ANN), hypothetical(BOB, BOB))
        assert split == {p: separate[p] for p in split}
        unchanged = await preview(stack, hypothetical(ANN, ANN, BOB))
        assert unchanged == {}


async def test_preview_of_unknown_or_foreign_identifiers_is_empty(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await ingest_two_profiles(stack)
        unknown = Identifier("member_id", "unknown")
        assert await preview(stack, hypothetical(unknown, unknown)) == {}
        foreign_id = ANN.id_in("other", INDEX_KEY).hex()
        foreign = pb.HypotheticalProfile(profile_id=foreign_id, identifier_ids=[foreign_id])
        assert await preview(stack, foreign) == {}


async def test_invalid_preview_names_its_field(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        with pytest.raises(InvalidField) as rejected:
            await preview(stack, pb.HypotheticalProfile(profile_id="x"))
        assert rejected.value.field == "profiles[0].profile_id"
        wrong = pb.HypotheticalProfile(profile_id=profile_id(ANN).hex(), identifier_ids=["x"])
        with pytest.raises(InvalidField) as rejected:
            await preview(stack, wrong)
        assert rejected.value.field == "profiles[0].identifier_ids"
        with pytest.raises(TooLarge):
            await preview(stack, *[pb.HypotheticalProfile()] * 10_001)
