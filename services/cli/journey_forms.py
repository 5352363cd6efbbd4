"""Reads and writes the parts of packs that activation serves, but its destinations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onefold.activation.v1 import contact_policy_pb2 as policy_pb
from onefold.activation.v1 import dashboards_pb2, desk_pb2, slots_pb2
from onefold.activation.v1 import journeys_pb2 as pb

from services.chassis.codec.journeys import (
    contact_policy_from_proto,
    contact_policy_to_proto,
    coupon_pool_from_proto,
    coupon_pool_to_proto,
    dashboard_from_proto,
    dashboard_to_proto,
    journey_from_proto,
    journey_to_proto,
    queue_from_proto,
    queue_to_proto,
    slot_from_proto,
    slot_to_proto,
)
from services.cli.rule_forms import RuleDefaults
from services.cli.values import Mistakes
from services.kernel.dashboards import dump_dashboard, parse_dashboard
from services.kernel.desk.queue_form import dump_queue, parse_queue
from services.kernel.errors import InvalidField, RuleError, RuleErrors
from services.kernel.journeys.contact_policy import dump_contact_policy, parse_contact_policy
from services.kernel.journeys.coupon_form import dump_coupon_pool, parse_coupon_pool
from services.kernel.journeys.decisions import dump_slot, parse_slot
from services.kernel.journeys.journey_form import dump_journey, parse_journey
from services.kernel.rules.defaults import Defaults


def read_journey(entry: Any, path: str, defaults: RuleDefaults) -> pb.Journey:
    """Return the journey of a form. Raises InvalidField, which names the place below `path`."""
    with _mistakes():
        return journey_to_proto(parse_journey(entry, path, _defaults(defaults)))


def write_journey(message: pb.Journey, defaults: RuleDefaults) -> Any:
    """Return the form of a journey."""
    return dump_journey(journey_from_proto(message), _defaults(defaults))


def read_contact_policy(entry: Any, path: str) -> policy_pb.ContactPolicy:
    """Return the contact policy of a form. Raises InvalidField below `path`."""
    with _mistakes():
        return contact_policy_to_proto(parse_contact_policy(entry, path))


def write_contact_policy(message: policy_pb.ContactPolicy) -> Any:
    """Return the form of a contact policy."""
    return dump_contact_policy(contact_policy_from_proto(message))


def read_coupon_pool(entry: Any, path: str) -> pb.CouponPool:
    """Return the pool of coupons of a form. Raises InvalidField below `path`."""
    with _mistakes():
        return coupon_pool_to_proto(parse_coupon_pool(entry, path))


def write_coupon_pool(message: pb.CouponPool) -> Any:
    """Return the form of a pool of coupons."""
    return dump_coupon_pool(coupon_pool_from_proto(message))


def read_queue(entry: Any, path: str) -> desk_pb2.DeskQueue:
    """Return the queue of a form. Raises InvalidField below `path`."""
    with _mistakes():
        return queue_to_proto(parse_queue(entry, path))


def write_queue(message: desk_pb2.DeskQueue) -> Any:
    """Return the form of a queue."""
    return dump_queue(queue_from_proto(message))


def read_dashboard(entry: Any, path: str) -> dashboards_pb2.Dashboard:
    """Return the dashboard of a form. Raises InvalidField below `path`."""
    with _mistakes():
        return dashboard_to_proto(parse_dashboard(entry, path))


def write_dashboard(message: dashboards_pb2.Dashboard) -> Any:
    """Return the form of a dashboard."""
    return dump_dashboard(dashboard_from_proto(message))


def read_slot(entry: Any, path: str, defaults: RuleDefaults) -> slots_pb2.Slot:
    """Return the slot of a form. Raises InvalidField, which names the place below `path`."""
    with _mistakes():
        return slot_to_proto(parse_slot(entry, path, _defaults(defaults)))


def write_slot(message: slots_pb2.Slot, defaults: RuleDefaults) -> Any:
    """Return the form of a slot."""
    return dump_slot(slot_from_proto(message), _defaults(defaults))


def _defaults(defaults: RuleDefaults) -> Defaults:
    return Defaults(defaults.zone, defaults.orders, defaults.cleaners)


@contextmanager
def _mistakes() -> Iterator[None]:
    """Turn the errors of rules into those of packs."""
    try:
        yield
    except RuleErrors as errors:
        raise Mistakes(InvalidField(e.message, field=e.field) for e in errors.errors) from None
    except RuleError as error:
        raise InvalidField(error.message, field=error.field) from None
