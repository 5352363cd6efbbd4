"""Models the steps that give a person a tag or a stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PutStage:
    """A stage of a set whose rules compare the trait that has the id of the set."""

    stages_id: str
    stage: str


@dataclass(frozen=True, slots=True)
class PutStep:
    """Gives the person a tag, or puts the person into a stage."""

    id: str
    #: Empty = a stage.
    tag: str = ""
    #: None = a tag.
    stage: PutStage | None = None
