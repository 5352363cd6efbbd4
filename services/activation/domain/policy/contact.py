"""Reads what the gate needs of a person and of a destination: channel, consents, zone, address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from services.activation.domain.channels import Channel, name_of
from services.activation.domain.journeys.catalogue import FlowChange, Overdue
from services.activation.domain.message_channels import Smtp
from services.activation.domain.policy.gate import ConsentKey, Flow, consent_of
from services.kernel.fold.consents import Consent
from services.kernel.ids import hash_id

#: The channels of consents and of the contact policy, by the kind of a destination. Every other
#: kind is a channel of its own.
CONTACT_CHANNELS: Final[Mapping[str, str]] = {
    "smtp": "email",
    **dict.fromkeys(("aliyun_sms", "tencent_sms", "twilio_sms"), "sms"),
    **dict.fromkeys(("fcm", "apns", "getui"), "push"),
    **dict.fromkeys(("wechat_template", "wechat_subscribe"), "wechat"),
}
#: The purpose of the consent to being measured.
TRACKING: Final = "tracking"
_CHANNELS: Final = frozenset(CONTACT_CHANNELS.values())


class StatedConsent(NamedTuple):
    """The last answer of a person to a purpose, as profile has it."""

    purpose: str
    granted: bool
    since_us: int
    fact_id: bytes
    source_id: str


def contact_channel(channel: Channel) -> str:
    """Return the channel by which consents and the contact policy name a destination's channel."""
    name = name_of(channel)
    return CONTACT_CHANNELS.get(name, name)


def purpose_in(purpose: str, channel: str) -> str:
    """Return how a consent names a purpose in one channel, such as `marketing.email`."""
    return f"{purpose}.{channel}"


def consents_of(stated: Iterable[StatedConsent]) -> dict[ConsentKey, Consent]:
    """Return the consents of a person by purpose and channel; an empty channel means all.

    The purpose `marketing.sms` is marketing in the channel sms.
    """
    found: dict[ConsentKey, Consent] = {}
    for each in stated:
        purpose, _, channel = each.purpose.rpartition(".")
        key = (purpose, channel) if purpose and channel in _CHANNELS else (each.purpose, "")
        found[key] = each.since_us, int(each.granted), each.fact_id, each.source_id
    return found


class Tracking(NamedTuple):
    """What is measured of the messages to a person."""

    #: Unless the person has refused it.
    links: bool
    #: Where the person has consented to it.
    opens: bool


def tracking_of(stated: Iterable[StatedConsent], channel: Channel) -> Tracking:
    """Return what is measured of the messages to a person through a channel."""
    if not (isinstance(channel, Smtp) and channel.tracking_url):
        return Tracking(links=False, opens=False)
    consent = consent_of(consents_of(stated), TRACKING, contact_channel(channel))
    if consent is None:
        return Tracking(links=True, opens=False)
    return Tracking(bool(consent[1]), bool(consent[1]))


def address_of(
    identifiers: Iterable[tuple[str, str]], traits: Mapping[str, Any], source: str
) -> str:
    """Return the address that `identifier NAMESPACE` or `trait NAME` stands for; "" = none."""
    kind, _, name = source.partition(" ")
    if kind == "trait":
        value = traits.get(name)
        return value.strip() if isinstance(value, str) else ""
    return next((value for namespace, value in identifiers if namespace == name), "")


def address_key(workspace_id: str, channel: str, address: str) -> bytes:
    """Return what names an address in reports of bounces: 16 bytes, the same for all spellings."""
    return hash_id(workspace_id, "address", channel, address.strip().casefold())


def flow_of(changes: Iterable[FlowChange]) -> Flow:
    """Return whether a journey or a destination with these changes (ascending) is open."""
    flow = Flow.OPEN
    for change in changes:
        flow = change.flow
    return flow


def valid_until(at_us: int, valid_until_us: int, changes: Iterable[FlowChange]) -> int:
    """Return until when an effect is valid, after pauses during which it was due; 0 = for ever.

    `changes`: of its journey or its destination, ascending. The resumption after the
    pause decides about it.
    """
    paused_us: int | None = None
    for change in changes:
        if change.flow is not Flow.OPEN:
            paused_us = change.changed_at_us if paused_us is None else paused_us
            continue
        was_due = paused_us is not None and at_us < change.changed_at_us
        if valid_until_us and was_due and (paused_us or 0) <= valid_until_us:
            if change.overdue is Overdue.SEND:
                return 0
            if change.overdue is Overdue.RESCHEDULE:
                valid_until_us, at_us = (
                    change.changed_at_us + valid_until_us - at_us,
                    change.changed_at_us,
                )
        paused_us = None
    return valid_until_us
