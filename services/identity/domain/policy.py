"""Which evidence makes one profile of identifiers: a value, checked once and then only asked.

A policy never changes evidence. It only says what of it binds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from services.kernel.identifiers import ACCOUNT_ID, DEVICE_NAMESPACES, PRIORITY, base_namespace
from services.kernel.identifiers.hashes import hash_algorithm_of

#: Namespaces are made up by senders; places of so many are looked up once.
_MOST_REMEMBERED = 1_000


class MatchMode(IntEnum):
    """Which evidence of a namespace binds."""

    ALWAYS = 1
    #: Being seen together binds only where the sender has checked the identifier.
    VERIFIED = 2
    #: Being seen together never binds; an alias or a decision does.
    NEVER = 3


@dataclass(frozen=True, slots=True)
class NamespaceRule:
    """What identifiers of one namespace may bind."""

    #: At most so many in one profile; 0 = any number.
    limit: int = 0
    #: Seen with more than so many stronger ones of one namespace it is shared; 0 = never.
    shared_after: int = 0
    #: Days after which it has changed hands; 0 = never.
    recycled_after_days: int = 0
    match_mode: MatchMode = MatchMode.ALWAYS

    @property
    def uses_co_occurrence(self) -> bool:
        """Whether what binds depends on all that an identifier was seen with."""
        return self.shared_after > 0 or self.recycled_after_days > 0


NO_RULE = NamespaceRule()


class Blocked(NamedTuple):
    """Identifiers that bind nobody."""

    #: Empty = every namespace.
    namespace: str
    #: The standard form; `*` stands for any characters.
    pattern: str


@dataclass(frozen=True)
class Policy:
    """Which evidence binds, and how much of it."""

    #: 0 = the one that holds where none is defined.
    version: int = 0
    #: Strongest first.
    rules: Mapping[str, NamespaceRule] = field(default_factory=dict)
    blocked: tuple[Blocked, ...] = ()
    #: Evidence of these strengths binds nobody.
    ignored: frozenset[int] = frozenset()

    def rule(self, namespace: str) -> NamespaceRule:
        """The rule of a namespace.

        A listed namespace stands for its scoped forms (`wechat_openid.wx5f1a`) and its digests
        (`email_sha256`) too, unless those are listed themselves; each of them has the limit.
        """
        return self._place(namespace)[1]

    def priority(self, namespace: str) -> int:
        """The place of a namespace; the smaller, the stronger.

        Those that are not listed stand before the first one that names a machine and not a person.
        """
        return self._place(namespace)[0]

    def limit(self, namespace: str) -> int:
        """How many of a namespace one profile may have; 0 = any number."""
        return self._place(namespace)[1].limit

    def blocks(self, namespace: str, value: str) -> bool:
        """Whether an identifier names nobody."""
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
        """Whether any identifier is judged by all that it was seen with."""
        return any(rule.uses_co_occurrence for rule in self.rules.values())

    def _place(self, namespace: str) -> tuple[int, NamespaceRule]:
        places = self._places
        found = places.get(namespace)
        if found is None:
            listed = next((name for name in policy_names(namespace) if name in self.rules), None)
            found = (self._unlisted, NO_RULE) if listed is None else places[listed]
            if len(places) < _MOST_REMEMBERED:
                places[namespace] = found
        return found

    @cached_property
    def _places(self) -> dict[str, tuple[int, NamespaceRule]]:
        place = self._unlisted
        return {
            name: (i if i < place else i + 1, rule)
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
    """The regular expression of a pattern; it never goes back, however many `*` there are."""
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + f".*{last}"


def policy_names(namespace: str) -> Iterator[str]:
    """The names under which a policy may list a namespace, the nearest first."""
    yield namespace
    algorithm = hash_algorithm_of(namespace)
    if algorithm:
        namespace = namespace.removesuffix(f"_{algorithm}")
        yield namespace
    yield base_namespace(namespace)


def default_policy() -> Policy:
    """What holds where no policy is defined: protective, and told in the documents.

    * An id that a system of record gives (`user_id`, `member_id`, `wechat_unionid`,
      `wechat_openid` of each app) is one person:
      two of them never merge because they were seen with the same phone. An alias or a person's
      decision may say that they are the same.
    * A person has a few e-mail addresses and phones: at most 5 of each. More would be a shop's
      counter, a call centre or a test.
    * What was seen with more than 10 persons' ids is shared, and tells nobody apart: a family has
      fewer members than that, a reception desk or a kiosk soon has more.
    * A phone number that nobody used for half a year, and then somebody else does, was given to
      somebody else: operators hand numbers out again after 90 days or more.
    * Accounts are told apart by their ids, as persons are, whatever domain they share.
    * Machines' identifiers may be many; only sharing is bounded.
    """
    single, address = NamespaceRule(limit=1), NamespaceRule(limit=5, shared_after=10)
    special = {"email": address, "phone": NamespaceRule(5, 10, 180)}
    rules = {name: special.get(name, single) for name in (*PRIORITY, ACCOUNT_ID)}
    return Policy(
        rules={**rules, **dict.fromkeys(DEVICE_NAMESPACES, NamespaceRule(shared_after=10))}
    )


DEFAULT = default_policy()
