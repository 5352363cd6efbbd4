"""Defines the identity policy: which evidence may link identifiers into one profile.

A policy never changes evidence. It is an immutable value that was validated when it was defined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, Self

from services.kernel.identifiers.hashes import HASH_ALGORITHMS, hash_algorithm_of
from services.kernel.identifiers.model import ACCOUNT_ID, base_namespace
from services.kernel.identifiers.priority import (
    CONTACT_NAMESPACES,
    DEVICE_NAMESPACES,
    PRIORITY,
    is_contact_namespace,
    is_device_namespace,
)

#: Senders make up namespaces; the positions of at most this many are cached.
_MAX_CACHED = 1_000
#: A person who gets a browser id each week has fewer in fifteen years.
DEFAULT_CLAIMED_DEVICES = 1_000


class MatchMode(IntEnum):
    """Which evidence of a namespace may link."""

    ALWAYS = 1
    #: Co-occurrence links only where the sender has checked the identifier.
    VERIFIED = 2
    #: Co-occurrence never links; an alias or a decision does.
    NEVER = 3


@dataclass(frozen=True, slots=True)
class NamespaceRule:
    """How identifiers of one namespace may be linked."""

    #: The most of them in one profile; 0 = any number.
    limit: int = 0
    #: An identifier is shared if it was seen with more than this many persons; 0 = never.
    shared_after: int = 0
    #: Days without use after which a new holder means that it was recycled; 0 = never.
    recycled_after_days: int = 0
    match_mode: MatchMode = MatchMode.ALWAYS

    @property
    def uses_co_occurrence(self) -> bool:
        """Return whether an edge may be held because of other neighbours of its end."""
        return self.shared_after > 0 or self.recycled_after_days > 0


NO_RULE = NamespaceRule()


class Blocked(NamedTuple):
    """Identifiers that never link anything."""

    #: Empty = every namespace.
    namespace: str
    #: Matched against the normalised value; `*` matches any characters.
    pattern: str


@dataclass(frozen=True)
class Policy:
    """Which evidence may link, and how much of it."""

    #: 0 = the default policy, which applies where none is defined.
    version: int = 0
    #: By namespace, the highest priority first.
    rules: Mapping[str, NamespaceRule] = field(default_factory=dict)
    blocked: tuple[Blocked, ...] = ()
    #: Evidence of these kinds never links.
    ignored: frozenset[int] = frozenset()
    #: So many claims may link in one profile, each of which adds a device; 0 = any number.
    claimed_devices: int = DEFAULT_CLAIMED_DEVICES

    def at_version(self, version: int) -> Self:
        return replace(self, version=version)

    def rule(self, namespace: str) -> NamespaceRule:
        """Return the rule of a namespace.

        A listed namespace covers its scoped forms (`wechat_openid.wx5f1a`) and its digests
        (`email_sha256`) too, unless those are listed themselves; each of them has the limit.
        """
        return self._position(namespace)[1]

    def priority(self, namespace: str) -> int:
        """Return the priority of a namespace; the smaller number is the higher priority.

        Namespaces that are not listed come before the first listed one of a device.
        """
        return self._position(namespace)[0]

    def limit(self, namespace: str) -> int:
        """Return how many of a namespace one profile may have; 0 = any number."""
        return self._position(namespace)[1].limit

    def is_person_id(self, namespace: str) -> bool:
        """Return whether identifiers of a namespace stand for one person each.

        Those with a limit do. Devices and addresses do not, nor do namespaces with `shared_after`,
        nor identifiers of which only the id is known.
        """
        if not namespace or is_device_namespace(namespace) or is_contact_namespace(namespace):
            return False
        rule = self._position(namespace)[1]
        return rule.limit > 0 and not rule.shared_after

    @cached_property
    def other_namespaces(self) -> tuple[str, ...]:
        """The listed namespaces that stand for no person, those of devices and addresses, and the
        digests of all of these; without scoped forms."""
        names = dict.fromkeys((*DEVICE_NAMESPACES, *CONTACT_NAMESPACES, *self.rules))
        digests = (f"{name}_{algorithm}" for name in names for algorithm in HASH_ALGORITHMS)
        return tuple(name for name in (*names, *digests) if not self.is_person_id(name))

    def blocks(self, namespace: str, value: str) -> bool:
        """Return whether an identifier is blocked."""
        if not self.blocked:
            return False
        return any(
            pattern is not None and pattern.fullmatch(value) is not None
            for pattern in (self._patterns.get(namespace), self._patterns.get(""))
        )

    @cached_property
    def limited(self) -> tuple[str, ...]:
        """The listed namespaces that have a limit."""
        return tuple(name for name, rule in self.rules.items() if rule.limit)

    @cached_property
    def uses_co_occurrence(self) -> bool:
        """Return whether any rule depends on co-occurrence."""
        return any(rule.uses_co_occurrence for rule in self.rules.values())

    @cached_property
    def uses_match_modes(self) -> bool:
        """Return whether any rule restricts which evidence may link."""
        return any(rule.match_mode != MatchMode.ALWAYS for rule in self.rules.values())

    def _position(self, namespace: str) -> tuple[int, NamespaceRule]:
        positions = self._positions
        found = positions.get(namespace)
        if found is None:
            listed = next((name for name in policy_names(namespace) if name in self.rules), None)
            found = (self._unlisted, NO_RULE) if listed is None else positions[listed]
            if len(positions) < _MAX_CACHED:
                positions[namespace] = found
        return found

    @cached_property
    def _positions(self) -> dict[str, tuple[int, NamespaceRule]]:
        unlisted = self._unlisted
        return {
            name: (i if i < unlisted else i + 1, rule)
            for i, (name, rule) in enumerate(self.rules.items())
        }

    @cached_property
    def _unlisted(self) -> int:
        return next(
            (i for i, name in enumerate(self.rules) if name in DEVICE_NAMESPACES), len(self.rules)
        )

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        by_namespace: dict[str, list[str]] = {}
        for blocked in self.blocked:
            by_namespace.setdefault(blocked.namespace, []).append(_expression(blocked.pattern))
        return {name: re.compile("|".join(some), re.S) for name, some in by_namespace.items()}


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern; it never backtracks, however many `*` it has."""
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + f".*{last}"


