"""Makes the facts of effects that have no receiver outside."""

from __future__ import annotations

from typing import Any

import msgspec
from onefold.activation.v1.journey_facts_pb2 import JourneyEntered
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_facts_pb2 import TraitCorrected

from services.activation.codec.coupons import voided_message
from services.activation.domain.coupons import Coupon
from services.kernel.journeys.model import EffectStep, StartStep, VoidStep
from services.kernel.journeys.puts import PutStep


def own_effect_fact(
    row: Any, step: EffectStep | None, actor: str, voided: Coupon | None = None
) -> Fact | None:
    """Return the fact of an effect, named by the effect itself; None = nothing carries it out.

    `voided`: the coupon that the effect takes back.
    """
    fact = Fact(
        workspace_id=row["workspace_id"],
        fact_id=row["effect_id"],
        leaf_id=row["leaf_id"],
        occurred_at_us=row["changed_at_us"],
        actor=actor,
    )
    match step:
        case StartStep(journey_id=journey_id):
            entry = msgspec.json.decode(row["variables"])["entry"]
            properties = msgspec.json.encode(entry, order="sorted")
            message: Any = JourneyEntered(journey_id=journey_id, properties=properties)
        case PutStep(tag=tag, stage=stage):
            reason = f"journey {row['journey_id']}"[:500]
            message = TraitCorrected(trait=tag, value=b"true", reason=reason)
            if stage is not None:
                message.trait, message.value = stage.stages_id, msgspec.json.encode(stage.stage)
        case VoidStep() if voided is not None:
            message = voided_message(voided)
        case _:
            return None
    fact.kind, fact.payload = message.DESCRIPTOR.full_name, message.SerializeToString()
    return fact
