"""Tests the codec: decoding identity's batches, encoding outputs, page tokens, lookups."""

from __future__ import annotations

import random

import pytest
from laws.profile_model import (
    RULES,
    START_US,
    MemoryIdentity,
    MemoryLog,
    SourceEvent,
    definition,
    publish,
    stream_message,
)
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.messaging.stream import Batch
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import NO_ID, FactId, ProfileId, WorkspaceId
from services.profile.codec.api import decode_cursor, encode_cursor, lookup_id
from services.profile.codec.bus import Publication, decode_batch, encode_outputs
from services.profile.codec.log import rule_definition
from services.profile.domain.backfill import ScopedId
from services.profile.domain.evaluation import Evaluation
from services.profile.domain.profile import TimelineCursor
from tests.index_key import INDEX_KEY

USER, PHONE = Identifier("user_id", "u"), Identifier("phone", "+861")


def batch(first: int = 0) -> Batch:
    log = MemoryLog(1)
    log.append(SourceEvent((USER,), START_US, 1).fact(), START_US)
    log.append(definition("s", RULES[0]), START_US + 1)
    log.append(SourceEvent((USER, PHONE), START_US, 2).fact(), START_US + 2)
    log.tick(START_US + 3)
    stream = publish(log, MemoryIdentity(), random.Random(0))[0]
    return Batch(
        shard=0,
        first=first,
        next=4,
        messages=(stream_message(0, stream[:3]), stream_message(0, stream[3:])),
        next_output=5,
        log_offset=1,
        log_time_us=9,
    )


def test_decoded_facts_have_their_offsets_and_profiles() -> None:
    decoded = decode_batch(batch(), INDEX_KEY)
    assert [f.offset for f in decoded.facts] == [0, 1, 2, 3]
    assert [f.recorded_at_us - START_US for f in decoded.facts] == [0, 1, 2, 3]
    user = USER.id_in(WorkspaceId("school"), INDEX_KEY)
    assert [f.profile_id for f in decoded.facts] == [user, NO_ID, user, NO_ID]
    assert [f.leaf_id for f in decoded.facts] == [user, NO_ID, user, NO_ID]
    assert [f.event is not None for f in decoded.facts] == [True, False, True, False]
    broadcast = [f.broadcast for f in decoded.facts if f.broadcast is not None]
    defines = [(b.is_tick, b.rule_definition is not None) for b in broadcast]
    assert defines == [(False, True), (True, False)]
    assert {a.identifier for a in decoded.assignments} == {USER, PHONE}


def test_facts_before_the_batch_are_skipped() -> None:
    decoded = decode_batch(batch(first=2), INDEX_KEY)
    assert [f.offset for f in decoded.facts] == [2, 3]
    assert decoded.facts[0].profile_id == USER.id_in(WorkspaceId("school"), INDEX_KEY)


def test_message_that_covers_another_range_is_rejected() -> None:
    message = batch().messages[0]
    longer = type(message)(0, 4, message.payload)
    with pytest.raises(ValueError, match="came as 3"):
        decode_batch(Batch(0, 0, 4, (longer,), 0, 0, 0), INDEX_KEY)


def test_rule_that_cannot_be_decoded_has_no_predicates() -> None:
    fact = definition("s", RULES[0])
    fact.payload = SegmentDefined(segment_id="s").SerializeToString()
    defined = rule_definition(fact)
    assert defined is not None
    assert defined.predicates == ()


def evaluation(number: int, true: int = 3) -> Evaluation:
    id_ = ProfileId(number.to_bytes(16, "big"))
    return Evaluation(id_, WorkspaceId("w"), number, frozenset(range(true)), None, 7)


def test_only_the_last_output_has_the_new_log_offset() -> None:
    evaluations = [evaluation(n, 400) for n in range(1_000)]
    backfilled = [ScopedId(WorkspaceId("v"), 2), ScopedId(WorkspaceId("w"), 1)]
    outputs = encode_outputs(Publication(evaluations, (), backfilled), batch(), 4, START_US)
    messages = [ProfilesChanged.FromString(output.payload) for output in outputs]
    assert [(o.first, o.next) for o in outputs] == [(n, n + 1) for n in range(5, 5 + len(outputs))]
    assert all(len(o.payload) < 1_000_000 for o in outputs)
    assert [m.log_offset for m in messages] == [1] * (len(messages) - 1) + [4]
    assert [c.version for m in messages for c in m.changes] == list(range(1_000))
    assert [(m.backfilled_workspace_id, list(m.backfilled_predicates)) for m in messages[:2]] == [
        ("v", [2]),
        ("w", [1]),
    ]


def test_timeline_cursor_survives_its_page_token() -> None:
    cursor = TimelineCursor(-5, FactId(bytes(range(16))), 3)
    assert decode_cursor(encode_cursor(cursor)) == cursor
    assert decode_cursor("") is None
    with pytest.raises(InvalidField):
        decode_cursor("1.2")


def test_lookup_of_a_placeholder_returns_the_id_of_an_empty_value() -> None:
    request = GetProfileRequest()
    request.identifier.namespace, request.identifier.value = "email", "null"
    id_ = lookup_id(WorkspaceId("w"), "CN", request, INDEX_KEY)
    assert id_ == Identifier("email", "").id_in(WorkspaceId("w"), INDEX_KEY)


@pytest.mark.parametrize(
    ("namespace", "value", "shown"),
    [("phone", "abc", r"\+8613812345678"), ("email", "li.example.cn", "name@example.com")],
)
def test_lookup_of_a_malformed_value_says_so_and_shows_a_correct_one(
    namespace: str, value: str, shown: str
) -> None:
    request = GetProfileRequest()
    request.identifier.namespace, request.identifier.value = namespace, value
    with pytest.raises(InvalidField, match=f"no valid {namespace}: .*{shown}") as raised:
        lookup_id(WorkspaceId("w"), "CN", request, INDEX_KEY)
    assert value not in str(raised.value)
