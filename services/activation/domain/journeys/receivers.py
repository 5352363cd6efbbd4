"""Checks that the steps of a journey use destinations for what they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.activation.domain.channels import name_of
from services.activation.domain.contracts import ChannelKind
from services.activation.domain.model import Destination
from services.kernel.journeys.model import DropStep, JoinStep, Journey, SendStep
from services.kernel.journeys.naming import JourneyProblem
from services.kernel.journeys.tree import all_steps


def receiver_problems(
    journey: Journey, destinations: Mapping[str, Destination]
) -> Iterator[JourneyProblem]:
    """Yield the steps that send to a mirror, and those that add a person to what is none."""
    for step in all_steps(journey):
        if not isinstance(step, (SendStep, JoinStep, DropStep)):
            continue
        destination = destinations.get(step.destination_id)
        if destination is None:
            continue
        is_mirror = destination.channel.contract.kind is ChannelKind.MIRROR
        kind = name_of(destination.channel)
        if isinstance(step, SendStep) and is_mirror:
            problem = f"{destination.destination_id!r} ({kind}) keeps a copy and sends no messages"
            yield JourneyProblem(step.id, problem, "write `join` and `drop` in place of `send`")
        elif not isinstance(step, SendStep) and not is_mirror:
            problem = f"{destination.destination_id!r} ({kind}) sends messages and keeps no copy"
            yield JourneyProblem(
                step.id, problem, "write `send`, or name a destination with members"
            )
