"""The slow, obvious model of identity: everything is looked at at once, again and again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import combinations

from services.identity.domain.evidence import Decision, FirstSeen, EvidenceKind, DecisionKind
from services.identity.domain.linking import HeldReason
from services.identity.domain.policy import DEFAULT, MatchMode, Policy, NamespaceRule
from services.kernel.identifiers import DEVICE_NAMESPACES, Identifier, leaf_of, primary_identifier
from services.kernel.ids import FactId, IdentifierId, ProfileId, WorkspaceId, hash_id
from services.kernel.time import DAY_US

WORKSPACE = WorkspaceId("school")


@dataclass(frozen=True)
class Seen:
    """One event, as far as identity cares."""

    identifiers: tuple[Identifier, ...]
    occurred_at_us: int
    message: int
    alias: bool = False
    #: Those of `identifiers` that the sender has checked.
    verified: frozenset[Identifier] = frozenset()

    @property
    def first(self) -> FirstSeen:
        parts = (f"{self.message}", *(f"{i}" for i in sorted(self.identifiers)))
        return FirstSeen(self.occurred_at_us, FactId(hash_id(*parts)))

    @property
    def leaf(self) -> bytes:
        return leaf_of(WORKSPACE, self.identifiers)


@dataclass(frozen=True)
class Ruled:
    """A person decided about two identifiers."""

    one: Identifier
    other: Identifier
    verdict: DecisionKind
    occurred_at_us: int
    message: int

    @property
    def first(self) -> FirstSeen:
        # Another decision is another fact.
        parts = (str(self.one), str(self.other), str(int(self.verdict)), str(self.message))
        return FirstSeen(self.occurred_at_us, FactId(hash_id(*parts)))

    @property
    def decision(self) -> Decision:
        return Decision(self.first, self.verdict, "ann", f"because {self.message}")

    @property
    def leaf(self) -> bytes:
        return min(self.one.id_in(WORKSPACE), self.other.id_in(WORKSPACE))


Story = Sequence[Seen | Ruled]
#: Two identifiers and a strength.
Tie = tuple[frozenset[Identifier], EvidenceKind]


@dataclass
class Truth:
    """What identity must come to know."""

    profiles: dict[IdentifierId, ProfileId] = field(default_factory=dict)
    #: Every tie that does not bind, and why.
    held: dict[Tie, tuple[HeldReason, str]] = field(default_factory=dict)
    firsts: dict[Identifier, FirstSeen] = field(default_factory=dict)
    ties: dict[Tie, list[FirstSeen]] = field(default_factory=dict)

    def people(self) -> set[frozenset[Identifier]]:
        """The partition."""
        named = {i.id_in(WORKSPACE): i for i in self.firsts}
        by_profile: dict[bytes, set[Identifier]] = {}
        for id_, profile in self.profiles.items():
            by_profile.setdefault(profile, set()).add(named[id_])
        return {frozenset(some) for some in by_profile.values()}


def truth(story: Iterable[Seen | Ruled], policy: Policy = DEFAULT) -> Truth:
    """All people, by looking at everything at once, slowly."""
    story = list(story)
    known = Truth()
    for fact in story:
        named = fact.identifiers if isinstance(fact, Seen) else (fact.one, fact.other)
        for i in named:
            known.firsts[i] = min(known.firsts.get(i, fact.first), fact.first)
        if isinstance(fact, Seen):
            for tie in ties_of(fact):
                known.ties.setdefault(tie, []).append(fact.first)
    decisions = latest(story)
    for pair, ruled in decisions.items():
        if ruled.verdict == DecisionKind.LINK:
            known.ties[pair, EvidenceKind.DECIDED] = [ruled.first]
    apart = [pair for pair, ruled in decisions.items() if ruled.verdict == DecisionKind.SEPARATE]
    _decide(known, apart, policy)
    return known


def ties_of(event: Seen) -> list[Tie]:
    """Who is named with whom on one event."""
    leaf = primary_identifier(event.identifiers)
    rest = set(event.identifiers) - {leaf}
    if event.alias:
        return [(frozenset({leaf, i}), EvidenceKind.STATED) for i in rest]
    together: list[Tie] = [
        (
            frozenset({leaf, i}),
            EvidenceKind.VERIFIED if i in event.verified else EvidenceKind.OBSERVED,
        )
        for i in rest
    ]
    if rest:
        second = primary_identifier(rest)
        together += [(frozenset({second, i}), EvidenceKind.CO_OBSERVED) for i in rest - {second}]
    return together


def latest(story: Story) -> dict[frozenset[Identifier], Ruled]:
    """The decision that counts for each two."""
    decisions: dict[frozenset[Identifier], Ruled] = {}
    for fact in sorted((f for f in story if isinstance(f, Ruled)), key=lambda f: f.first):
        if fact.one != fact.other:
            decisions[frozenset({fact.one, fact.other})] = fact
    return decisions


def _decide(known: Truth, apart: list[frozenset[Identifier]], policy: Policy) -> None:
    for tie in known.ties:
        why = not_eligible(tie, known, policy)
        if why is not None:
            known.held[tie] = why
    people = [frozenset({i}) for i in known.firsts]
    same: list[frozenset[Identifier]] = list(people)
    order = sorted(
        (t for t in known.ties if t not in known.held), key=lambda t: _order(t, known, policy)
    )
    for tie in order:
        pair, strength = tie
        left, right = (next(p for p in people if i in p) for i in pair)
        if left == right:
            continue
        union = left | right
        if any(two <= union for two in apart):
            known.held[tie] = (HeldReason.SEPARATED, "")
            continue
        if strength in (EvidenceKind.DECIDED, EvidenceKind.STATED):
            same = [g for g in same if not g <= union] + [union]
        else:
            over = _over(union, same, policy)
            if over:
                known.held[tie] = (HeldReason.LIMIT, over)
                continue
        people = [p for p in people if p not in (left, right)] + [union]
    for person in people:
        name = min((known.firsts[i], i.id_in(WORKSPACE)) for i in person)[1]
        known.profiles |= {i.id_in(WORKSPACE): ProfileId(name) for i in person}


def _order(tie: Tie, known: Truth, policy: Policy) -> tuple[object, ...]:
    pair, strength = tie
    ranks = sorted(rank(i.namespace, policy) for i in pair)
    return (strength, min(known.ties[tie]), ranks, sorted(i.id_in(WORKSPACE) for i in pair))


def listed_as(namespace: str, policy: Policy) -> str | None:
    """The name under which a policy lists a namespace."""
    plain = namespace.removesuffix("_sha256")
    for name in (namespace, plain, plain.split(".")[0]):
        if name in policy.rules:
            return name
    return None


def _rule(namespace: str, policy: Policy) -> NamespaceRule:
    name = listed_as(namespace, policy)
    return policy.rules[name] if name else NamespaceRule()


def _over(person: frozenset[Identifier], same: list[frozenset[Identifier]], policy: Policy) -> str:
    """The first namespace of which a person has too many; those said to be the same count once."""
    namespaces = {i.namespace for i in person}
    for namespace in sorted(namespaces, key=lambda n: (rank(n, policy), n)):
        rule = _rule(namespace, policy)
        groups = [g for g in same if g <= person and any(i.namespace == namespace for i in g)]
        if rule.limit and len(groups) > rule.limit:
            return namespace
    return ""


def rank(namespace: str, policy: Policy) -> int:
    """The place of a namespace: as listed; others before the machines'."""
    listed = list(policy.rules)
    machines = [n for n in listed if n in DEVICE_NAMESPACES]
    order = listed[: listed.index(machines[0])] if machines else listed
    places = [*order, None, *listed[len(order) :]]
    return places.index(listed_as(namespace, policy))


