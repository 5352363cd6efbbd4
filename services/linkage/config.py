"""What matching is told: which trait is what, which grants which purpose, and the thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from services.kernel.errors import InvalidField
from services.kernel.identifiers import DEFAULT_REGION, is_region

DEFAULT = Path(__file__).with_name("default.yaml")
#: What a trait can be.
PARTS = ("name", "surname", "given_name", "birth_date", "phone", "email", "address", "city")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which probability on a match is accepted, and from which it is shown to a person."""

    accept: float = 0.9
    review: float = 0.5


@dataclass(frozen=True, slots=True)
class MatchingConfig:
    """The settings of the job."""

    #: For each of PARTS the traits that tell it; the first that a person has counts.
    traits: Mapping[str, tuple[str, ...]]
    #: Purposes by the trait that grants them, where it is true.
    grants: Mapping[str, tuple[str, ...]]
    #: Namespaces of which nobody has two values: people with different ones are never matched.
    unique: frozenset[str]
    thresholds: Thresholds = field(default_factory=Thresholds)
    #: Where telephone numbers without a country code are dialled.
    region: str = DEFAULT_REGION


def read_config(path: Path = DEFAULT) -> MatchingConfig:
    """The settings in a YAML file. Raises InvalidField, which names the part that is wrong."""
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidField(f"{path} cannot be read as YAML") from error
    if not isinstance(told, dict):
        raise InvalidField(f"{path} has to hold traits, grants, unique and thresholds")
    for key in told.keys() - {"traits", "grants", "unique", "thresholds", "region"}:
        raise InvalidField(f"{key!r} is no part of {path}")
    region = told.get("region", DEFAULT_REGION)
    if not isinstance(region, str) or not is_region(region):
        raise InvalidField("region is two letters, such as CN")
    return MatchingConfig(
        traits=_lists(told, "traits", PARTS),
        grants=_lists(told, "grants"),
        unique=frozenset(_names(told.get("unique", []), "unique")),
        thresholds=_thresholds(told.get("thresholds", {})),
        region=region,
    )


def _lists(
    told: Mapping[str, Any], part: str, known: tuple[str, ...] | None = None
) -> dict[str, tuple[str, ...]]:
    found = told.get(part)
    if not isinstance(found, dict) or not found:
        raise InvalidField(f"{part} has to be a mapping to lists of names")
    for key in found:
        if known is not None and key not in known:
            raise InvalidField(f"{part}: {key!r} is none of {', '.join(known)}")
    return {str(key): _names(names, f"{part}.{key}") for key, names in found.items()}


def _names(told: Any, where: str) -> tuple[str, ...]:
    if not isinstance(told, list) or not all(isinstance(name, str) and name for name in told):
        raise InvalidField(f"{where} has to be a list of names")
    return tuple(told)


def _thresholds(told: Any) -> Thresholds:
    try:
        found = Thresholds(**{key: float(value) for key, value in dict(told).items()})
    except (TypeError, ValueError) as error:
        raise InvalidField("thresholds are two numbers, accept and review") from error
    if not 0 < found.review <= found.accept <= 1:
        raise InvalidField("thresholds: 0 < review <= accept <= 1")
    return found
