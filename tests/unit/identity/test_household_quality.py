"""Checks that the policies keep households apart, measured against the true owners."""

from __future__ import annotations

from functools import cache

import pytest

from services.cli.definitions import read_pack
from services.devstack.folders import ROOT
from services.identity.codec.policy import policy_from_proto
from services.identity.domain.evidence import Evidence
from services.identity.domain.policy import DEFAULT, Policy
from tests.people.household_quality import evidence_of, measure, total
from tests.people.households import Households, households

HOUSEHOLDS, SEEDS = 250, range(5)
PRECISION, RECALL = 0.99, 0.98
#: What there is more of than usual.
TOWNS: dict[str, dict[str, int]] = {
    "as usual": {},
    "more kiosks": {"shops": 2},
    "more recycled numbers": {"recycled": 3},
    "more that is lent or mistyped": {"lent": 3},
}


@cache
def known_towns(town: str) -> list[tuple[Households, Evidence]]:
    """Return households of each seed with their evidence, which all policies have in common."""
    drawn = [households(HOUSEHOLDS, seed, **TOWNS[town]) for seed in SEEDS]
    return [(each, evidence_of(each)) for each in drawn]


def pack_policies() -> dict[str, Policy]:
    found = {}
    for file in sorted((ROOT / "packs").glob("*/identity.yaml")):
        policy = read_pack(file, {}).identity_policy
        assert policy is not None, file
        found[file.parent.name] = policy_from_proto(policy, version=1)
    return found


POLICIES = {"default": DEFAULT, **pack_policies()}


def test_households_of_one_seed_are_the_same_and_mostly_single_persons() -> None:
    one, again, other = households(40, seed=1), households(40, seed=1), households(40, seed=2)
    assert one == again != other
    alone = [owners for owners in one.owners.values() if len(owners) == 1]
    assert len(alone) > 2 * (len(one.owners) - len(alone))


@pytest.mark.parametrize("town", TOWNS)
@pytest.mark.parametrize("name", POLICIES)
def test_policy_on_households_reaches_the_goals(name: str, town: str) -> None:
    """At least 0.99 precision, at 0.98 of the recall that is possible without what is shared."""
    found = total(measure(*known, POLICIES[name]) for known in known_towns(town))
    assert found.precision >= PRECISION, found
    assert found.recall >= RECALL, found
