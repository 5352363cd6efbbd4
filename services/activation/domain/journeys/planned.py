"""Computes what a look changes in the ledger: the effects that runs plan, and those withdrawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import RunLook
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.run import PlannedEffect
from services.activation.domain.journeys.transitions import (
    EffectsPlanned,
    EffectsWithdrawn,
    RunRecord,
    run_effect_id,
)
from services.activation.domain.model import RunEffect
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId, to_hex
from services.kernel.journeys.model import DateTrigger, DropStep, EffectStep, JoinStep, SendStep
from services.kernel.rules.values import Json

_ENTRY: Final = "entry"


class Withdrawn(NamedTuple):
    """An effect that does not follow any more."""

    effect_id: bytes
    leaf_id: LeafId
    #: With the id of the goal or the leave, if there is one: `overtaken:ID`.
    reason: str


class LedgerChanges(NamedTuple):
    """What a look changes in the ledger; the withdrawals come first."""

    withdrawn: list[Withdrawn]
    planned: list[RunEffect]


def ledger_changes(
    workspace_id: WorkspaceId,
    profile_id: ProfileId,
    history: JourneyHistory,
    looks: Iterable[RunLook],
) -> LedgerChanges:
    """Return what the new transitions of a person's runs change in the ledger."""
    changes = LedgerChanges([], [])
    for look in looks:
        record, planned = look.record, dict[tuple[str, int], PlannedEffect]()
        for transition in look.transitions:
            match transition.change:
                case EffectsPlanned(effects):
                    planned |= {effect.key: effect for effect in effects}
                case EffectsWithdrawn(keys, reason, fact_id):
                    _withdraw(changes, record, keys, reason.value, fact_id)
                    for key in keys:
                        planned.pop(key, None)
                case _:
                    pass
        program = history.program(record.version)
        changes.planned.extend(
            _run_effect(workspace_id, profile_id, program, record, effect)
            for effect in planned.values()
        )
    return changes


def effects_of(
    workspace_id: WorkspaceId, profile_id: ProfileId, history: JourneyHistory, record: RunRecord
) -> list[RunEffect]:
    """Return all effects that a run has planned and not withdrawn."""
    program = history.program(record.version)
    return [
        _run_effect(workspace_id, profile_id, program, record, effect) for effect in record.planned
    ]


def _withdraw(
    changes: LedgerChanges,
    record: RunRecord,
    keys: Iterable[tuple[str, int]],
    reason: str,
    fact_id: FactId | None,
) -> None:
    leaf_id = record.first.leaf_id
    for key in keys:
        effect_id = run_effect_id(record.run_id, key)
        full = f"{reason}:{to_hex(fact_id)}" if fact_id else reason
        changes.withdrawn.append(Withdrawn(effect_id, leaf_id, full))


def _run_effect(
    workspace_id: WorkspaceId,
    profile_id: ProfileId,
    program: Program,
    record: RunRecord,
    effect: PlannedEffect,
) -> RunEffect:
    journey, step = program.journey, program.effects[effect.step_id]
    is_date = isinstance(journey.entry.by, DateTrigger)
    sent = step if isinstance(step, SendStep) else None
    receiver = step.destination_id if isinstance(step, (SendStep, JoinStep, DropStep)) else ""
    return RunEffect(
        run_effect_id(record.run_id, effect.key),
        workspace_id,
        record.run_id,
        journey.journey_id,
        record.version,
        effect.step_id,
        effect.visit,
        record.first.leaf_id,
        profile_id,
        effect.at_us,
        receiver,
        (sent.purpose if sent else "") or journey.purpose,
        journey.priority,
        effect.at_us + sent.valid_us if sent and sent.valid_us else 0,
        msgspec.json.encode(_variables(step, record, is_date=is_date), order="sorted"),
    )


def _variables(step: EffectStep, record: RunRecord, *, is_date: bool) -> dict[str, Any]:
    """Return what a template knows of the run; `is_date`: whether a date has begun it."""
    entry = record.start.properties
    found: dict[str, Any] = {"entry": entry}
    if is_date:
        found["occasion"] = entry
    if isinstance(step, SendStep):
        for name, path in step.values.items():
            kind, _, rest = path.partition(".")
            if kind == _ENTRY:
                found[name] = _at(entry, rest)
    return found


def _at(value: Any, path: str) -> Json:
    """Return the part of a value at a dotted path; None where it has none."""
    for name in filter(None, path.split(".")):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
