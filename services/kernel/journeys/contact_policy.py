"""Models the contact policy of a workspace: when, how often and with which consent it may send.

::

    zone: {traits: [timezone], from_phone: true, else: Asia/Shanghai}
    purposes:
      marketing: {consent: granted, quiet: {from: "21:00", to: "09:00"}, caps: [CAP, ...]}
      duty:      {consent: none}
    channels:
      sms: {marketing: {only: {from: "08:00", to: "22:00", zone: Asia/Shanghai}, ends_with: TEXT}}
    hold_out: {share: 2%, salt: "2026"}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from services.kernel.calendar import DEFAULT_ZONE, is_zone
from services.kernel.errors import RuleError
from services.kernel.journeys.form_kinds import (
    CLOCK,
    FLAG,
    NAME,
    NAMES,
    SHARE,
    FormContext,
    Key,
    ListOf,
    MapOf,
    Record,
    word,
)
from services.kernel.journeys.journey_form import CAP
from services.kernel.journeys.model import JourneyCap
from services.kernel.local_time import DailyWindow, ZoneHistory
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.values import Json


class ConsentNeed(Enum):
    """What a purpose needs of a person; the value is the word in a policy."""

    #: The person has granted it.
    GRANTED = "granted"
    #: The person has not refused it.
    NOT_REFUSED = "implied"
    #: Nothing: a contract or a law requires the message.
    NOTHING = "none"


@dataclass(frozen=True, slots=True)
class PurposePolicy:
    """When and how often messages of one purpose may be sent."""

    consent: ConsentNeed
    #: In the zone of the person.
    quiet: DailyWindow | None = None
    #: Counted per person over all journeys.
    caps: tuple[JourneyCap, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """What a law demands of messages of one purpose in one channel."""

    #: The only hours at which they may be sent.
    only: DailyWindow | None = None
    #: How their text must end.
    ends_with: str = ""


@dataclass(frozen=True, slots=True)
class ZonePolicy:
    """Where the zone of a person comes from: the first of these that gives one."""

    #: The zone of everybody else.
    default: str = DEFAULT_ZONE
    traits: tuple[str, ...] = ()
    #: Whether the country of the phone number gives one, if it has only one zone.
    from_phone: bool = False

    def __post_init__(self) -> None:
        if not is_zone(self.default):
            remedy = "write an IANA name such as Asia/Shanghai"
            raise RuleError("the time zone is not known", remedy, field="else")


@dataclass(frozen=True, slots=True)
class WorkspaceHoldOut:
    """The share of all persons who get no marketing, to be compared with the others."""

    share_ppm: int
    salt: str = ""


#: A purpose that the policy does not name needs consent, and has no other limit.
STRICT: Final = PurposePolicy(ConsentNeed.GRANTED)


@dataclass(frozen=True, slots=True)
class ContactPolicy:
    """When, how often and with which consent a workspace may send. It has one."""

    zone: ZonePolicy = ZonePolicy()
    #: By name.
    purposes: Mapping[str, PurposePolicy] = field(default_factory=dict)
    #: By channel, then by purpose.
    channels: Mapping[str, Mapping[str, ChannelPolicy]] = field(default_factory=dict)
    hold_out: WorkspaceHoldOut | None = None

    def purpose(self, name: str) -> PurposePolicy:
        """Return what counts for a purpose."""
        return self.purposes.get(name, STRICT)

    def quiet_hours(self, purpose: str) -> tuple[DailyWindow, ...]:
        """Return the hours at which no message of a purpose is sent."""
        quiet = self.purpose(purpose).quiet
        return () if quiet is None else (quiet,)

    def closed_hours(self, purpose: str, channel: str) -> tuple[DailyWindow, ...]:
        """Return the hours at which a channel sends no message of a purpose."""
        only = self.channels.get(channel, {}).get(purpose, ChannelPolicy()).only
        return (*self.quiet_hours(purpose), *(() if only is None else (only.complement(),)))


def zone_of(
    policy: ZonePolicy, traits: Mapping[str, object], zones_of_phone: tuple[str, ...]
) -> str:
    """Return the zone of a person: by traits, by phone, or the default.

    `zones_of_phone`: those of the country of the phone number; several do not decide.
    """
    for name in policy.traits:
        zone = traits.get(name)
        if isinstance(zone, str) and is_zone(zone):
            return zone
    if policy.from_phone and len(zones_of_phone) == 1 and is_zone(zones_of_phone[0]):
        return zones_of_phone[0]
    return policy.default


def parse_contact_policy(form: Json, path: str = "") -> ContactPolicy:
    """Return the policy of a decoded YAML or JSON form. Raises RuleError with a path."""
    policy: ContactPolicy = _POLICY.read(form, path, FormContext(Defaults()))
    for channel, purposes in policy.channels.items():
        for purpose in purposes:
            if purpose not in policy.purposes:
                remedy = "write it below `purposes`, or correct the name"
                at = f"{path}.channels.{channel}.{purpose}".removeprefix(".")
                raise RuleError("the purpose is not defined", remedy, field=at)
    return policy


def dump_contact_policy(policy: ContactPolicy) -> Json:
    """Return the form of a policy, as `parse_contact_policy` reads it."""
    return _POLICY.write(policy, FormContext(Defaults()))


def never_open(policy: ContactPolicy) -> list[str]:
    """Return the channels and purposes whose hours leave no time to send, as `sms.marketing`."""
    zones = ZoneHistory(policy.zone.default)
    return [
        f"{channel}.{purpose}"
        for channel, purposes in policy.channels.items()
        for purpose in purposes
        if zones.next_open(0, policy.closed_hours(purpose, channel)) is None
    ]


_HOURS: Final = [Key("from", "from_minute", CLOCK), Key("to", "to_minute", CLOCK)]
_ONLY: Final = Record(DailyWindow, [*_HOURS, Key("zone", "zone", NAME)])
_PURPOSE: Final = Record(
    PurposePolicy,
    [
        Key("consent", "consent", word(ConsentNeed, also={"asked": ConsentNeed.GRANTED})),
        Key("quiet", "quiet", Record(DailyWindow, _HOURS)),
        Key("caps", "caps", ListOf(CAP)),
    ],
)
_CHANNEL: Final = Record(
    ChannelPolicy, [Key("only", "only", _ONLY), Key("ends_with", "ends_with", NAME)]
)
_ZONE: Final = Record(
    ZonePolicy,
    [
        Key("traits", "traits", NAMES),
        Key("from_phone", "from_phone", FLAG),
        Key("else", "default", NAME),
    ],
)
_HOLD_OUT: Final = Record(
    WorkspaceHoldOut, [Key("share", "share_ppm", SHARE), Key("salt", "salt", NAME)]
)
_POLICY: Final = Record(
    ContactPolicy,
    [
        Key("zone", "zone", _ZONE),
        Key("purposes", "purposes", MapOf(_PURPOSE)),
        Key("channels", "channels", MapOf(MapOf(_CHANNEL))),
        Key("hold_out", "hold_out", _HOLD_OUT),
    ],
)
