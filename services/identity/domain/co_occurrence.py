"""Classifies identifiers by their neighbours: shared by many, or recycled to a new holder.

The neighbours that count are identifiers of a higher priority: the holders of this one. Those of
one person count once: one event has both, an alias states it, or a decision links them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations
from typing import NamedTuple, TypeAlias

from services.identity.domain.components import connected_components
from services.identity.domain.evidence import Edge, EvidenceKind, Pair, SeenSpan, period_end_day
from services.identity.domain.policy import MatchMode, NamespaceRule, Policy
from services.kernel.identifiers.priority import is_device_namespace
from services.kernel.ids import IdentifierId
from services.kernel.time import DAY_US

#: Edges of these kinds are held where one of their ends is shared or was recycled.
CO_OCCURRENCE_KINDS = (
    EvidenceKind.VERIFIED,
    EvidenceKind.OBSERVED,
    EvidenceKind.CO_OBSERVED,
    EvidenceKind.CLAIMED,
)


#: Edges of these kinds show that two holders are one person. Claims of public sources do not.
JOINT_KINDS = (
    EvidenceKind.DECIDED,
    EvidenceKind.STATED,
    EvidenceKind.VERIFIED,
    EvidenceKind.OBSERVED,
    EvidenceKind.CO_OBSERVED,
)
#: The smallest kind of the edges between two identifiers.
JointKinds: TypeAlias = Mapping[Pair, int]
NO_JOINT: JointKinds = {}
#: A device that was seen with more weaker devices (browsers) than this is shared, whatever number
#: of persons may share it: applications and browsers change their ids.
MAX_DEVICES = 10


def max_holders(rule: NamespaceRule) -> int:
    """Return the number of holders above which an identifier is shared, also if all of them were
    one person: so many are never compared with each other."""
    return 4 * rule.shared_after + 16


def has_too_many(holders: Mapping[IdentifierId, str], rule: NamespaceRule) -> bool:
    """Return whether an identifier with these holders, by their namespaces, is shared whichever of
    them are one person."""
    devices = Counter(name for name in holders.values() if is_device_namespace(name))
    most = max(MAX_DEVICES, rule.shared_after)
    has_many_devices = any(count > most for count in devices.values())
    is_many = len(holders) - devices.total() > max_holders(rule)
    return rule.shared_after > 0 and (has_many_devices or is_many)


class Neighbour(NamedTuple):
    """An identifier of a higher priority that another one was seen with."""

    id: IdentifierId
    namespace: str
    span: SeenSpan
    #: Of the edge, as EvidenceKind.
    kind: int


class CoOccurrence(NamedTuple):
    """The class of an identifier by all the neighbours that it was seen with."""

    #: It was seen with too many.
    shared: bool = False
    #: The day on which its newest holder was first seen; None = it was never recycled.
    recycled_on_day: int | None = None

    def is_before_handover(self, last_seen_day: int, rule: NamespaceRule) -> bool:
        """Return whether an edge last seen on a day belongs to an earlier holder."""
        day = self.recycled_on_day
        return day is not None and last_seen_day + rule.recycled_after_days <= day


UNREMARKABLE = CoOccurrence()
SHARED = CoOccurrence(shared=True)


def counted_kinds(namespace: str, policy: Policy) -> list[EvidenceKind]:
    """Return the kinds of edges whose other ends count as neighbours: those that may link.

    Claims count for devices alone, and only very many of them make one shared. Otherwise a reader
    of a public key could take the phone number or the browser of a customer from its profile.
    """
    mode = policy.rule(namespace).match_mode
    if mode == MatchMode.NEVER:
        return []
    kinds = [EvidenceKind.VERIFIED]
    if mode == MatchMode.ALWAYS:
        kinds.append(EvidenceKind.OBSERVED)
        if is_device_namespace(namespace):
            kinds.append(EvidenceKind.CLAIMED)
    return [kind for kind in kinds if kind not in policy.ignored]


def counts_as_neighbour(namespace: str, other: str, kind: int, policy: Policy) -> bool:
    """Return whether an edge of a kind makes an identifier of the namespace `other` a neighbour of
    one of `namespace`."""
    if kind not in counted_kinds(namespace, policy):
        return False
    return policy.priority(other) < policy.priority(namespace)


def holders_to_compare(neighbours: Iterable[Neighbour], rule: NamespaceRule) -> set[IdentifierId]:
    """Return the holders of an identifier if it depends on their joint kinds whether it is shared;
    else nothing."""
    if not rule.shared_after:
        return set()
    holders = {
        one.id
        for one in neighbours
        if one.kind != EvidenceKind.CLAIMED and not is_device_namespace(one.namespace)
    }
    return holders if rule.shared_after < len(holders) <= max_holders(rule) else set()


def joint_kinds(edges: Iterable[Edge], ids: Collection[IdentifierId]) -> dict[Pair, int]:
    """Return the joint kinds of the pairs of some identifiers."""
    found: dict[Pair, int] = {}
    for a, b, kind in edges:
        if kind in JOINT_KINDS and a in ids and b in ids:
            pair = Pair(a, b)
            found[pair] = min(kind, found.get(pair, kind))
    return found


def classify_neighbours(
    neighbours: Collection[Neighbour], rule: NamespaceRule, joint: JointKinds, policy: Policy
) -> CoOccurrence:
    """Return the class of an identifier; a neighbour may have several edges.

    `joint` has the joint kinds of `holders_to_compare`.
    """
    if len(neighbours) < 2:  # the usual case; sharing and a handover take two holders
        return UNREMARKABLE
    by_namespace: dict[str, dict[IdentifierId, SeenSpan]] = {}
    trusted: set[IdentifierId] = set()
    for id_, namespace, span, kind in neighbours:
        if kind != EvidenceKind.CLAIMED:
            trusted.add(id_)
        spans = by_namespace.setdefault(namespace, {})
        existing = spans.get(id_)
        spans[id_] = span if existing is None else existing.union(span)
    recycled_on_day = None
    if rule.recycled_after_days:
        days = [_last_handover_day(spans, rule) for spans in by_namespace.values()]
        recycled_on_day = max((day for day in days if day is not None), default=None)
    found = CoOccurrence(False, recycled_on_day)
    holders = {id_: name for name, spans in by_namespace.items() for id_ in spans}
    if has_too_many(holders, rule):
        return SHARED
    # Those before a handover do not share it with those after. A claim is not enough: one reader of
    # a public key could take a device from its person.
    current = {
        id_: name
        for name, spans in by_namespace.items()
        for id_, span in spans.items()
        if id_ in trusted and not found.is_before_handover(span.last_seen_day, rule)
    }
    return SHARED if _is_shared(current, rule, joint, policy) else found


def _is_shared(
    holders: Mapping[IdentifierId, str], rule: NamespaceRule, joint: JointKinds, policy: Policy
) -> bool:
    persons = {id_: name for id_, name in holders.items() if not is_device_namespace(name)}
    limit = rule.shared_after
    if not limit or len(persons) <= limit:
        return False
    return count_persons(persons, joint, policy) > limit


def count_persons(holders: Mapping[IdentifierId, str], joint: JointKinds, policy: Policy) -> int:
    """Return how many persons some identifiers, by their namespaces, are at least.

    Ids of persons are one person if they are linked, except two of one namespace without an alias
    or a decision. Addresses are persons of their own unless they are linked to one of these.
    """
    ids = list(holders)
    is_person = [policy.is_person_id(holders[id_]) for id_ in ids]
    links: list[tuple[int, int]] = []
    aliases: list[tuple[int, int]] = []
    attached: set[int] = set()
    for i, k in combinations(range(len(ids)), 2):
        kind = joint.get(Pair(*sorted((ids[i], ids[k]))))
        if kind is None:
            continue
        if is_person[i] == is_person[k]:
            links.append((i, k))
        else:
            attached.add(k if is_person[i] else i)
        if kind <= EvidenceKind.STATED:
            aliases.append((i, k))
    roots = connected_components(len(ids), links)
    same = connected_components(len(ids), aliases)
    of_namespace = Counter(
        (root, namespace)
        for root, namespace, _ in {
            (roots[i], holders[id_], same[i]) for i, id_ in enumerate(ids) if is_person[i]
        }
    )
    persons: dict[int, int] = {}
    for (root, _), count in of_namespace.items():
        persons[root] = max(count, persons.get(root, 0))
    attached_roots = {roots[i] for i in attached}
    others = {roots[i] for i in range(len(ids)) if not is_person[i]} - attached_roots
    return sum(persons.values()) + len(others)


def _last_handover_day(holders: Mapping[IdentifierId, SeenSpan], rule: NamespaceRule) -> int | None:
    """Return the last day on which a holder was first seen long after another was last seen.

    A holder that was seen in one period only does not count: one event with a lent card or with a
    mistyped number looks like that.
    """
    latest = None
    first_to_leave = sorted((span.last_seen_day, id_) for id_, span in holders.items())[:2]
    for id_, span in holders.items():
        if span.last_seen_day == period_end_day(span.first.occurred_at_us):
            continue
        day = span.first.occurred_at_us // DAY_US
        left = next((last for last, other in first_to_leave if other != id_), None)
        if left is not None and left + rule.recycled_after_days <= day:
            latest = day if latest is None else max(latest, day)
    return latest


def last_seen_days(edges: Mapping[Edge, SeenSpan]) -> dict[tuple[bytes, bytes], int]:
    """Return the last day on which each pair was seen together by any kind of edge but claims."""
    days: dict[tuple[bytes, bytes], int] = {}
    for (a, b, kind), span in edges.items():
        if kind in CO_OCCURRENCE_KINDS and kind != EvidenceKind.CLAIMED:
            days[a, b] = max(days.get((a, b), span.last_seen_day), span.last_seen_day)
    return days
