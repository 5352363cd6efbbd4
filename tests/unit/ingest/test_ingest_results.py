"""Tests the responses to a batch, and that every reason of a refusal is in the API contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from onefold.type.v1.errors_pb2 import ErrorReason

import services.ingest
from services.ingest.codec.results import result_to_json, result_to_proto, segment_field_name
from services.ingest.domain.events import IngestResult, Refusal, Rejection
from services.kernel.tokens import Token


def test_every_reason_is_in_the_api_contract() -> None:
    folder = Path(str(services.ingest.__file__)).parent
    text = "".join(file.read_text("utf-8") for file in folder.rglob("*.py"))
    reasons = set(re.findall(r'Refusal\(\s*"([A-Z_]+)"', text))
    assert len(reasons) >= 11
    assert reasons <= {n.removeprefix("ERROR_REASON_") for n in dict(ErrorReason.items())}


def test_response_has_the_counts_rejections_and_token_of_a_batch() -> None:
    refusal = Refusal("NO_IDENTIFIER", "identifiers", "add one")
    result = IngestResult(2, 1, (Rejection(3, refusal, b"q" * 16),), Token((1, 2)))
    message = result_to_proto(result)
    assert (message.accepted, message.duplicates) == (2, 1)
    assert message.rejections[0].field == "events[3].identifiers"
    assert list(message.token.offsets) == [1, 2]
    response = result_to_json(result, lambda offsets: f"sealed:{list(offsets)}")
    assert response["success"] is True
    assert response["token"] == "sealed:[1, 2]"


def test_response_to_a_batch_of_refused_events_is_no_success() -> None:
    rejection = Rejection(0, Refusal("NAME_MISSING", "name", "add one"), b"q" * 16)
    result = IngestResult(0, 0, (rejection,), Token())
    assert result_to_json(result, str)["success"] is False


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("message_id", "messageId"),
        ("identifiers[1]", "userId"),
        ("occurred_at_us", "timestamp"),
        ("properties", "properties"),
        ("", ""),
    ],
)
def test_field_has_its_name_of_the_segment_specification(field: str, name: str) -> None:
    assert segment_field_name(field) == name
