"""Loads the settings of matching: traits, purposes, unique namespaces, thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from services.kernel.errors import InvalidField
from services.kernel.identifiers.phones import DEFAULT_REGION, is_region
from services.kernel.yaml_documents import MAX_BYTES, parse_yaml

DEFAULT = Path(__file__).with_name("default.yaml")

Names: TypeAlias = tuple[Annotated[str, msgspec.Meta(min_length=1)], ...]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lowest probabilities of a match that is accepted, and of one that is reviewed."""

    accept: float = 0.9
    review: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.review <= self.accept <= 1:
            raise ValueError("thresholds: 0 < review <= accept <= 1")


class TraitNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The traits that hold each part; the first one that a profile has is used."""

    name: Names = ()
    surname: Names = ()
    given_name: Names = ()
    birth_date: Names = ()
    phone: Names = ()
    email: Names = ()
    address: Names = ()
    city: Names = ()


class MatchingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of the job."""

    traits: TraitNames
    #: Purposes by the trait that grants them if it is true.
    grants: Annotated[dict[str, Names], msgspec.Meta(min_length=1)]
    #: Namespaces of which a person has one value: profiles with different ones never match.
    unique: frozenset[str] = frozenset()
    thresholds: Thresholds = Thresholds()
    #: The region of phone numbers without a country code.
    region: str = DEFAULT_REGION

    def __post_init__(self) -> None:
        if self.traits == TraitNames():
            raise ValueError("traits must be a mapping to lists of names")
        if not is_region(self.region):
            raise ValueError("region is two letters, such as CN")


def load_config(path: Path = DEFAULT) -> MatchingConfig:
    """Load the settings from a YAML file. Raises InvalidField, which names the wrong part."""
    try:
        with path.open("rb") as opened:
            settings = parse_yaml(opened.read(MAX_BYTES + 1))
    except OSError as error:
        raise InvalidField(f"{path} cannot be read: {error.strerror}") from None
    except InvalidField as error:
        raise InvalidField(f"{path}: {error.message}") from None
    if not isinstance(settings, dict):
        raise InvalidField(f"{path} must have traits, grants, unique and thresholds")
    try:
        return msgspec.convert(settings, MatchingConfig)
    except msgspec.ValidationError as error:
        raise InvalidField(f"{path}: {error}") from error
