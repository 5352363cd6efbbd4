"""Tests the decoding of log batches and the encoding of outputs."""

from __future__ import annotations

import pytest
from onefold.identity.v1.identity_stream_pb2 import FactsAttributed
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, EVENT_TYPE_PAGE, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from onefold.type.v1.source_trust_pb2 import (
    SOURCE_TRUST_PUBLIC,
    SOURCE_TRUST_SERVER,
    SOURCE_TRUST_UNSPECIFIED,
)

from services.chassis.messaging.stream import Batch, StreamMessage
from services.identity.codec import bus
from services.identity.codec.requests import decode_profile_ids
from services.identity.domain.evidence import (
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    span_of,
)
from services.identity.domain.rows import IdentifierAssignment
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId
from services.kernel.time import DAY_US

LEAF = bytes(range(16))


def fact(
    offset: int,
    at: int = 1,
    kind: int = EVENT_TYPE_PAGE,
    leaf: bytes = LEAF,
    trust: int = SOURCE_TRUST_SERVER,
) -> Fact:
    identifier = IdentifierMessage(namespace="user_id", value="u")
    event = Event(type=kind, identifiers=[identifier], trust=trust)  # type: ignore[arg-type]
    return Fact(
        offset=offset,
        workspace_id="w",
        fact_id=offset.to_bytes(16, "big"),
        kind=bus.EVENT if leaf else "onefold.log.v1.ClockTicked",
        leaf_id=leaf,
        occurred_at_us=at,
        recorded_at_us=100 + offset,
        payload=event.SerializeToString(),
    )


def message(*facts: Fact) -> StreamMessage:
    batch = FactBatch(shard=3, first_offset=facts[0].offset, facts=facts)
    return StreamMessage(facts[0].offset, facts[-1].offset + 1, batch.SerializeToString())


def batch(first: int, *messages: StreamMessage) -> Batch:
    return Batch(3, first, messages[-1].next, messages, first, first, 0)


def test_decode_same_identifiers_keeps_the_earliest_sighting() -> None:
    facts = (fact(0, at=7), fact(1, at=5), fact(2, at=5), fact(3, at=6))
    decoded = bus.decode_batch(batch(0, message(*facts)))
    first = FirstSeen(5, FactId((1).to_bytes(16, "big")))
    assert list(decoded.observations.values()) == [span_of(first)]
    assert decoded.leaves == [LEAF] * 4
    assert decoded.log_time_us == 103


def test_decode_alias_is_stated_and_other_events_are_observed() -> None:
    decoded = bus.decode_batch(batch(0, message(fact(0), fact(1, kind=EVENT_TYPE_ALIAS))))
    kinds = {identifier_set[2] for identifier_set in decoded.observations}
    assert kinds == {EvidenceKind.STATED, EvidenceKind.OBSERVED}


@pytest.mark.parametrize("trust", [SOURCE_TRUST_UNSPECIFIED, SOURCE_TRUST_PUBLIC])
@pytest.mark.parametrize("kind", [EVENT_TYPE_PAGE, EVENT_TYPE_ALIAS])
def test_decode_event_of_a_public_source_is_a_claim(kind: int, trust: int) -> None:
    decoded = bus.decode_batch(batch(0, message(fact(0, kind=kind, trust=trust))))
    assert {identifier_set[2] for identifier_set in decoded.observations} == {EvidenceKind.CLAIMED}


def test_decode_same_identifiers_keeps_the_last_day() -> None:
    days = [fact(n, at=day * DAY_US + 1) for n, day in enumerate((33, 1, 95, 64))]
    (span,) = bus.decode_batch(batch(0, message(*days))).observations.values()
    assert (span.first.occurred_at_us, span.last_seen_day) == (DAY_US + 1, 119)


def test_decode_group_event_has_the_person_or_the_account_and_never_both() -> None:
    event = Event(
        type=EVENT_TYPE_GROUP,
        identifiers=[IdentifierMessage(namespace="user_id", value="u")],
        group_id="acme",
        group_identifiers=[IdentifierMessage(namespace="account_domain", value="acme.cn")],
    )
    of_person = fact(0)
    of_person.payload = event.SerializeToString()
    event.ClearField("identifiers")
    event.member_leaf_id = LEAF
    of_account = fact(1, leaf=b"a" * 16)
    of_account.payload = event.SerializeToString()
    decoded = bus.decode_batch(batch(0, message(of_person, of_account)))
    assert [(leaf, raw) for _, leaf, _, raw in decoded.observations] == [
        (LEAF, (("user_id", "u", False),)),
        (b"a" * 16, (("account_id", "acme", False), ("account_domain", "acme.cn", False))),
    ]


def test_decode_facts_without_a_leaf_are_broadcast() -> None:
    decoded = bus.decode_batch(batch(0, message(fact(0), fact(1, leaf=b""))))
    assert decoded.leaves == [LEAF, b""]
    assert [f.offset for f in decoded.broadcast] == [1]


def test_decode_whole_message_is_published_unchanged() -> None:
    received = message(fact(4), fact(5))
    (part,) = bus.decode_batch(batch(4, received)).parts
    assert part.payload is received.payload or part.payload == received.payload
    assert (part.first, part.next) == (4, 6)


def test_outputs_large_messages_are_published_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    received = [message(fact(n)) for n in range(5)]
    monkeypatch.setattr(bus, "_OUTPUT_BYTES", 2 * len(received[4].payload) + 1)
    decoded = bus.decode_batch(batch(0, *received))
    assert [(p.first, p.next) for p in decoded.parts] == [(0, 2), (2, 4), (4, 5)]
    user = IdentifierInWorkspace(WorkspaceId("w"), Identifier("user_id", "u"))
    assignment = IdentifierAssignment(IdentifierId(LEAF), ProfileId(LEAF), 9, user)
    outputs = bus.outputs(3, decoded, [bytes([n]) * 16 for n in range(5)], [assignment])
    published = [FactsAttributed.FromString(output.payload) for output in outputs]
    assert [len(one.assignments) for one in published] == [1, 0, 0]
    assert published[1].profile_ids == bytes([2]) * 16 + bytes([3]) * 16
    assert [FactBatch.FromString(one.fact_batch).first_offset for one in published] == [0, 2, 4]
    assert [(o.first, o.next) for o in outputs] == [(0, 2), (2, 4), (4, 5)]


def test_decode_part_before_the_first_offset_is_dropped() -> None:
    messages = (message(fact(0), fact(1), fact(2)), message(fact(3)))
    decoded = bus.decode_batch(batch(2, *messages))
    (part,) = decoded.parts
    published = FactBatch.FromString(part.payload)
    assert [f.offset for f in published.facts] == [2, 3]
    assert (published.first_offset, published.shard, part.first, part.next) == (2, 3, 2, 4)
    assert len(decoded.leaves) == 2


def test_decode_message_with_missing_facts_is_rejected() -> None:
    short = message(fact(0), fact(1))
    with pytest.raises(ValueError, match="hold 2 facts"):
        bus.decode_batch(batch(0, StreamMessage(0, 3, short.payload)))


@pytest.mark.parametrize("text", ["", "xyz", "0" * 31, "g" * 32])
def test_decode_profile_id_without_32_digits_is_rejected(text: str) -> None:
    with pytest.raises(InvalidField) as error:
        list(decode_profile_ids(["0" * 32, text]))
    assert error.value.field == "profile_ids[1]"