def not_eligible(tie: Tie, known: Truth, policy: Policy) -> tuple[HeldReason, str] | None:
    """Why a tie binds nobody, whoever else is one person."""
    pair, strength = tie
    if strength == EvidenceKind.DECIDED:
        return None
    ends = sorted(pair, key=lambda i: (rank(i.namespace, policy), i.namespace), reverse=True)
    for i in ends:
        for namespace, pattern in policy.blocked:
            if namespace in ("", i.namespace) and fnmatchcase(i.value, pattern):
                return HeldReason.BLOCKED, i.namespace
    if strength in policy.ignored:
        return HeldReason.IGNORED, ""
    if strength == EvidenceKind.STATED:
        return None
    for i in ends:
        if strength not in _allowed(i.namespace, policy):
            return HeldReason.IGNORED, i.namespace
    for i in ends:
        if _is_shared(i, known, policy):
            return HeldReason.SHARED, i.namespace
    for i in ends:
        if _gave_up(i, pair, known, policy):
            return HeldReason.RECYCLED, i.namespace
    return None


def _allowed(namespace: str, policy: Policy) -> set[EvidenceKind]:
    linking = _rule(namespace, policy).match_mode
    if linking == MatchMode.NEVER:
        return set()
    if linking == MatchMode.VERIFIED:
        return {EvidenceKind.VERIFIED}
    return {EvidenceKind.VERIFIED, EvidenceKind.OBSERVED, EvidenceKind.CO_OBSERVED}


def _met(i: Identifier, known: Truth, policy: Policy) -> dict[Identifier, list[FirstSeen]]:
    """The stronger identifiers that one was seen with by evidence that may bind it, and when."""
    met: dict[Identifier, list[FirstSeen]] = {}
    for (pair, strength), firsts in known.ties.items():
        if i not in pair or strength not in (EvidenceKind.VERIFIED, EvidenceKind.OBSERVED):
            continue
        if strength in policy.ignored or strength not in _allowed(i.namespace, policy):
            continue
        (other,) = pair - {i}
        if rank(other.namespace, policy) < rank(i.namespace, policy):
            met.setdefault(other, []).extend(firsts)
    return met


def _is_shared(i: Identifier, known: Truth, policy: Policy) -> bool:
    most = _rule(i.namespace, policy).shared_after
    namespaces = [other.namespace for other in _met(i, known, policy)]
    return most > 0 and any(namespaces.count(n) > most for n in namespaces)


def _gave_up(i: Identifier, pair: frozenset[Identifier], known: Truth, policy: Policy) -> bool:
    days = _rule(i.namespace, policy).recycled_after_days
    if not days:
        return False
    met = _met(i, known, policy)
    together = [
        _last_day(at)
        for (other_pair, strength), firsts in known.ties.items()
        if other_pair == pair and strength > EvidenceKind.STATED
        for at in firsts
    ]
    for one, two in [*combinations(met, 2), *((b, a) for a, b in combinations(met, 2))]:
        if one.namespace != two.namespace:
            continue
        handed_over = _day(min(met[two]))
        gone = handed_over - _last_day(max(met[one])) >= days
        if gone and handed_over - max(together) >= days:
            return True
    return False


def _day(at: FirstSeen) -> int:
    return at.occurred_at_us // DAY_US


def _last_day(at: FirstSeen) -> int:
    return next(day for day in range(_day(at), _day(at) + 30) if day % 30 == 29)
