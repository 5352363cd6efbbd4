"""Sorts the events of a timeline into kinds, and selects entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.fold.events import PAGE, SCREEN
from services.profile.domain.settings import WorkspaceSettings


class TimelineKind(IntEnum):
    """What an entry is about; the numbers of onefold.profile.v1.TimelineKind."""

    AD_CLICK = 1
    VIEW = 2
    SALES_CONTACT = 3
    ORDER = 4
    SERVICE_REQUEST = 5
    MEMBER_ACTIVITY = 6
    OTHER = 7


#: The kind of an event by its name in lower case with `_` between the words, as `order_paid` is for
#: `Order Paid`, where the workspace defines none.
DEFAULT_KINDS: Mapping[str, TimelineKind] = {
    name: kind
    for kind, names in {
        TimelineKind.AD_CLICK: (
            *("ad_click", "ad_clicked", "advertisement_clicked", "campaign_clicked"),
            *("clicked_ad", "promotion_clicked"),
        ),
        TimelineKind.VIEW: (
            *("article_viewed", "content_viewed", "course_viewed", "page_viewed"),
            *("product_list_viewed", "product_viewed", "products_searched", "searched"),
            *("video_viewed", "viewed", "viewed_course", "viewed_course_page", "viewed_page"),
            *("viewed_product",),
        ),
        TimelineKind.SALES_CONTACT: (
            *("call_answered", "call_made", "consulted_sales", "contacted_sales"),
            *("demo_booked", "demo_requested", "meeting_held", "quote_requested", "quote_sent"),
            *("sales_call", "sales_contacted", "sales_visited"),
        ),
        TimelineKind.ORDER: (
            *("bought", "order_cancelled", "order_completed", "order_paid", "order_placed"),
            *("order_refunded", "order_updated", "payment_made", "purchased"),
            *("purchased_course", "subscription_paid", "subscription_refunded"),
        ),
        TimelineKind.SERVICE_REQUEST: (
            *("complained", "complaint_filed", "consulted_support", "repair_requested"),
            *("return_requested", "service_requested", "ticket_closed", "ticket_created"),
            *(event.value for event in TicketEvent),
        ),
        TimelineKind.MEMBER_ACTIVITY: (
            *("activity_joined", "campaign_joined", "checked_in", "coupon_received"),
            *("coupon_redeemed", "coupon_used", "event_attended", "invited_member"),
            *("points_earned", "points_redeemed", "points_spent", "tier_changed"),
        ),
    }.items()
    for name in names
}


class TimelineKinds:
    """The kinds of a workspace's events."""

    def __init__(self, settings: WorkspaceSettings) -> None:
        orders = settings.orders
        refunds = orders.refunds.names if orders is not None and orders.refunds is not None else ()
        payments = orders.payments.names if orders is not None else ()
        self._by_name: dict[str, TimelineKind] = {
            **dict.fromkeys((*payments, *refunds), TimelineKind.ORDER),
            **{name: TimelineKind(kind) for kind, names in settings.timeline for name in names},
        }

    def kind_of(self, event_type: int, name: str) -> TimelineKind:
        """Return the kind of an event by its name in rules, empty for other calls and facts.

        Where neither the workspace nor its orders name the event, pages and screens are views, and
        the defaults count.
        """
        kind = self._by_name.get(name)
        if kind is not None:
            return kind
        if event_type in (PAGE, SCREEN):
            return TimelineKind.VIEW
        return DEFAULT_KINDS.get(name.lower().replace(" ", "_"), TimelineKind.OTHER)


@dataclass(frozen=True, slots=True)
class TimelineFilter:
    """Selects entries of a timeline; what is empty selects all."""

    kinds: frozenset[TimelineKind] = frozenset()
    events: frozenset[str] = frozenset()
    source_ids: frozenset[str] = frozenset()
    #: Entries at or after this time and before the other, Unix microseconds; 0 = no bound.
    since_us: int = 0
    before_us: int = 0

    @property
    def selects_all(self) -> bool:
        """Whether every fact within the times is selected."""
        return not (self.kinds or self.events or self.source_ids)

    def selects(self, kind: TimelineKind, name: str, source_id: str) -> bool:
        """Return whether a fact within the times is selected; `name` as in rules."""
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.events or name in self.events)
            and (not self.source_ids or source_id in self.source_ids)
        )
