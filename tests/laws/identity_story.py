"""Stories for the laws of identity: what hypothesis tells, and policies to judge it by."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from laws.identity_model import WORKSPACE, Ruled, Seen, Truth, truth

from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import (
    Edge,
    IdentifierInWorkspace,
    Pair,
    EvidenceKind,
    DecisionKind,
    edge_of,
    observe,
    span_of,
)
from services.identity.domain.linking import HeldEdge
from services.identity.domain.policy import DEFAULT, Blocked, MatchMode, Policy, NamespaceRule
from services.identity.domain.rows import Evidence, EdgeRow
from services.kernel.digest import digest_of
from services.kernel.identifiers import Identifier, leaf_of
from services.kernel.time import DAY_US

LISTED = ["user_id", "wechat_openid", "crm", "phone", "anonymous_id", "cookie"]
SCOPED = ["wechat_openid.wx1", "wechat_openid.wx2", "phone_sha256"]
#: The commonest first.
NAMESPACES = [*LISTED, *LISTED, *SCOPED]

names = st.builds(Identifier, st.sampled_from(NAMESPACES), st.sampled_from("abc"))
#: Few days, many collisions.
instants = st.builds(lambda day, us: 15 * day * DAY_US + us, st.integers(0, 8), st.integers(0, 3))


@st.composite
def seen(draw: st.DrawFn) -> Seen:
    """An event with one to four identifiers."""
    carried = draw(st.lists(names, min_size=1, max_size=4, unique=True).map(tuple))
    alias = draw(st.sampled_from([False, False, False, True]))
    verified = frozenset(i for i in carried if draw(st.integers(0, 3)) == 0)
    return Seen(carried, draw(instants), draw(st.integers(0, 5)), alias, verified)


ruled = st.builds(
    Ruled, names, names, st.sampled_from(list(DecisionKind)), instants, st.integers(0, 10_000)
)
stories = st.lists(st.one_of(seen(), seen(), seen(), ruled), max_size=20)

rules = st.builds(
    NamespaceRule,
    limit=st.sampled_from([0, 1, 1, 2]),
    shared_after=st.sampled_from([0, 0, 1, 2]),
    recycled_after_days=st.sampled_from([0, 0, 1, 45]),
    match_mode=st.sampled_from(
        [MatchMode.ALWAYS, MatchMode.ALWAYS, MatchMode.VERIFIED, MatchMode.NEVER]
    ),
)
blocked = st.builds(
    Blocked,
    st.sampled_from(["", "user_id", "phone", "cookie"]),
    st.sampled_from(["a", "b*", "*c"]),
)
fancy = st.builds(
    lambda listed, some, ignored: Policy(1, listed, tuple(some), frozenset(ignored)),
    st.lists(
        st.tuples(st.sampled_from([*LISTED, "wechat_openid.wx1"]), rules), unique_by=lambda r: r[0]
    ).map(dict),
    st.lists(blocked, max_size=1),
    st.sets(
        st.sampled_from([EvidenceKind.STATED, EvidenceKind.OBSERVED, EvidenceKind.CO_OBSERVED]),
        max_size=1,
    ),
)
#: The default, made tight enough for few names; and anything else.
tight = st.just(
    Policy(
        0,
        {
            name: NamespaceRule(
                min(rule.limit, 2), min(rule.shared_after, 2), rule.recycled_after_days and 45
            )
            for name, rule in DEFAULT.rules.items()
        },
    )
)
policies = st.one_of(st.just(DEFAULT), tight, fancy, fancy)


def gather(story: Iterable[Seen | Ruled]) -> Evidence:
    """The evidence of a story, by the code under test."""
    evidence = Evidence()
    for fact in story:
        if isinstance(fact, Seen):
            strength = EvidenceKind.STATED if fact.alias else EvidenceKind.OBSERVED
            leaf = leaf_of(WORKSPACE, fact.identifiers)
            said = observe(WORKSPACE, leaf, fact.identifiers, strength, fact.verified)
            evidence.add(said, span_of(fact.first))
        else:
            named = {
                i.id_in(WORKSPACE): IdentifierInWorkspace(WORKSPACE, i)
                for i in (fact.one, fact.other)
            }
            evidence.decide(Pair(min(named), max(named)), fact.decision, named)
    return evidence


def held_edges(known: Truth) -> dict[Edge, HeldEdge]:
    """What does not bind, as the code under test names it."""
    return {
        edge_between(*pair, strength): HeldEdge(*why)
        for (pair, strength), why in known.held.items()
    }


def edge_between(one: Identifier, other: Identifier, strength: int) -> Edge:
    """The edge between two identifiers."""
    return edge_of(one.id_in(WORKSPACE), other.id_in(WORKSPACE), strength)


def digest_of_truth(story: Iterable[Seen | Ruled], policy: Policy = DEFAULT) -> int:
    """The digest of what identity must come to know."""
    story = list(story)
    known, evidence = truth(story, policy), gather(story)
    held = held_edges(known)
    rows = [identifier_share(i, known.profiles[i], f) for i, f in evidence.identifiers.items()]
    rows += [edge_share(e, EdgeRow(span, held.get(e))) for e, span in evidence.edges.items()]
    return digest_of(rows + [decision_share(p, d) for p, d in evidence.decisions.items()])
