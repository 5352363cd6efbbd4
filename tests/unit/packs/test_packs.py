"""Tests what every pack has."""

from __future__ import annotations

import pytest
from pack_rules import PACKS

from services.cli.definitions import read_pack
from services.identity.codec.policy import validate_policy

NAMES = sorted(folder.name for folder in PACKS.iterdir())
VALUES = {"COUPON_URL": "https://example.com/", "COUPON_SECRET": "whsec_YQ=="}


@pytest.mark.parametrize("name", NAMES)
def test_pack_has_every_part(name: str) -> None:
    pack = read_pack(PACKS / name, VALUES)
    assert pack.settings is not None
    assert pack.settings.zone == "Asia/Shanghai"
    assert pack.identity_policy is not None
    assert validate_policy(pack.identity_policy, "CN").rules
    assert pack.sources
    assert pack.segments
    assert pack.tags
    assert pack.journeys
    assert all(each.title for each in [*pack.sources, *pack.tags, *pack.segments])


@pytest.mark.parametrize("name", NAMES)
def test_pack_has_the_starter_tags(name: str) -> None:
    titles = {tag.tag_id: tag.title for tag in read_pack(PACKS / name, VALUES).tags}
    assert titles["registered"] == "注册用户"
    assert titles["first_purchase"] == "首次购买用户"
    assert titles["active"].startswith("活跃用户")
