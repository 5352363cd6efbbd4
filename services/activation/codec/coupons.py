"""Translates pools of coupons, their codes, and coupons between the domain and their facts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from onefold.activation.v1 import journey_facts_pb2 as pb
from onefold.log.v1 import log_pb2

from services.activation.domain.coupons import Coupon
from services.chassis.codec.journeys import coupon_pool_from_proto, coupon_pool_to_proto
from services.chassis.codec.payloads import decode_payload
from services.chassis.definitions import DefinitionFact
from services.kernel.ids import LeafId, WorkspaceId, from_hex, hash_id, to_hex
from services.kernel.journeys.coupons import CouponPool

POOL_DEFINED: Final[str] = pb.CouponPoolDefined.DESCRIPTOR.full_name
CODES_LOADED: Final[str] = pb.CouponCodesLoaded.DESCRIPTOR.full_name
COUPON_ISSUED: Final[str] = pb.CouponIssued.DESCRIPTOR.full_name
COUPON_VOIDED: Final[str] = pb.CouponVoided.DESCRIPTOR.full_name


@lru_cache(maxsize=1_024)
def decode_pool(payload: bytes) -> CouponPool:
    """Return the pool of a serialised CouponPoolDefined. Raises InvalidField."""
    return coupon_pool_from_proto(decode_payload(pb.CouponPoolDefined, payload).pool)


def decode_codes(payload: bytes) -> tuple[str, list[str]]:
    """Return the pool and the codes of a serialised CouponCodesLoaded. Raises InvalidField."""
    message = decode_payload(pb.CouponCodesLoaded, payload)
    return message.pool_id, list(message.codes)


def pool_definition(workspace_id: WorkspaceId, pool: CouponPool) -> DefinitionFact:
    """Return the fact that defines a version of a pool."""
    message = pb.CouponPoolDefined(pool=coupon_pool_to_proto(pool))
    return DefinitionFact.from_message(
        message, workspace_id=workspace_id, key=pool.pool_id, version=pool.version
    )


def codes_fact(workspace_id: WorkspaceId, pool_id: str, codes: list[str]) -> DefinitionFact:
    """Return the fact that adds codes to a pool; a repeat of the call is the same fact."""
    message = pb.CouponCodesLoaded(pool_id=pool_id, codes=codes)
    key = to_hex(hash_id(pool_id, *codes))
    return DefinitionFact.from_message(message, workspace_id=workspace_id, key=key, version=1)


def issued_fact(coupon: Coupon, actor: str) -> log_pb2.Fact:
    """Return the fact of a coupon that a message takes along; its id is that of the coupon."""
    message = pb.CouponIssued(
        effect_id=to_hex(coupon.effect_id),
        run_id=to_hex(coupon.run_id),
        journey_id=coupon.journey_id,
        name=coupon.name,
        pool_id=coupon.pool_id,
        code=coupon.code,
        until_us=coupon.until_us,
    )
    return log_pb2.Fact(
        workspace_id=coupon.workspace_id,
        fact_id=coupon.coupon_id,
        kind=COUPON_ISSUED,
        leaf_id=coupon.leaf_id,
        payload=message.SerializeToString(),
        actor=actor,
    )


def issued_coupon(fact: Any) -> Coupon:
    """Return the coupon of the fact of its issue. Raises InvalidField."""
    message = decode_payload(pb.CouponIssued, fact.payload)
    return Coupon(
        fact.fact_id,
        WorkspaceId(fact.workspace_id),
        from_hex(message.effect_id),
        from_hex(message.run_id),
        LeafId(fact.leaf_id),
        message.journey_id,
        message.name,
        message.pool_id,
        message.code,
        message.until_us,
        is_published=True,
    )


def voided_message(coupon: Coupon) -> pb.CouponVoided:
    """Return the message of a coupon that is taken back."""
    return pb.CouponVoided(
        coupon_id=to_hex(coupon.coupon_id), pool_id=coupon.pool_id, code=coupon.code
    )


def voided_coupon(payload: bytes) -> bytes:
    """Return the id of the coupon of a serialised CouponVoided. Raises InvalidField."""
    return from_hex(decode_payload(pb.CouponVoided, payload).coupon_id)