def policy_names(namespace: str) -> Iterator[str]:
    """Yield the names under which a policy may list a namespace, the most specific first."""
    yield namespace
    algorithm = hash_algorithm_of(namespace)
    if algorithm:
        namespace = namespace.removesuffix(f"_{algorithm}")
        yield namespace
    yield base_namespace(namespace)


def default_policy() -> Policy:
    """Return the policy that applies where none is defined; it is protective.

    * An id that a system of record assigns (`user_id`, `member_id`, `wechat_unionid`,
      `wechat_openid` of each app) is one person: two of them never merge because they were seen
      with the same phone. An alias or a decision may still link them.
    * A person has a few e-mail addresses and phones: at most 5 of each. More would be a shop's
      counter, a call centre or a test.
    * An address or a device that was seen with more than one person is shared and links nothing: a
      phone of a family, a tablet, a kiosk. Identifiers that one event has together count as one
      person.
    * A phone number that was unused for half a year and then used by another person was recycled:
      operators assign numbers again after 90 days or more.
    * Accounts are separated by their ids, as persons are, whatever domain they share.
    * Device identifiers may be many; only sharing is bounded, and how many of them claims add.

    `tests/unit/identity/test_household_quality.py` measures it beside other policies.
    """
    single, address = NamespaceRule(limit=1), NamespaceRule(limit=5, shared_after=1)
    phone = NamespaceRule(limit=5, shared_after=1, recycled_after_days=180)
    special = {"email": address, "phone": phone}
    rules = {name: special.get(name, single) for name in (*PRIORITY, ACCOUNT_ID)}
    device = NamespaceRule(shared_after=1)
    return Policy(rules={**rules, **dict.fromkeys(DEVICE_NAMESPACES, device)})


DEFAULT = default_policy()
