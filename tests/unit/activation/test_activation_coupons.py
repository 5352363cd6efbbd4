"""Tests the codes of coupons, and what templates know of them."""

from __future__ import annotations

from dataclasses import replace

from services.activation.domain.coupons import Coupon, coupon_id, coupon_variables, generated_code
from services.kernel.ids import LeafId, WorkspaceId

KEY = b"k" * 32
EFFECT = b"e" * 16
COUPON = Coupon(
    coupon_id(EFFECT, "trial"),
    WorkspaceId("w"),
    EFFECT,
    b"r" * 16,
    LeafId(b"l" * 16),
    "offer",
    "trial",
    "TRIAL-50",
    "TRIAL-X",
    1_772_409_600_000_000,
)


def test_generated_code_of_a_coupon_is_the_same_under_one_key_only() -> None:
    codes = {generated_code(KEY, "T-", coupon_id(EFFECT, name)) for name in map(str, range(1_000))}
    assert len(codes) == 1_000
    assert {len(code) for code in codes} == {14}
    own = generated_code(KEY, "T-", COUPON.coupon_id)
    assert own == generated_code(KEY, "T-", COUPON.coupon_id)
    assert own != generated_code(b"o" * 32, "T-", COUPON.coupon_id)


def test_coupon_id_depends_on_the_message_and_the_name() -> None:
    ids = {coupon_id(effect, name) for effect in (EFFECT, b"f" * 16) for name in ("a", "b")}
    assert len(ids) == 4


def test_template_knows_code_and_end_of_a_coupon_that_is_not_voided() -> None:
    variables = coupon_variables([COUPON, replace(COUPON, name="old", is_voided=True)])
    assert variables == {"trial": {"code": "TRIAL-X", "until": "2026-03-02T00:00:00.000000Z"}}
