"""What is so: destinations, effects, and the outcomes of attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from services.kernel.ids import ProfileId, WorkspaceId, hash_id


class Trigger(IntEnum):
    """What a destination hears of a segment; the numbers of onefold.activation.v1.Trigger."""

    ENTERED = 1
    LEFT = 2


class State(IntEnum):
    """Where an effect stands; the numbers of onefold.activation.v1.DeliveryState."""

    PENDING = 1
    #: An attempt was begun and its end is not known.
    UNKNOWN = 2
    DELIVERED = 3
    DEAD = 4
    SUPPRESSED = 5


@dataclass(frozen=True, slots=True)
class Webhook:
    """An HTTP endpoint, signed as Standard Webhooks."""

    url: str
    #: Kept out of every text that is made of this value.
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NatsSubject:
    """A NATS subject."""

    subject: str


@dataclass(frozen=True, slots=True)
class NdjsonFile:
    """A file with one JSON object a line."""

    name: str


Channel: TypeAlias = Webhook | NatsSubject | NdjsonFile


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
    #: Traits that a message carries.
    traits: tuple[str, ...]
    retired: bool = False

    def hears(self, segment_id: str, trigger: Trigger) -> bool:
        """Whether a change of membership concerns it."""
        return not self.retired and segment_id in self.segment_ids and trigger in self.triggers

    def before(self, ordinal: int) -> int:
        """The ordinal of the change before this one that it hears of; 0 where there is none."""
        return max(0, ordinal - (1 if len(self.triggers) > 1 else 2))


@dataclass(frozen=True, slots=True)
class Change:
    """A change of membership, as segment told it."""

    workspace_id: WorkspaceId
    segment_id: str
    profile_id: ProfileId
    trigger: Trigger
    #: Counts the changes of this profile in this segment from 1.
    ordinal: int
    #: Unix microseconds of the log's clock.
    at_us: int
    #: The membership moved along with a merge of profiles.
    by_merge: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing to be sent to one person through one destination."""

    effect_id: bytes
    workspace_id: WorkspaceId
    destination_id: str
    segment_id: str
    profile_id: ProfileId
    trigger: Trigger
    ordinal: int
    at_us: int
    #: The ordinal of the effect that the person is to hear of before; 0 where there is none.
    before: int
    state: State
    reason: str = ""


def effect_id(
    workspace_id: WorkspaceId,
    destination_id: str,
    segment_id: str,
    profile_id: ProfileId,
    ordinal: int,
) -> bytes:
    """The key under which an effect happens once. The ordinal tells the trigger."""
    return hash_id(workspace_id, destination_id, segment_id, profile_id, str(ordinal))
