"""Translates the models of tags between the domain and messages."""

from __future__ import annotations

from onefold.profile.v1 import profile_facts_pb2 as pb
from onefold.rule.v1 import rule_pb2

from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.kernel.calendar import PeriodUnit
from services.profile.domain.rfm import MinimumScores, RfmFit, RfmModel

_UNITS = EnumNumbers(PeriodUnit, rule_pb2.PeriodUnit, "period")


def model_from_proto(message: pb.RfmModel, field: str) -> RfmModel:
    """Return the model of a message. Raises RuleError below `field` where it has no period."""
    return RfmModel(
        message.quantiles,
        _UNITS.from_proto(message.period, f"{field}.period"),
        tuple(
            MinimumScores(v.value, v.recency or 1, v.frequency or 1, v.monetary or 1)
            for v in message.values
        ),
        _fit_from_proto(message.fit) if message.HasField("fit") else None,
    )


def model_to_proto(model: RfmModel) -> pb.RfmModel:
    """Return the message of a model."""
    return pb.RfmModel(
        quantiles=model.quantiles,
        period=_UNITS.to_proto(model.period),
        values=[pb.MinimumScores(**own._asdict()) for own in model.values],
        fit=None if model.fit is None else _fit_to_proto(model.fit),
    )


def _fit_from_proto(message: pb.RfmFit) -> RfmFit:
    return RfmFit(
        token_from_proto(message.token),
        message.at_us,
        message.persons,
        tuple(message.recency_us),
        tuple(message.frequency),
        tuple(message.monetary_micros),
    )


def _fit_to_proto(fit: RfmFit) -> pb.RfmFit:
    return pb.RfmFit(
        token=token_to_proto(fit.token),
        at_us=fit.at_us,
        persons=fit.persons,
        recency_us=fit.recency_us,
        frequency=fit.frequency,
        monetary_micros=fit.monetary,
    )
