from __future__ import annotations

import pytest
from onefold.identity.v1.identity_stream_pb2 import FactsAttributed
from onefold.log.v1.log_pb2 import Fact, FactBatch
from onefold.type.v1.event_pb2 import EVENT_TYPE_ALIAS, EVENT_TYPE_GROUP, EVENT_TYPE_PAGE, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.messaging.stream import Batch, StreamMessage
from services.identity.codec import bus as wire
from services.identity.domain.evidence import (
    FirstSeen,
    IdentifierInWorkspace,
    EvidenceKind,
    span_of,
)
from services.identity.domain.rows import IdentifierAssignment
from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId
from services.kernel.time import DAY_US

LEAF = bytes(range(16))


def fact(offset: int, at: int = 1, kind: int = EVENT_TYPE_PAGE, leaf: bytes = LEAF) -> Fact:
    event = Event(type=kind, identifiers=[IdentifierMessage(namespace="user_id", value="u")])  # type: ignore[arg-type]
    return Fact(
        offset=offset,
        workspace_id="w",
        fact_id=offset.to_bytes(16, "big"),
        kind=wire.EVENT if leaf else "onefold.log.v1.ClockTicked",
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


def test_only_the_earliest_of_the_same_names_is_kept() -> None:
    heard = wire.decode_batch(
        batch(0, message(fact(0, at=7), fact(1, at=5), fact(2, at=5), fact(3, at=6)))
    )
    assert list(heard.observations.values()) == [
        span_of(FirstSeen(5, FactId((1).to_bytes(16, "big"))))
    ]
    assert heard.leaves == [LEAF] * 4
    assert heard.log_time_us == 103


def test_an_alias_is_stated_and_not_only_seen() -> None:
    heard = wire.decode_batch(batch(0, message(fact(0), fact(1, kind=EVENT_TYPE_ALIAS))))
    strengths = {names[2] for names in heard.observations}
    assert strengths == {EvidenceKind.STATED, EvidenceKind.OBSERVED}


def test_until_when_the_same_names_were_seen_is_kept() -> None:
    days = [fact(n, at=day * DAY_US + 1) for n, day in enumerate((33, 1, 95, 64))]
    (span,) = wire.decode_batch(batch(0, message(*days))).observations.values()
    assert (span.first.occurred_at_us, span.last_seen_day) == (DAY_US + 1, 119)


def test_a_group_event_names_the_person_here_and_the_account_there() -> None:
    """Never both together: nothing links a person and an account."""
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
    heard = wire.decode_batch(batch(0, message(of_person, of_account)))
    assert [(names[1], names[3]) for names in heard.observations] == [
        (LEAF, (("user_id", "u", False),)),
        (b"a" * 16, (("account_id", "acme", False), ("account_domain", "acme.cn", False))),
    ]


def test_facts_without_a_leaf_are_set_apart() -> None:
    heard = wire.decode_batch(batch(0, message(fact(0), fact(1, leaf=b""))))
    assert heard.leaves == [LEAF, b""]
    assert [f.offset for f in heard.leafless] == [1]


def test_a_whole_message_is_passed_on_as_it_came() -> None:
    came = message(fact(4), fact(5))
    (part,) = wire.decode_batch(batch(4, came)).parts
    assert part.payload is came.payload or part.payload == came.payload
    assert (part.first, part.next) == (4, 6)


def test_large_messages_are_passed_on_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    came = [message(fact(n)) for n in range(5)]
    monkeypatch.setattr(wire, "_OUTPUT_BYTES", 2 * len(came[4].payload) + 1)
    heard = wire.decode_batch(batch(0, *came))
    assert [(p.first, p.next) for p in heard.parts] == [(0, 2), (2, 4), (4, 5)]
    learnt = IdentifierAssignment(
        IdentifierId(LEAF),
        ProfileId(LEAF),
        9,
        IdentifierInWorkspace(WorkspaceId("w"), Identifier("user_id", "u")),
    )
    said = wire.outputs(3, heard, [bytes([n]) * 16 for n in range(5)], [learnt])
    told = [FactsAttributed.FromString(output.payload) for output in said]
    assert [len(t.assignments) for t in told] == [1, 0, 0]
    assert told[1].profile_ids == bytes([2]) * 16 + bytes([3]) * 16
    assert [FactBatch.FromString(t.fact_batch).first_offset for t in told] == [0, 2, 4]
    assert [(o.first, o.next) for o in said] == [(0, 2), (2, 4), (4, 5)]


def test_a_part_that_was_seen_before_is_cut_off() -> None:
    heard = wire.decode_batch(batch(2, message(fact(0), fact(1), fact(2)), message(fact(3))))
    (part,) = heard.parts
    passed_on = FactBatch.FromString(part.payload)
    assert [f.offset for f in passed_on.facts] == [2, 3]
    assert (passed_on.first_offset, passed_on.shard, part.first, part.next) == (2, 3, 2, 4)
    assert len(heard.leaves) == 2


def test_a_message_must_cover_what_it_says() -> None:
    short = message(fact(0), fact(1))
    with pytest.raises(ValueError, match="came as 2"):
        wire.decode_batch(batch(0, StreamMessage(0, 3, short.payload)))


@pytest.mark.parametrize("told", ["", "xyz", "0" * 31, "g" * 32])
def test_ids_have_32_digits(told: str) -> None:
    with pytest.raises(InvalidField) as refused:
        list(wire.requested_profiles(["0" * 32, told]))
    assert refused.value.field == "profile_ids[1]"
