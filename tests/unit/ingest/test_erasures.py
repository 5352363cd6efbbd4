"""Receipts of erasures, and the events of blocked persons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from index_key import INDEX_KEY
from onefold.identity.v1.identity_facts_pb2 import LinkDecided
from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2 import AppendRequest
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.ingest.api.log_grpc import LogRpc
from services.ingest.codec.certificate import certify
from services.ingest.codec.erasure import names_person
from services.ingest.codec.events import ProtoEvent
from services.ingest.commands.intake import EventIntake
from services.ingest.domain import offsets
from services.ingest.domain.erasure import (
    ErasedPerson,
    ErasureRequest,
    ErasureStatus,
    ids_by_workspace,
)
from services.ingest.domain.events import Producer, QuarantinedEvent, RawEvent, Refusal
from services.ingest.domain.facts import AppendResult, NewFact
from services.ingest.domain.offsets import ERASED, dedup_keys, plan_append
from services.ingest.store.receipts import ErasureReceipts
from services.kernel.errors import StoreUnavailable
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import FactId, LeafId
from services.kernel.tokens import Token

WORKSPACE = "w"
REQUEST = ErasureRequest(
    WORKSPACE, b"r" * 16, 7, "key", "GDPR 17", True, (b"a" * 16,), (b"b" * 16,), (3, 4)
)


def test_receipts_of_erasures_are_read_as_they_were_added(tmp_path: Path) -> None:
    receipts = ErasureReceipts(tmp_path / "own" / "erasures.jsonl")
    assert receipts.read() == []
    other = REQUEST._replace(request_id=b"s" * 16, block=False)
    for request in (REQUEST, other, REQUEST):
        receipts.add(request)
    assert receipts.read() == [REQUEST, other]
    assert (tmp_path / "own" / "erasures.jsonl").stat().st_mode & 0o777 == 0o600


def test_receipt_that_was_cut_off_is_left_out_and_the_next_one_is_read(tmp_path: Path) -> None:
    file = tmp_path / "erasures.jsonl"
    receipts = ErasureReceipts(file)
    receipts.add(REQUEST)
    file.write_text(file.read_text("utf-8")[:-9], encoding="utf-8")
    assert receipts.read() == []
    other = REQUEST._replace(request_id=b"s" * 16)
    receipts.add(other)
    assert receipts.read() == [other]


@pytest.mark.parametrize(
    ("written", "read"), [("\n", "\r\n"), ("\n", "\n\n")], ids=["windows", "blank lines"]
)
def test_receipts_that_an_editor_has_saved_are_read_to_the_last_one(
    tmp_path: Path, written: str, read: str
) -> None:
    file = tmp_path / "erasures.jsonl"
    receipts = ErasureReceipts(file)
    receipts.add(REQUEST)
    text = file.read_text("utf-8").replace(written, read).strip()  # without the last line's end
    file.write_bytes(text.encode())
    assert receipts.read() == [REQUEST]


@pytest.mark.parametrize(
    "damage", [b"{\xff}", b"{}", b'{"request_id": 5}', b"not json}"], ids=range(4)
)
def test_receipt_that_is_damaged_stops_the_erasures_and_its_line_is_named(
    tmp_path: Path, damage: bytes
) -> None:
    file = tmp_path / "erasures.jsonl"
    receipts = ErasureReceipts(file)
    receipts.add(REQUEST)
    with file.open("ab") as appended:
        appended.write(damage + b"\n")
    with pytest.raises(StoreUnavailable, match="line 3 of the receipts"):
        receipts.read()


def test_receipts_in_a_folder_that_cannot_be_made_stop_the_erasure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="receipts of erasures"):
        ErasureReceipts(tmp_path / "file" / "erasures.jsonl").add(REQUEST)


def test_certificate_is_verified_with_the_public_key_and_no_other_statement_is() -> None:
    status = ErasureStatus(
        b"r" * 16, 1_700_000_000_000_000, "key_1", "GDPR 17", True, 3, 9, 2, 1, 5, [1, 2]
    )
    signed = certify(WORKSPACE, status, INDEX_KEY)
    assert certify(WORKSPACE, status, INDEX_KEY) == signed
    public = Ed25519PublicKey.from_public_bytes(signed.public_key)
    public.verify(signed.signature, signed.statement.encode())
    for other in (signed.statement + " ", certify("v", status, INDEX_KEY).statement):
        with pytest.raises(InvalidSignature):
            public.verify(signed.signature, other.encode())
    found = json.loads(signed.statement)
    assert (found["facts"], found["facts_of_others"], found["identifiers"]) == (9, 2, 3)
    assert found["requested_at"] == "2023-11-14T22:13:20+00:00"


def test_certificate_names_what_each_service_has_deleted_and_which_have_not_yet() -> None:
    folded = {"profile": {"leaves": 2}, "activation": {"runs": 1}}
    status = ErasureStatus(
        *(b"r" * 16, 1, "key_1", "GDPR 17", True, 3, 9, 2, 1, 5, [1, 2]), folded=folded
    )
    found = json.loads(certify(WORKSPACE, status, INDEX_KEY).statement)
    assert found["rows_deleted_by"] == folded
    assert found["not_yet_deleted_by"] == ["identity", "segment"]


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ((("email", " A@x.example "),), True),
        ((("user_id", "other"), ("email", "a@X.example")), True),
        ((("user_id", "a@x.example"),), False),
        ((("email", "\0"), ("email", 5)), False),
        ((), False),
    ],
)
def test_event_of_a_blocked_identifier_is_found_in_every_spelling(
    identifiers: tuple[tuple[str, object], ...], expected: bool
) -> None:
    id_ = Identifier("email", "a@x.example").id_in(WORKSPACE, INDEX_KEY)
    blocked = ids_by_workspace([(WORKSPACE, [b"o" * 16]), (WORKSPACE, [id_]), ("v", [])])
    person = ErasedPerson(WORKSPACE, "CN", blocked[WORKSPACE], INDEX_KEY)
    event = RawEvent(type=1, identifiers=identifiers)
    assert person.is_named_by(event) is expected


PERSON = ErasedPerson(
    WORKSPACE,
    "CN",
    frozenset(
        Identifier(*one).id_in(WORKSPACE, INDEX_KEY)
        for one in (("user_id", "u1"), ("email", "a@x.example"), ("phone", "+8613800000001"))
    ),
    INDEX_KEY,
)


def message(namespace: str, value: str) -> bytes:
    event = Event(identifiers=[IdentifierMessage(namespace=namespace, value=value)])
    return event.SerializeToString()


@pytest.mark.parametrize(
    ("format_", "raw", "expected"),
    [
        ("call:track", b'{"userId": "u1"}', True),  # too short to be searched as text
        ("call:track", b'{"userId": "\\u0075\\u0031", "properties": 5}', True),
        ("call:identify", b'{"userId": "other", "traits": {"email": "A@X.example"}}', True),
        ("event", message("phone", "138 0000 0001"), True),
        ("event", message("email", " A@x.EXAMPLE"), True),
        ("event", message("email", "b@x.example"), False),
        ("event", b"\xff", False),
        ("call:track", b'{"userId": "other", "properties": {"of": "u1"}}', False),
        ("call:track", b"[", False),
        ("body", b"u1", False),
    ],
    ids=range(10),
)
def test_refused_event_of_a_person_is_found_in_every_spelling(
    format_: str, raw: bytes, expected: bool
) -> None:
    refusal = Refusal("VALUE_INVALID", "name", "")
    entry = QuarantinedEvent(b"q" * 16, WORKSPACE, "s", "http", refusal, format_, raw, 1)
    assert names_person(entry, PERSON) is expected


class Blocked:
    """The identifiers of a person who is blocked in every workspace."""

    def of(self, _workspace_id: str) -> frozenset[bytes]:
        return PERSON.ids


class Saved:
    """A quarantine that has room for every event."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    async def save(self, entries: Sequence[QuarantinedEvent]) -> frozenset[bytes]:
        self.raw += [entry.raw for entry in entries]
        return frozenset()


