"""Models identity slowly and plainly: all facts at once, one edge after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import permutations

from services.identity.domain.evidence import Decision, DecisionKind, EvidenceKind, FirstSeen
from services.identity.domain.held import HeldReason
from services.identity.domain.policy import DEFAULT, MatchMode, NamespaceRule, Policy
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import DEVICE_NAMESPACES, leaf_of, primary_identifier
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId, hash_id
from services.kernel.time import DAY_US
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY

WORKSPACE = WorkspaceId("school")


@dataclass(frozen=True)
class ModelEvent:
    """An event, as far as identity depends on it."""

    identifiers: tuple[Identifier, ...]
    occurred_at_us: int
    message: int
    alias: bool = False
    #: Those of `identifiers` that the sender has checked.
    verified: frozenset[Identifier] = frozenset()
    #: The trust of its source.
    trust: SourceTrust = SourceTrust.SERVER

    @property
    def kind(self) -> EvidenceKind:
        """Return the kind of its evidence, where no identifier is verified."""
        if self.trust == SourceTrust.PUBLIC:
            return EvidenceKind.CLAIMED
        return EvidenceKind.STATED if self.alias else EvidenceKind.OBSERVED

    @property
    def first(self) -> FirstSeen:
        parts = (f"{self.message}", *(f"{i}" for i in sorted(self.identifiers)))
        return FirstSeen(self.occurred_at_us, FactId(hash_id(*parts)))

    @property
    def leaf(self) -> bytes:
        return leaf_of(WORKSPACE, self.identifiers, INDEX_KEY)


@dataclass(frozen=True)
class ModelDecision:
    """A manual decision about two identifiers."""

    one: Identifier
    other: Identifier
    kind: DecisionKind
    occurred_at_us: int
    message: int

    @property
    def first(self) -> FirstSeen:
        # Another decision is another fact.
        parts = (str(self.one), str(self.other), str(int(self.kind)), str(self.message))
        return FirstSeen(self.occurred_at_us, FactId(hash_id(*parts)))

    @property
    def decision(self) -> Decision:
        return Decision(self.first, self.kind, "ann", f"because {self.message}")

    @property
    def leaf(self) -> bytes:
        return min(self.one.id_in(WORKSPACE, INDEX_KEY), self.other.id_in(WORKSPACE, INDEX_KEY))


History = Sequence[ModelEvent | ModelDecision]
#: Two identifiers and the kind of evidence.
ModelEdge = tuple[frozenset[Identifier], EvidenceKind]


@dataclass
class ExpectedState:
    """The state that identity must end in."""

    profiles: dict[IdentifierId, ProfileId] = field(default_factory=dict)
    #: Every edge that does not link, and why.
    held: dict[ModelEdge, tuple[HeldReason, str]] = field(default_factory=dict)
    first_seen: dict[Identifier, FirstSeen] = field(default_factory=dict)
    edges: dict[ModelEdge, list[FirstSeen]] = field(default_factory=dict)

    def partition(self) -> set[frozenset[Identifier]]:
        by_id = {i.id_in(WORKSPACE, INDEX_KEY): i for i in self.first_seen}
        by_profile: dict[bytes, set[Identifier]] = {}
        for id_, profile in self.profiles.items():
            by_profile.setdefault(profile, set()).add(by_id[id_])
        return {frozenset(some) for some in by_profile.values()}


def expected_state(
    history: Iterable[ModelEvent | ModelDecision], policy: Policy = DEFAULT
) -> ExpectedState:
    """Return the state that follows from all facts."""
    history = list(history)
    state = ExpectedState()
    for fact in history:
        is_event = isinstance(fact, ModelEvent)
        for i in fact.identifiers if is_event else (fact.one, fact.other):
            state.first_seen[i] = min(state.first_seen.get(i, fact.first), fact.first)
        for edge in edges_of(fact) if is_event else ():
            state.edges.setdefault(edge, []).append(fact.first)
    decisions = latest_decisions(history)
    for pair, decision in decisions.items():
        if decision.kind == DecisionKind.LINK:
            state.edges[pair, EvidenceKind.DECIDED] = [decision.first]
    apart = [pair for pair, one in decisions.items() if one.kind == DecisionKind.SEPARATE]
    _link(state, apart, policy)
    return state


def edges_of(event: ModelEvent) -> list[ModelEdge]:
    """Return the edges of one event."""
    leaf = primary_identifier(event.identifiers)
    rest = set(event.identifiers) - {leaf}
    if event.kind != EvidenceKind.OBSERVED:
        return [(frozenset({leaf, i}), event.kind) for i in rest]
    edges: list[ModelEdge] = [
        (
            frozenset({leaf, i}),
            EvidenceKind.VERIFIED if i in event.verified else EvidenceKind.OBSERVED,
        )
        for i in rest
    ]
    if rest:
        second = primary_identifier(rest)
        edges += [(frozenset({second, i}), EvidenceKind.CO_OBSERVED) for i in rest - {second}]
    return edges


def latest_decisions(history: History) -> dict[frozenset[Identifier], ModelDecision]:
    """Return the decision that counts for each pair."""
    decisions: dict[frozenset[Identifier], ModelDecision] = {}
    found = [fact for fact in history if isinstance(fact, ModelDecision)]
    for fact in sorted(found, key=lambda f: f.first):
        if fact.one != fact.other:
            decisions[frozenset({fact.one, fact.other})] = fact
    return decisions


def _link(state: ExpectedState, apart: list[frozenset[Identifier]], policy: Policy) -> None:
    for edge in state.edges:
        why = held_reason(edge, state, policy)
        if why is not None:
            state.held[edge] = why
    profiles = [frozenset({i}) for i in state.first_seen]
    same: list[frozenset[Identifier]] = list(profiles)
    #: How many claims have joined groups in each profile.
    claims: dict[frozenset[Identifier], int] = {}
    eligible = (edge for edge in state.edges if edge not in state.held)
    for edge in sorted(eligible, key=lambda one: _order(one, state, policy)):
        pair, kind = edge
        left, right = (next(p for p in profiles if i in p) for i in pair)
        if left == right:
            continue
        union = left | right
        most = policy.claimed_devices if kind == EvidenceKind.CLAIMED else 0
        if most and max(claims.get(left, 0), claims.get(right, 0)) >= most:
            state.held[edge] = (HeldReason.TOO_MANY_CLAIMS, "")
            continue
        if any(two <= union for two in apart):
            state.held[edge] = (HeldReason.SEPARATED, "")
            continue
        if kind == EvidenceKind.CLAIMED and _has_person(left) and _has_person(right):
            state.held[edge] = (HeldReason.OTHER_PERSON, "")
            continue
        if kind in (EvidenceKind.DECIDED, EvidenceKind.STATED):
            same = [g for g in same if not g <= union] + [union]
        else:
            broken = _broken_limit(union, same, policy)
            if broken:
                state.held[edge] = (HeldReason.LIMIT, broken)
                continue
            has_two = kind != EvidenceKind.CLAIMED and all(is_person_id(i, policy) for i in pair)
            if not has_two and all(any(is_person_id(i, policy) for i in p) for p in (left, right)):
                state.held[edge] = (HeldReason.OTHER_PERSON, "")
                continue
        profiles = [p for p in profiles if p not in (left, right)] + [union]
        own = kind == EvidenceKind.CLAIMED
        claims[union] = claims.get(left, 0) + claims.get(right, 0) + own
    for profile in profiles:
        name = min((state.first_seen[i], i.id_in(WORKSPACE, INDEX_KEY)) for i in profile)[1]
        state.profiles |= {i.id_in(WORKSPACE, INDEX_KEY): ProfileId(name) for i in profile}


def _has_person(profile: frozenset[Identifier]) -> bool:
    """Return whether a profile is more than devices."""
    return any(i.namespace not in DEVICE_NAMESPACES for i in profile)


def is_person_id(identifier: Identifier, policy: Policy) -> bool:
    """Return whether an identifier stands for one person."""
    plain = identifier.namespace.removesuffix("_sha256").split(".")[0]
    if plain in DEVICE_NAMESPACES or plain in ("email", "phone"):
        return False
    rule = _rule(identifier.namespace, policy)
    return rule.limit > 0 and rule.shared_after == 0


def _order(edge: ModelEdge, state: ExpectedState, policy: Policy) -> tuple[object, ...]:
    pair, kind = edge
    priorities = sorted(priority(i.namespace, policy) for i in pair)
    is_late = kind > EvidenceKind.STATED and not all(is_person_id(i, policy) for i in pair)
    return (
        kind == EvidenceKind.CLAIMED,
        is_late,
        kind,
        min(state.edges[edge]),
        priorities,
        sorted(i.id_in(WORKSPACE, INDEX_KEY) for i in pair),
    )


def listed_as(namespace: str, policy: Policy) -> str | None:
    """Return the name under which a policy lists a namespace."""
    plain = namespace.removesuffix("_sha256")
    for name in (namespace, plain, plain.split(".")[0]):
        if name in policy.rules:
            return name
    return None


def _rule(namespace: str, policy: Policy) -> NamespaceRule:
    name = listed_as(namespace, policy)
    return policy.rules[name] if name else NamespaceRule()


def _broken_limit(
    profile: frozenset[Identifier], same: list[frozenset[Identifier]], policy: Policy
) -> str:
    """Return the first namespace of which a profile has too many. The identifiers that decisions
    and aliases link (a set of `same`) count once."""
    namespaces = {i.namespace for i in profile}
    for namespace in sorted(namespaces, key=lambda n: (priority(n, policy), n)):
        rule = _rule(namespace, policy)
        groups = [g for g in same if g <= profile and any(i.namespace == namespace for i in g)]
        if rule.limit and len(groups) > rule.limit:
            return namespace
    return ""


def priority(namespace: str, policy: Policy) -> int:
    """Return the position of a namespace: as listed; others come before those of devices."""
    listed = list(policy.rules)
    devices = [n for n in listed if n in DEVICE_NAMESPACES]
    before = listed[: listed.index(devices[0])] if devices else listed
    positions = [*before, None, *listed[len(before) :]]
    return positions.index(listed_as(namespace, policy))


def held_reason(
    edge: ModelEdge, state: ExpectedState, policy: Policy
) -> tuple[HeldReason, str] | None:
    """Return why the policy holds an edge, whatever profiles its ends belong to."""
    pair, kind = edge
    if kind == EvidenceKind.DECIDED:
        return None
    ends = sorted(pair, key=lambda i: (priority(i.namespace, policy), i.namespace), reverse=True)
    for i in ends:
        for namespace, pattern in policy.blocked:
            if namespace in ("", i.namespace) and fnmatchcase(i.value, pattern):
                return HeldReason.BLOCKED, i.namespace
    if kind in policy.ignored:
        return HeldReason.IGNORED, ""
    if kind == EvidenceKind.STATED:
        return None
    if kind == EvidenceKind.CLAIMED and all(_has_person(frozenset({i})) for i in ends):
        return HeldReason.UNTRUSTED, ""
    for i in ends:
        if kind not in _allowed(i.namespace, policy):
            return HeldReason.IGNORED, i.namespace
    for i in ends:
        if _is_shared(i, state, policy):
            return HeldReason.SHARED, i.namespace
    for i in ends:
        if _is_recycled(i, edge, state, policy):
            return HeldReason.RECYCLED, i.namespace
    return None


def _allowed(namespace: str, policy: Policy) -> set[EvidenceKind]:
    mode = _rule(namespace, policy).match_mode
    if mode == MatchMode.NEVER:
        return set()
    if mode == MatchMode.VERIFIED:
        return {EvidenceKind.VERIFIED}
    return set(EvidenceKind) - {EvidenceKind.DECIDED, EvidenceKind.STATED}


def _neighbours(
    i: Identifier, state: ExpectedState, policy: Policy
) -> dict[Identifier, list[FirstSeen]]:
    """Return the identifiers of a higher priority that one was seen with by edges that may link it,
    and when."""
    found: dict[Identifier, list[FirstSeen]] = {}
    for (pair, kind), firsts in state.edges.items():
        counted = {EvidenceKind.VERIFIED, EvidenceKind.OBSERVED}
        if i.namespace in DEVICE_NAMESPACES:
            counted.add(EvidenceKind.CLAIMED)
        if i not in pair or kind not in counted:
            continue
        if kind in policy.ignored or kind not in _allowed(i.namespace, policy):
            continue
        (other,) = pair - {i}
        if priority(other.namespace, policy) < priority(i.namespace, policy):
            found.setdefault(other, []).extend(firsts)
    return found


def _is_shared(i: Identifier, state: ExpectedState, policy: Policy) -> bool:
    limit = _rule(i.namespace, policy).shared_after
    if not limit:
        return False
    holders = _neighbours(i, state, policy)
    devices = [other.namespace for other in holders if other.namespace in DEVICE_NAMESPACES]
    if any(devices.count(n) > max(10, limit) for n in devices):
        return True
    others = {other for other in holders if other.namespace not in DEVICE_NAMESPACES}
    days = _rule(i.namespace, policy).recycled_after_days
    handover = max(_handover_days(holders, days), default=-1) if days else -1
    trusted = {
        other
        for other in others
        for pair, kind in state.edges
        if pair == {i, other} and kind in (EvidenceKind.VERIFIED, EvidenceKind.OBSERVED)
        if kind not in policy.ignored and kind in _allowed(i.namespace, policy)
    }
    current = {o for o in trusted if handover - _period_end_day(max(holders[o])) < days or not days}
    return len(others) > 4 * limit + 16 or _persons(current, state, policy) > limit


def _persons(holders: set[Identifier], state: ExpectedState, policy: Policy) -> int:
    """Return how many persons these identifiers are at least."""
    kinds: dict[frozenset[Identifier], set[EvidenceKind]] = {}
    for pair, kind in state.edges:
        if kind != EvidenceKind.CLAIMED and pair <= holders:
            kinds.setdefault(pair, set()).add(kind)
    ids = {i for i in holders if is_person_id(i, policy)}
    aliases = [
        pair for pair, found in kinds.items() if found & {EvidenceKind.DECIDED, EvidenceKind.STATED}
    ]
    same = _groups(holders, aliases)
    number = 0
    for person in _groups(ids, [pair for pair in kinds if pair <= ids]):
        namespaces = {i.namespace for i in person}
        number += max(
            sum(any(i.namespace == n for i in group & person) for group in same) for n in namespaces
        )
    addresses = holders - ids
    for group in _groups(addresses, [pair for pair in kinds if pair <= addresses]):
        number += not any(pair & group and pair & ids for pair in kinds)
    return number


def _groups(
    ids: set[Identifier], pairs: list[frozenset[Identifier]]
) -> list[frozenset[Identifier]]:
    """Return the sets of identifiers that pairs join."""
    groups = [frozenset({i}) for i in ids]
    for pair in pairs:
        joined = [g for g in groups if g & pair]
        groups = [g for g in groups if not g & pair] + [frozenset().union(*joined)]
    return groups


def _is_recycled(i: Identifier, edge: ModelEdge, state: ExpectedState, policy: Policy) -> bool:
    """Return whether an identifier was recycled after the ends of an edge were last seen together.
    A claim does not renew other evidence, and no other evidence renews a claim."""
    pair, own_kind = edge
    days = _rule(i.namespace, policy).recycled_after_days
    if not days:
        return False
    neighbours = _neighbours(i, state, policy)
    together = [
        _period_end_day(at)
        for (other_pair, kind), firsts in state.edges.items()
        if other_pair == pair and kind > EvidenceKind.STATED
        if (kind == EvidenceKind.CLAIMED) == (own_kind == EvidenceKind.CLAIMED)
        for at in firsts
    ]
    handovers = _handover_days(neighbours, days)
    return any(day - max(together) >= days for day in handovers)


def _handover_days(neighbours: dict[Identifier, list[FirstSeen]], days: int) -> list[int]:
    """Return the days on which one holder came long after another of its namespace had left, and
    stayed beyond its first period."""
    return [
        _day(min(neighbours[two]))
        for one, two in permutations(neighbours, 2)
        if one.namespace == two.namespace
        if _period_end_day(min(neighbours[two])) < _period_end_day(max(neighbours[two]))
        if _day(min(neighbours[two])) - _period_end_day(max(neighbours[one])) >= days
    ]


def _day(at: FirstSeen) -> int:
    return at.occurred_at_us // DAY_US


def _period_end_day(at: FirstSeen) -> int:
    return next(day for day in range(_day(at), _day(at) + 30) if day % 30 == 29)
