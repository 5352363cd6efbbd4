"""Sorts what a profile has into the five blocks of the view of a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from services.kernel.rules.features import (
    DateDistance,
    Feature,
    OrderMeasure,
    Orders,
    Related,
    TopValues,
    Trait,
)
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Rule
from services.profile.domain.settings import WorkspaceSettings
from services.profile.domain.tags import TagOfProfile


class ProfileBlock(IntEnum):
    """A part of the view; the numbers of onefold.profile.v1.ProfileBlock."""

    DEMOGRAPHICS = 1
    PREFERENCES = 2
    TRANSACTIONS = 3
    INTERACTIONS = 4
    PREDICTIONS = 5


#: All of them: the iterator of an enum is slow.
BLOCKS = tuple(ProfileBlock)


@dataclass(frozen=True, slots=True)
class BlockNames:
    """What a profile has in one block; each list is sorted."""

    traits: list[str] = field(default_factory=list)
    computed_traits: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


#: Names of traits and tags that begin so are predictions, where the workspace defines nothing else.
PREDICTED = ("predicted_", "prediction_", "propensity_", "probability_", "expected_")
#: Names of traits that begin so are preferences.
PREFERRED = ("favourite_", "favorite_", "preferred_", "interest_", "interests")
#: The first of these that a rule of a tag reads decides the block of the tag.
_ORDER = (
    ProfileBlock.PREDICTIONS,
    ProfileBlock.TRANSACTIONS,
    ProfileBlock.PREFERENCES,
    ProfileBlock.INTERACTIONS,
)


class ProfileBlocks:
    """The blocks of a workspace's traits and tags.

    What the settings name is in the block that they say. Else stated traits are demographics, but
    by their names preferences and predictions; computed traits and tags go by what they read:
    orders are transactions, but days until the next order are a prediction, top values are
    preferences, traits alone are demographics, and all else is interactions.
    """

    def __init__(self, settings: WorkspaceSettings, rules: Mapping[TagOfProfile, Rule]) -> None:
        """`rules`: those of the tags and stages, without references."""
        self.cleaners = dict(settings.cleaners)
        self._traits: dict[str, ProfileBlock] = {}
        self._tags: dict[str, ProfileBlock] = {}
        for block, traits, tags in settings.blocks:
            self._traits |= dict.fromkeys(traits, ProfileBlock(block))
            self._tags |= dict.fromkeys(tags, ProfileBlock(block))
        self._computed = {
            trait.name: _block_of(trait.name, [trait.feature.feature])
            for trait in settings.all_computed_traits
        }
        features: dict[str, list[Feature]] = {}
        for tag, rule in rules.items():
            features.setdefault(tag.tag_id, []).extend(p.feature for p in predicates(rule))
        self._read = {tag_id: _block_of(tag_id, own) for tag_id, own in features.items()}

    def split(
        self, traits: Iterable[str], computed: Iterable[str], tags: Iterable[TagOfProfile]
    ) -> dict[ProfileBlock, BlockNames]:
        """Return what a profile has in each of the five blocks, by block."""
        blocks = {block: BlockNames() for block in BLOCKS}
        for name in sorted(traits):
            blocks[self._traits.get(name) or _block_of_trait(name)].traits.append(name)
        for name in sorted(computed):
            block = self._traits.get(name) or self._computed.get(name, ProfileBlock.INTERACTIONS)
            blocks[block].computed_traits.append(name)
        for tag_id in sorted({tag.tag_id for tag in tags}):
            block = self._tags.get(tag_id) or self._read.get(tag_id) or _block_of(tag_id, [None])
            blocks[block].tags.append(tag_id)
        return blocks


def _block_of_trait(name: str) -> ProfileBlock:
    if name.startswith(PREDICTED):
        return ProfileBlock.PREDICTIONS
    return ProfileBlock.PREFERENCES if name.startswith(PREFERRED) else ProfileBlock.DEMOGRAPHICS


def _block_of(name: str, features: Iterable[Feature | None]) -> ProfileBlock:
    if name.startswith(PREDICTED):
        return ProfileBlock.PREDICTIONS
    read = {_block_of_feature(feature) for feature in features}
    return next((block for block in _ORDER if block in read), ProfileBlock.DEMOGRAPHICS)


def _block_of_feature(feature: Feature | None) -> ProfileBlock:
    match feature:
        case Orders(measure=OrderMeasure.DAYS_UNTIL_NEXT):
            return ProfileBlock.PREDICTIONS
        case Orders():
            return ProfileBlock.TRANSACTIONS
        case TopValues():
            return ProfileBlock.PREFERENCES
        case Trait(name=name):
            return _block_of_trait(name)
        case DateDistance() | Related():
            return ProfileBlock.DEMOGRAPHICS
        case _:
            return ProfileBlock.INTERACTIONS
