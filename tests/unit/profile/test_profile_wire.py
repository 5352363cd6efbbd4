from __future__ import annotations

import random

import pytest
from laws.profile_world import (
    RULES,
    START_US,
    Happening,
    Log,
    People,
    attribute,
    definition,
    message,
)
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.messaging.stream import Batch
from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier
from services.kernel.ids import NO_ID, FactId, ProfileId, WorkspaceId
from services.profile.codec import bus as wire
from services.profile.domain.backfill import Key
from services.profile.domain.model import Standing
from services.profile.domain.profile import Mark

USER, PHONE = Identifier("user_id", "u"), Identifier("phone", "+861")


def said(first: int = 0) -> Batch:
    log = Log(1)
    log.append(Happening((USER,), START_US, 1).fact(), START_US)
    log.append(definition("s", RULES[0]), START_US + 1)
    log.append(Happening((USER, PHONE), START_US, 2).fact(), START_US + 2)
    log.tick(START_US + 3)
    told = attribute(log, People(), random.Random(0))[0]
    return Batch(0, first, 4, (message(0, told[:3]), message(0, told[3:])), 5, 1, 9)


def test_every_fact_is_heard_with_its_place_and_its_profile() -> None:
    heard = wire.hear(said())
    assert [e.offset for e in heard.entries] == [0, 1, 2, 3]
    assert [e.recorded_at_us - START_US for e in heard.entries] == [0, 1, 2, 3]
    user = USER.id_in(WorkspaceId("school"))
    assert [e.profile_id for e in heard.entries] == [user, NO_ID, user, NO_ID]
    assert [e.leaf_id for e in heard.entries] == [user, NO_ID, user, NO_ID]
    assert [e.event is not None for e in heard.entries] == [True, False, True, False]
    notices = [e.notice for e in heard.entries if e.notice is not None]
    assert [(n.is_tick, n.asks is None) for n in notices] == [(False, False), (True, True)]
    assert {a.identifier for a in heard.assignments} == {USER, PHONE}


def test_what_lies_before_the_batch_is_skipped() -> None:
    heard = wire.hear(said(first=2))
    assert [e.offset for e in heard.entries] == [2, 3]
    assert heard.entries[0].profile_id == USER.id_in(WorkspaceId("school"))


def test_a_message_that_covers_something_else_is_refused() -> None:
    batch = said()
    short = Batch(0, 0, 5, (*batch.messages[:1],), 0, 0, 0)
    torn = type(short.messages[0])(0, 4, short.messages[0].payload)
    with pytest.raises(ValueError, match="came as 3"):
        wire.hear(Batch(0, 0, 4, (torn,), 0, 0, 0))


def test_a_rule_that_cannot_be_read_asks_for_nothing() -> None:
    fact = definition("s", RULES[0])
    fact.payload = SegmentDefined(segment_id="s").SerializeToString()
    assert wire.asks(fact) == ()


def standing(number: int, holds: int = 3) -> Standing:
    id_ = ProfileId(number.to_bytes(16, "big"))
    return Standing(id_, WorkspaceId("w"), number, frozenset(range(holds)), None, 7)


def test_only_the_last_message_says_that_the_log_was_taken_in() -> None:
    changes = [standing(n, 400) for n in range(1_000)]
    live = [Key(WorkspaceId("v"), 2), Key(WorkspaceId("w"), 1)]
    outputs = wire.outputs(said(), wire.Said(changes, (), live), 4, START_US)
    messages = [ProfilesChanged.FromString(output.payload) for output in outputs]
    assert [(o.first, o.next) for o in outputs] == [(n, n + 1) for n in range(5, 5 + len(outputs))]
    assert all(len(o.payload) < 1_000_000 for o in outputs)
    assert [m.log_offset for m in messages] == [1] * (len(messages) - 1) + [4]
    assert [c.version for m in messages for c in m.changes] == list(range(1_000))
    assert [(m.backfilled_workspace_id, list(m.backfilled_predicates)) for m in messages[:2]] == [
        ("v", [2]),
        ("w", [1]),
    ]


def test_page_tokens_are_read_back() -> None:
    mark = Mark(-5, FactId(bytes(range(16))), 3)
    assert wire.mark_from(wire.page_token(mark)) == mark
    assert wire.mark_from("") is None
    with pytest.raises(InvalidField):
        wire.mark_from("1.2")


def test_an_identifier_that_names_nobody_finds_nobody() -> None:
    request = GetProfileRequest()
    request.identifier.namespace, request.identifier.value = "email", "null"
    id_ = wire.asked_id(WorkspaceId("w"), "CN", request)
    assert id_ == Identifier("email", "").id_in(WorkspaceId("w"))
