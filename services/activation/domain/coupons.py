"""Defines the coupons that messages of runs take along, and what templates know of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from services.kernel.ids import FactId, LeafId, WorkspaceId, hash_id
from services.kernel.time import to_rfc3339

#: The digits of generated codes: those that look like others are left out.
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Digits of a generated code, 5 bits each.
_CODE_DIGITS: Final = 12


class CouponUsed(NamedTuple):
    """The first event that has used a coupon."""

    #: Unix microseconds.
    at_us: int
    fact_id: FactId
    #: When the log recorded it, Unix microseconds.
    recorded_at_us: int


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon that a message takes along."""

    coupon_id: bytes
    workspace_id: WorkspaceId
    effect_id: bytes
    run_id: bytes
    #: The leaf of the entry of the run.
    leaf_id: LeafId
    journey_id: str
    #: The name in the journey.
    name: str
    pool_id: str
    code: str
    #: When it ends, Unix microseconds.
    until_us: int
    #: Whether the log has it.
    is_published: bool = False
    is_voided: bool = False
    used: CouponUsed | None = None


def coupon_id(effect_id: bytes, name: str) -> bytes:
    """Return the id of the coupon that a message takes along under a name."""
    return hash_id(effect_id, "coupon", name)


def generated_code(key: bytes, prefix: str, coupon_id_: bytes) -> str:
    """Return the code of a coupon: a keyed hash, so no code lets another one be guessed."""
    digest = hashlib.blake2b(coupon_id_, key=key, digest_size=8, person=b"coupon").digest()
    number = int.from_bytes(digest, "big")
    return prefix + "".join(_DIGITS[number >> 5 * n & 31] for n in range(_CODE_DIGITS))


def coupon_variables(coupons: Iterable[Coupon]) -> dict[str, Any]:
    """Return what templates know of the coupons of a run, by name; what was voided is left out."""
    return {
        each.name: {"code": each.code, "until": to_rfc3339(each.until_us)}
        for each in coupons
        if not each.is_voided
    }
