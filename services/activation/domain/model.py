"""Defines destinations, membership changes and effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import msgspec

from services.activation.domain.channels import Channel
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, hash_id


class Trigger(IntEnum):
    """The kind of a membership change; the numbers of onefold.activation.v1.Trigger."""

    ENTERED = 1
    LEFT = 2


class DeliveryState(IntEnum):
    """The state of an effect; the numbers of onefold.activation.v1.DeliveryState."""

    PENDING = 1
    #: An attempt was started and its result is not known.
    UNKNOWN = 2
    DELIVERED = 3
    DEAD = 4
    SUPPRESSED = 5
    #: An attempt was made, its answer was lost, and a repeat could be a second message.
    UNCONFIRMED = 6
    #: A run asks for it, and the log does not have the transition of the run yet.
    PLANNED = 7
    #: The gate has postponed it.
    HELD = 8
    #: The provider has accepted it, and may report what becomes of it.
    ACCEPTED = 9
    #: The provider had accepted it, and has reported that it did not arrive.
    UNDELIVERED = 10


@dataclass(frozen=True, slots=True)
class Destination:
    """One version of a configured channel."""

    workspace_id: WorkspaceId
    destination_id: str
    version: int
    title: str
    channel: Channel
    segment_ids: tuple[str, ...]
    triggers: frozenset[Trigger]
    #: A JSON object (UTF-8).
    content: bytes
    #: Names of the traits that a message includes.
    traits: tuple[str, ...]
    retired: bool = False
    #: The template of the messages; empty = the channel has none.
    template_id: str = ""
    #: Where the address of a person comes from; empty = as the channel has it.
    address: str = ""

    def at_version(self, version: int) -> Destination:
        """Return the same destination with another version."""
        return replace(self, version=version)

    def subscribes_to(self, segment_id: str, trigger: Trigger) -> bool:
        return not self.retired and segment_id in self.segment_ids and trigger in self.triggers

    def predecessor(self, ordinal: int) -> int:
        """Return the ordinal of the last change before this one that triggers; 0 = none."""
        return max(0, ordinal - (1 if len(self.triggers) > 1 else 2))


@dataclass(frozen=True, slots=True)
class TriggeringChange:
    """A profile enters or leaves a segment, as published by segment."""

    workspace_id: WorkspaceId
    segment_id: str
    profile_id: ProfileId
    trigger: Trigger
    #: Counts the changes of this profile in this segment from 1.
    ordinal: int
    #: Unix microseconds of the log's clock.
    changed_at_us: int
    #: Whether the membership moved with a merge of profiles.
    by_merge: bool
    #: When what made the change took place, Unix microseconds; None = at `changed_at_us`.
    occurred_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """One message to be sent about one profile through one destination."""

    effect_id: bytes
    workspace_id: WorkspaceId
    destination_id: str
    segment_id: str
    profile_id: ProfileId
    trigger: Trigger
    ordinal: int
    changed_at_us: int
    #: The ordinal of the effect that must be sent before this one; 0 = none.
    predecessor: int
    state: DeliveryState
    reason: str = ""
    #: As in the change.
    occurred_at_us: int | None = None


class RunEffect(msgspec.Struct, frozen=True, gc=False):
    """One message that a run of a journey asks for."""

    effect_id: bytes
    workspace_id: WorkspaceId
    run_id: bytes
    journey_id: str
    #: The version of the journey that the run goes by.
    journey_version: int
    step_id: str
    visit: int
    #: The leaf of the entry of the run.
    leaf_id: LeafId
    #: The person of that leaf.
    profile_id: ProfileId
    #: The instant that the run has planned, Unix microseconds.
    at_us: int
    destination_id: str
    purpose: str
    #: 0 to 100.
    priority: int
    #: The last instant at which the first attempt may begin; 0 = without limit.
    valid_until_us: int = 0
    #: What templates know of the run, a JSON object: `entry`, `occasion`, and the values
    #: of `with` by their names.
    variables: bytes = b"{}"


def effect_id(
    workspace_id: WorkspaceId,
    destination_id: str,
    segment_id: str,
    profile_id: ProfileId,
    ordinal: int,
) -> bytes:
    """Return the idempotency key of an effect. The ordinal implies the trigger."""
    return hash_id(workspace_id, destination_id, segment_id, profile_id, str(ordinal))