async def test_events_of_a_blocked_person_that_are_refused_as_a_batch_are_not_quarantined() -> None:
    class Log:
        index_key = INDEX_KEY

    saved, unused = Saved(), cast(Any, None)
    metrics = cast(Any, type("Metrics", (), {"count_rejection": lambda *_: None})())
    intake = EventIntake(
        cast(Any, Log()), cast(Any, saved), unused, unused, metrics, unused, cast(Any, Blocked())
    )
    own, other = message("email", "A@x.example"), message("email", "b@x.example")
    events = [ProtoEvent(Event.FromString(raw)) for raw in (own, other)]
    producer = Producer(WORKSPACE, "s", "", "nats", "CN")
    refusal = Refusal("KEY_EXPIRED", "", "")
    await intake.quarantine_events(producer, events, refusal, [1, 2])
    assert saved.raw == [other]
    await intake.quarantine_events(producer, events[:1], refusal, [1])
    assert saved.raw == [other]


class AppendedFacts:
    """A log that appends every fact."""

    index_key = INDEX_KEY

    def __init__(self) -> None:
        self.leaves: list[bytes | None] = []

    async def append(
        self, facts: Sequence[NewFact], *, atomic: bool, known_us: int
    ) -> AppendResult:
        self.leaves += [fact.leaf_id for fact in facts]
        token = Token((7,)) if facts else Token()
        return AppendResult(len(facts), frozenset(), frozenset(), token, 1)

    async def heads(self) -> Any:
        return SimpleNamespace(token=Token((9,)))


