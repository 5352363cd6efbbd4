"""Defines the form that a pool of coupons has in packs.

id: TRIAL-50
title: 50 off the first course
prefix: TRIAL-                                   # codes are generated; without it they are loaded
used: {event: order_paid, code: coupon_code}     # `code`: the property that has the code
"""

from __future__ import annotations

from typing import Final

from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.journeys.coupons import CouponPool, CouponUse
from services.kernel.journeys.form_kinds import FLAG, NAME, FormContext, Key, Record
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.forms.json_body import Body
from services.kernel.rules.forms.json_dump import events_form
from services.kernel.rules.forms.json_parse import events_of
from services.kernel.rules.values import Json

_CONTEXT: Final = FormContext(Defaults(DEFAULT_ZONE))


def parse_coupon_pool(form: Json, path: str = "") -> CouponPool:
    """Return the pool of a decoded YAML or JSON form. Raises RuleError with the path of a part."""
    pool: CouponPool = COUPON_POOL.read(form, path, _CONTEXT)
    return pool


def dump_coupon_pool(pool: CouponPool) -> Json:
    """Return the form of a pool, as `parse_coupon_pool` reads it."""
    return COUPON_POOL.write(pool, _CONTEXT)


class _Use:
    """The kind of a `CouponUse`: `{event, where, code}`."""

    def read(self, form: Json, path: str, context: FormContext) -> CouponUse:
        body = Body(form, path)
        body.check_keys(("event", "where", "code"))
        code = NAME.read(body.get("code"), body.at("code"), context)
        return CouponUse(events_of(body, "event"), code)

    def write(self, value: CouponUse, context: FormContext) -> Json:
        return events_form(value.events) | {"code": value.code_property}


COUPON_POOL: Final = Record(
    CouponPool,
    [
        Key("id", "pool_id", NAME),
        Key("title", "title", NAME),
        Key("prefix", "prefix", NAME),
        Key("used", "used", _Use()),
        Key("retired", "retired", FLAG),
    ],
)
