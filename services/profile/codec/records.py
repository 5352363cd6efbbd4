"""Checks corrections and scores in requests, and translates them to facts and from facts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded, TraitCorrected

from services.kernel.errors import InvalidField
from services.kernel.fold.events import CORRECTION, SCORE, EventView
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.rules.names import MAX_NAME, is_reserved_trait
from services.kernel.time import CLOCK_TOLERANCE_US
from services.profile.domain.records import is_model_id

#: The messages of a correction and of a score.
Correction: TypeAlias = TraitCorrected
Score: TypeAlias = ScoreRecorded
Record: TypeAlias = Correction | Score

TRAIT_CORRECTED: str = TraitCorrected.DESCRIPTOR.full_name
SCORE_RECORDED: str = ScoreRecorded.DESCRIPTOR.full_name
MAX_REASON, MAX_VERSION, MAX_VALUE_BYTES = 500, 128, 32 * 1024
#: Lists and objects inside of each other in a value.
MAX_DEPTH = 20
_MAX_INTEGER = 10**308

_decode_json = msgspec.json.Decoder(float_hook=lambda text: _finite(text)).decode


def record_view(fact: Fact) -> EventView | None:
    """Return a correction or a score as the folds read it; None for a fact of another kind."""
    decode = _DECODERS.get(fact.kind)
    return None if decode is None else decode(fact)


def _correction_view(fact: Fact) -> EventView:
    message = TraitCorrected.FromString(fact.payload)
    value = b"" if message.withdrawn else message.value
    record = (fact.occurred_at_us, fact.fact_id, value, fact.actor, message.reason)
    return EventView(CORRECTION, message.trait, *record[:2], record=record)


def _score_view(fact: Fact) -> EventView:
    message = ScoreRecorded.FromString(fact.payload)
    record = (message.as_of_us, fact.fact_id, message.score, message.model_version)
    return EventView(SCORE, message.model_id, *record[:2], record=record)


_DECODERS: dict[str, Callable[[Fact], EventView]] = {
    TRAIT_CORRECTED: _correction_view,
    SCORE_RECORDED: _score_view,
}


def record_fact(
    workspace_id: WorkspaceId,
    leaf_id: LeafId,
    message: Record,
    actor: str,
    index_key: IndexKey,
    before: bytes = b"",
) -> Fact:
    """Return the fact of a correction or a score.

    Its id is a function of the message, the leaf and `before`, the fact that counted until now: to
    send the same while it counts is the same fact, and to return to it later is a new one.
    """
    kind, payload = message.DESCRIPTOR.full_name, message.SerializeToString(deterministic=True)
    content = b"\0".join((kind.encode(), leaf_id.hex().encode(), before.hex().encode(), payload))
    return Fact(
        workspace_id=workspace_id,
        fact_id=FactId(index_key.content_tag(workspace_id, content)),
        kind=kind,
        leaf_id=leaf_id,
        occurred_at_us=message.as_of_us if isinstance(message, ScoreRecorded) else 0,
        actor=actor,
        payload=payload,
    )


def checked_correction(message: TraitCorrected) -> TraitCorrected:
    """Return a correction in a request without surrounding blanks. Raises InvalidField."""
    trait, reason = message.trait, message.reason.strip()
    if not 0 < len(trait) <= MAX_NAME or "\0" in trait:
        error = f"a name of a trait has 1 to {MAX_NAME} characters and no NUL"
        raise InvalidField(error, field="correction.trait")
    if is_reserved_trait(trait):
        error = "a touch or a score is not stated: correct what the source or the model sends"
        raise InvalidField(error, field="correction.trait")
    if not 0 < len(reason) <= MAX_REASON or "\0" in reason:
        error = f"say why, in 1 to {MAX_REASON} characters without NUL"
        raise InvalidField(error, field="correction.reason")
    if message.withdrawn == bool(message.value):
        error = "send a value, or set withdrawn and send none"
        raise InvalidField(error, field="correction.value")
    if message.value:
        _check_value(message.value)
    return TraitCorrected(
        trait=trait, value=message.value.strip(), withdrawn=message.withdrawn, reason=reason
    )


def _check_value(value: bytes) -> None:
    try:
        decoded = _decode_json(value)
        value.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
        error = "the value is no valid JSON in UTF-8: put a text into quotes"
        raise InvalidField(error, field="correction.value") from None
    if not _is_readable(decoded):
        error = f"a value has at most {MAX_DEPTH} levels, and numbers below 1.7e308"
        raise InvalidField(error, field="correction.value")
    if len(value) > MAX_VALUE_BYTES or b"\\u0000" in value:
        error = f"a value has at most {MAX_VALUE_BYTES} bytes and no NUL"
        raise InvalidField(error, field="correction.value")


def _finite(text: str) -> float:
    """Return a number with a point or an exponent. Raises ValueError beyond every double."""
    number = float(text)
    if math.isinf(number):
        raise ValueError("the number is too large")
    return number


def _is_readable(value: object, depth: int = 0) -> bool:
    """Return whether a decoded value is not nested too deep and has no number beyond a double."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return depth < MAX_DEPTH and all(_is_readable(part, depth + 1) for part in parts)
    return not isinstance(value, int) or abs(value) < _MAX_INTEGER


def checked_score(message: ScoreRecorded, now_us: int, path: str) -> ScoreRecorded:
    """Return a score at `path` in a request; `now_us`: the log's clock. Raises InvalidField."""
    if not is_model_id(message.model_id):
        error = "the id of a model has 1 to 63 characters of a-z, 0-9, '-' and '_'"
        raise InvalidField(error, field=f"{path}.model_id")
    version = message.model_version
    if not 0 < len(version) <= MAX_VERSION or not version.isprintable():
        error = f"send a version of 1 to {MAX_VERSION} printable characters"
        raise InvalidField(error, field=f"{path}.model_version")
    if not math.isfinite(message.score):
        raise InvalidField("a score is a finite number", field=f"{path}.score")
    if not 0 < message.as_of_us <= now_us + CLOCK_TOLERANCE_US:
        error = "send when the score was computed, in Unix microseconds and not in the future"
        raise InvalidField(error, field=f"{path}.as_of_us")
    return message
