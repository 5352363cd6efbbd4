"""Reads and writes the models of tags in packs."""

from __future__ import annotations

from typing import Any

from onefold.profile.v1 import profile_facts_pb2 as pb
from onefold.rule.v1.rule_pb2 import PeriodUnit

from services.cli.values import count, entries, mapping, set_fields, text, value_of, word_of

_PREFIX = "PERIOD_UNIT_"
_SCORES = ("recency", "frequency", "monetary")


def read_model(entry: Any, path: str) -> pb.RfmModel:
    """Return a model: quantiles, period, and values with the least scores. Raises InvalidField."""
    own = mapping(entry, path, {"quantiles", "period", "values"})
    word = text(own, "period", path, required=True)
    period = value_of(PeriodUnit, _PREFIX, word, f"{path}.period")
    model = pb.RfmModel(quantiles=count(own, "quantiles", path), period=period)
    for i, value in enumerate(entries(own, "values", path)):
        where = f"{path}.values[{i}]"
        minimum = mapping(value, where, {"value", *_SCORES})
        scores = {name: count(minimum, name, where) for name in _SCORES}
        model.values.add(value=text(minimum, "value", where, required=True), **scores)
    return model


def write_model(model: pb.RfmModel) -> dict[str, Any]:
    """Return the form of a model, without its fit: that is of the persons of one workspace."""
    return {
        "quantiles": model.quantiles,
        "period": word_of(PeriodUnit, _PREFIX, model.period),
        "values": [
            # A score of 1 is the least one, and needs no line.
            {"value": own.value}
            | set_fields(**{n: s for n in _SCORES if (s := getattr(own, n)) > 1})
            for own in model.values
        ],
    }