def about(leaf_id: bytes, kind: str = "k.0", payload: bytes = b"") -> Fact:
    fact_id = bytes([len(leaf_id), len(payload)]) * 8
    return Fact(
        workspace_id=WORKSPACE, fact_id=fact_id, kind=kind, leaf_id=leaf_id, payload=payload
    )


async def test_facts_of_services_about_a_blocked_person_are_not_appended() -> None:
    log, kinds = AppendedFacts(), frozenset({"k.0", LinkDecided.DESCRIPTOR.full_name})
    rpc = LogRpc(cast(Any, log), may_advance=False, kinds=kinds, blocked=cast(Any, Blocked()))
    own, other = min(PERSON.ids), b"o" * 16
    one = IdentifierMessage(namespace="user_id", value="wang")
    pairs = [
        LinkDecided(a=one, b=IdentifierMessage(namespace="user_id", value=value))
        for value in ("u1", "u2")
    ]
    decided = [about(other, *(p.DESCRIPTOR.full_name, p.SerializeToString())) for p in pairs]
    facts = [about(own), about(other), *decided, about(b"")]
    response = await rpc.Append(AppendRequest(facts=facts), None)
    assert log.leaves == [other, other, None]
    assert (response.appended, response.duplicates, list(response.token.offsets)) == (3, 2, [7])
    # The caller gets a state of the log that it can wait for.
    response = await rpc.Append(AppendRequest(facts=facts[:1]), None)
    assert (response.appended, response.duplicates, list(response.token.offsets)) == (0, 1, [9])


def test_fact_that_was_erased_is_a_repeat_whatever_is_sent_again() -> None:
    fact = NewFact(
        WORKSPACE, FactId(b"f" * 16), "event", LeafId(b"l" * 16), 1, "", "", b"p", b"t" * 16
    )
    keys = dedup_keys([fact], 2)
    kinds = {"event": 1, ERASED: 2}
    [key] = keys[0]
    for kind_id, conflicts in ((2, 0), (3, 1)):
        plan = plan_append(
            [offsets.AppendRequest([fact])], [keys], {key: (kind_id, b"o" * 16)}, kinds
        )
        [outcome] = plan.assignments
        assert not plan.facts
        assert len(outcome.conflicting) == conflicts  # type: ignore[union-attr]
        assert len(outcome.duplicates) == 1 - conflicts  # type: ignore[union-attr]
