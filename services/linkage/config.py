"""Loads the settings of matching: traits, purposes, unique namespaces, thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from services.kernel.errors import InvalidField
from services.kernel.identifiers.phones import DEFAULT_REGION, is_region

DEFAULT = Path(__file__).with_name("default.yaml")
#: What a trait can be.
PARTS = ("name", "surname", "given_name", "birth_date", "phone", "email", "address", "city")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least probability to accept a match, and to have a person review it."""

    accept: float = 0.9
    review: float = 0.5


@dataclass(frozen=True, slots=True)
class MatchingConfig:
    """The settings of the job."""

    #: For each of PARTS the traits that hold it; the first one that a profile has is used.
    traits: Mapping[str, tuple[str, ...]]
    #: Purposes by the trait that grants them if it is true.
    grants: Mapping[str, tuple[str, ...]]
    #: Namespaces of which a person has one value: profiles with different ones never match.
    unique: frozenset[str]
    thresholds: Thresholds = field(default_factory=Thresholds)
    #: The region of phone numbers without a country code.
    region: str = DEFAULT_REGION


def load_config(path: Path = DEFAULT) -> MatchingConfig:
    """Load the settings from a YAML file. Raises InvalidField, which names the wrong part."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidField(f"{path} cannot be read as YAML") from error
    if not isinstance(settings, dict):
        raise InvalidField(f"{path} must have traits, grants, unique and thresholds")
    for key in settings.keys() - {"traits", "grants", "unique", "thresholds", "region"}:
        raise InvalidField(f"{path}: {key!r} is not a known setting")
    region = settings.get("region", DEFAULT_REGION)
    if not isinstance(region, str) or not is_region(region):
        raise InvalidField("region is two letters, such as CN")
    return MatchingConfig(
        traits=_lists(settings, "traits", PARTS),
        grants=_lists(settings, "grants"),
        unique=frozenset(_names(settings.get("unique", []), "unique")),
        thresholds=_thresholds(settings.get("thresholds", {})),
        region=region,
    )


def _lists(
    settings: Mapping[str, Any], part: str, allowed: tuple[str, ...] | None = None
) -> dict[str, tuple[str, ...]]:
    lists = settings.get(part)
    if not isinstance(lists, dict) or not lists:
        raise InvalidField(f"{part} must be a mapping to lists of names")
    for key in lists:
        if allowed is not None and key not in allowed:
            raise InvalidField(f"{part}: {key!r} is none of {', '.join(allowed)}")
    return {str(key): _names(names, f"{part}.{key}") for key, names in lists.items()}


def _names(value: Any, path: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise InvalidField(f"{path} must be a list of names")
    return tuple(value)


def _thresholds(mapping: Any) -> Thresholds:
    try:
        thresholds = Thresholds(**{key: float(value) for key, value in dict(mapping).items()})
    except (TypeError, ValueError) as error:
        raise InvalidField("thresholds are two numbers, accept and review") from error
    if not 0 < thresholds.review <= thresholds.accept <= 1:
        raise InvalidField("thresholds: 0 < review <= accept <= 1")
    return thresholds
