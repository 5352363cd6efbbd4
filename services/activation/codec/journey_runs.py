"""Translates the transitions of runs between the domain and RunTransitioned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from onefold.activation.v1 import journey_runs_pb2 as pb
from onefold.log.v1 import log_pb2

from services.activation.domain.journeys.run import (
    PlannedEffect,
    Question,
    RunEnd,
    RunEnding,
    RunEntry,
    RunPosition,
)
from services.activation.domain.journeys.transitions import (
    EffectKey,
    EffectsPlanned,
    EffectsWithdrawn,
    RunAnswered,
    RunBegan,
    RunChange,
    RunEnded,
    RunMoved,
    RunRecord,
    RunReopened,
    RunRestarted,
    RunTransition,
    WithdrawalReason,
    fold_transitions,
    transition_fact_id,
)
from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.payloads import decode_payload
from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.errors import InvalidField
from services.kernel.ids import FactId, LeafId, WorkspaceId

RUN_TRANSITIONED: str = pb.RunTransitioned.DESCRIPTOR.full_name
#: A transition as the log has it.
LoggedTransition: TypeAlias = pb.RunTransitioned
RUN_ENDS = EnumNumbers(RunEnd, pb.RunEnd, "end of a run")
_WITHDRAWALS = EnumNumbers(WithdrawalReason, pb.WithdrawalReason, "reason")


def transition_to_proto(
    transition: RunTransition, journey_id: str, known_at_us: int
) -> pb.RunTransitioned:
    """Return the fact of a transition that rests on what was known until an instant."""
    message = pb.RunTransitioned()
    _fill(message, transition, journey_id, known_at_us)
    return message


def _fill(
    message: pb.RunTransitioned, transition: RunTransition, journey_id: str, known_at_us: int
) -> None:
    message.run_id, message.number = transition.run_id, transition.number
    message.journey_id, message.known_at_us = journey_id, known_at_us
    match transition.change:
        case RunBegan(entry, version):
            message.began.CopyFrom(pb.RunBegan(entry=_entry_to_proto(entry), version=version))
        case RunRestarted(first, start):
            message.restarted.first.CopyFrom(_entry_to_proto(first))
            message.restarted.start.CopyFrom(_entry_to_proto(start))
        case RunAnswered(answers):
            for question, answer in answers:
                rule = rule_to_proto(question.rule)
                message.answered.answers.add(rule=rule, at_us=question.at_us, answer=answer)
        case EffectsPlanned(effects):
            planned = message.planned.effects
            for effect in effects:
                added = planned.add(step_id=effect.step_id, visit=effect.visit, at_us=effect.at_us)
                _fill_position(added.position, effect.position)
        case EffectsWithdrawn(keys, reason, fact_id):
            for step_id, visit in keys:
                message.withdrawn.keys.add(step_id=step_id, visit=visit)
            message.withdrawn.reason = _WITHDRAWALS.to_proto(reason)
            message.withdrawn.fact_id = fact_id or b""
        case RunMoved(version, position):
            message.moved.version = version
            if position is not None:
                _fill_position(message.moved.position, position)
        case RunEnded(ending):
            message.ended.reason = RUN_ENDS.to_proto(ending.reason)
            message.ended.at_us = ending.at_us
            message.ended.fact_id = ending.fact_id or b""
        case RunReopened():
            message.reopened.SetInParent()


def transition_from_proto(message: pb.RunTransitioned) -> RunTransition:
    """Return the transition of a fact. Raises InvalidField if the fact has none."""
    return RunTransition(message.run_id, message.number, _change(message))


def transitions_to_bytes(
    transitions: Iterable[RunTransition], journey_id: str, known_at_us: int
) -> bytes:
    """Return transitions as a run stores them; those that follow are appended to the bytes."""
    stored = pb.RunTransitions()
    for each in transitions:
        _fill(stored.transitions.add(), each, journey_id, known_at_us)
    return stored.SerializeToString(deterministic=True)


def stored_transitions(stored: bytes) -> list[LoggedTransition]:
    """Return the transitions that a run stores."""
    return list(pb.RunTransitions.FromString(stored).transitions)


def planned_keys(transition: LoggedTransition) -> Iterator[EffectKey]:
    """Yield the steps and visits of the effects that a transition plans."""
    if transition.HasField("planned"):
        for effect in transition.planned.effects:
            yield effect.step_id, effect.visit


def stored_bytes(transitions: Iterable[LoggedTransition]) -> bytes:
    """Return transitions as a run stores them."""
    return pb.RunTransitions(transitions=transitions).SerializeToString(deterministic=True)


def logged_transition(payload: bytes) -> LoggedTransition:
    """Return the transition of the payload of a fact. Raises InvalidField."""
    return decode_payload(pb.RunTransitioned, payload)


def transition_fact(
    workspace_id: WorkspaceId, leaf_id: LeafId, transition: LoggedTransition, actor: str
) -> log_pb2.Fact:
    """Return the fact of a transition, named by its run and its number."""
    return log_pb2.Fact(
        workspace_id=workspace_id,
        fact_id=transition_fact_id(workspace_id, transition.run_id, transition.number),
        kind=RUN_TRANSITIONED,
        leaf_id=leaf_id,
        actor=actor,
        payload=transition.SerializeToString(deterministic=True),
    )


def first_leaf(transitions: Sequence[LoggedTransition]) -> LeafId:
    """Return the leaf of the first entry of a run: that of the last transition that names one."""
    for each in reversed(transitions):
        match each.WhichOneof("change"):
            case "restarted":
                return LeafId(each.restarted.first.leaf_id)
            case "began":
                return LeafId(each.began.entry.leaf_id)
    raise ValueError("a run has a first transition")


def record_from_bytes(stored: bytes) -> RunRecord:
    """Return the record of a run by its transitions, at least one."""
    return known_record_from_bytes(stored)[0]


def known_record_from_bytes(stored: bytes) -> tuple[RunRecord, int]:
    """Return the record of a run by its transitions, at least one, and up to when facts were known.

    That is the instant of the look that has made the last one, Unix microseconds.
    """
    messages = pb.RunTransitions.FromString(stored).transitions
    record = fold_transitions(None, map(transition_from_proto, messages))
    if record is None:
        raise ValueError("a run has no transitions")
    return record, messages[-1].known_at_us


def answers_to_bytes(answers: Mapping[Question, bool]) -> bytes:
    """Return answers as they are stored beside runs."""
    message = pb.RunAnswered()
    for question, answer in answers.items():
        rule = rule_to_proto(question.rule)
        message.answers.add(rule=rule, at_us=question.at_us, answer=answer)
    return message.SerializeToString()


def answers_from_bytes(stored: bytes) -> dict[Question, bool]:
    """Return answers that `answers_to_bytes` has written."""
    answers = pb.RunAnswered.FromString(stored).answers
    return {Question(rule_from_proto(a.rule), a.at_us): a.answer for a in answers}


def _change(message: pb.RunTransitioned) -> RunChange:
    kind = message.WhichOneof("change")
    part: Any = getattr(message, kind) if kind else None
    match kind:
        case "began":
            return RunBegan(_entry(part.entry), part.version)
        case "restarted":
            return RunRestarted(_entry(part.first), _entry(part.start))
        case "answered":
            return RunAnswered(
                tuple((Question(rule_from_proto(a.rule), a.at_us), a.answer) for a in part.answers)
            )
        case "planned":
            return EffectsPlanned(tuple(map(_effect, part.effects)))
        case "withdrawn":
            keys = tuple((key.step_id, key.visit) for key in part.keys)
            reason = _WITHDRAWALS.from_proto(part.reason, "reason")
            return EffectsWithdrawn(keys, reason, _fact_id(part.fact_id))
        case "moved":
            position = _position(part.position) if part.HasField("position") else None
            return RunMoved(part.version, position)
        case "ended":
            reason_ = RUN_ENDS.from_proto(part.reason, "reason")
            return RunEnded(RunEnding(reason_, part.at_us, _fact_id(part.fact_id)))
        case "reopened":
            return RunReopened()
        case _:
            raise InvalidField("the transition of a run has no change", field="change")


def _fact_id(raw: bytes) -> FactId | None:
    return FactId(raw) if raw else None


def _entry_to_proto(entry: RunEntry) -> pb.RunEntry:
    return pb.RunEntry(
        occurred_at_us=entry.occurred_at_us,
        fact_id=entry.fact_id,
        leaf_id=entry.leaf_id,
        recorded_at_us=entry.recorded_at_us,
        properties=msgspec.json.encode(entry.properties, order="sorted"),
        caused_at_us=entry.caused_at_us,
    )


def _entry(message: pb.RunEntry) -> RunEntry:
    return RunEntry(
        message.occurred_at_us,
        FactId(message.fact_id),
        LeafId(message.leaf_id),
        message.recorded_at_us,
        msgspec.json.decode(message.properties, type=dict[str, Any]),
        message.caused_at_us if message.HasField("caused_at_us") else None,
    )


def _effect(message: pb.PlannedEffect) -> PlannedEffect:
    position = _position(message.position)
    return PlannedEffect(message.step_id, message.visit, message.at_us, position)


def _fill_position(message: pb.RunPosition, position: RunPosition) -> None:
    # Also where every part is empty, as a position that is there counts.
    message.SetInParent()
    message.step_id, message.at_us = position.step_id, position.at_us
    message.has_waited = position.has_waited
    # Most runs have neither, and an empty map costs as much as the rest.
    if position.counts:
        message.counts.update(position.counts)
    if position.coupons:
        message.coupons.update(position.coupons)


def _position(message: pb.RunPosition) -> RunPosition:
    return RunPosition(
        message.step_id,
        message.at_us,
        dict(message.counts),
        dict(message.coupons),
        message.has_waited,
    )
