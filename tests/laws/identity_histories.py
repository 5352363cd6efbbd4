"""Generates histories and policies for the laws of identity."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from laws.identity_model import WORKSPACE, ExpectedState, ModelDecision, ModelEvent, expected_state

from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import (
    DecisionKind,
    Edge,
    Evidence,
    EvidenceKind,
    IdentifierInWorkspace,
    edge_of,
    observe,
    span_of,
)
from services.identity.domain.held import HeldEdge
from services.identity.domain.policy import DEFAULT, Blocked, MatchMode, NamespaceRule, Policy
from services.identity.domain.rows import EdgeRow
from services.kernel.digest import digest_of
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from services.kernel.time import DAY_US
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY

LISTED = ["user_id", "wechat_openid", "crm", "phone", "anonymous_id", "cookie"]
SCOPED = ["wechat_openid.wx1", "wechat_openid.wx2", "phone_sha256"]
#: The listed ones twice, as they are to come more often.
NAMESPACES = [*LISTED, *LISTED, *SCOPED]

identifiers = st.builds(Identifier, st.sampled_from(NAMESPACES), st.sampled_from("abc"))
#: Few days, many collisions.
instants = st.builds(lambda day, us: 15 * day * DAY_US + us, st.integers(0, 8), st.integers(0, 3))


@st.composite
def model_events(draw: st.DrawFn) -> ModelEvent:
    """Draw an event with one to four identifiers."""
    carried = draw(st.lists(identifiers, min_size=1, max_size=4, unique=True).map(tuple))
    alias = draw(st.sampled_from([False, False, False, True]))
    verified = frozenset(i for i in carried if draw(st.integers(0, 3)) == 0)
    # Of a public source every second time.
    trust = draw(st.sampled_from([SourceTrust.PUBLIC, SourceTrust.PUBLIC, *SourceTrust]))
    return ModelEvent(carried, draw(instants), draw(st.integers(0, 5)), alias, verified, trust)


#: Few persons with many devices, nearly all by claims of public sources.
_claimants = st.builds(
    Identifier,
    st.sampled_from(["user_id", "phone", "anonymous_id", "anonymous_id", "anonymous_id", "cookie"]),
    st.sampled_from("abcde"),
)
floods = st.lists(
    st.builds(
        ModelEvent,
        st.lists(_claimants, min_size=2, max_size=3, unique=True).map(tuple),
        instants,
        st.integers(0, 5),
        trust=st.sampled_from([*[SourceTrust.PUBLIC] * 5, SourceTrust.SERVER]),
    ),
    max_size=25,
)
flood_policies = st.builds(
    Policy,
    rules=st.sampled_from([{}, {"user_id": NamespaceRule(limit=1)}, DEFAULT.rules]),
    claimed_devices=st.integers(1, 3),
)

model_decisions = st.builds(
    ModelDecision,
    identifiers,
    identifiers,
    st.sampled_from(list(DecisionKind)),
    instants,
    st.integers(0, 10_000),
)
histories = st.lists(
    st.one_of(model_events(), model_events(), model_events(), model_decisions), max_size=20
)

namespace_rules = st.builds(
    NamespaceRule,
    limit=st.sampled_from([0, 1, 1, 2]),
    shared_after=st.sampled_from([0, 0, 1, 2]),
    recycled_after_days=st.sampled_from([0, 0, 1, 45]),
    match_mode=st.sampled_from(
        [MatchMode.ALWAYS, MatchMode.ALWAYS, MatchMode.VERIFIED, MatchMode.NEVER]
    ),
)
blocked = st.builds(
    Blocked, st.sampled_from(["", "user_id", "phone", "cookie"]), st.sampled_from(["a", "b*", "*c"])
)
arbitrary_policies = st.builds(
    lambda rules, some, ignored, claimed: Policy(
        1, rules, tuple(some), frozenset(ignored), claimed
    ),
    st.lists(
        st.tuples(st.sampled_from([*LISTED, "wechat_openid.wx1"]), namespace_rules),
        unique_by=lambda r: r[0],
    ).map(dict),
    st.lists(blocked, max_size=1),
    st.sets(
        st.sampled_from(
            [
                *(EvidenceKind.STATED, EvidenceKind.OBSERVED),
                *(EvidenceKind.CO_OBSERVED, EvidenceKind.CLAIMED),
            ]
        ),
        max_size=1,
    ),
    st.sampled_from([0, 1, 1, 2, 3]),
)
#: The default policy with limits that few identifiers reach.
tight_default = st.just(
    Policy(
        0,
        {
            name: NamespaceRule(
                limit=min(rule.limit, 2),
                shared_after=min(rule.shared_after, 2),
                recycled_after_days=rule.recycled_after_days and 45,
            )
            for name, rule in DEFAULT.rules.items()
        },
        claimed_devices=1,
    )
)
policies = st.one_of(st.just(DEFAULT), tight_default, arbitrary_policies, arbitrary_policies)


def evidence_of(history: Iterable[ModelEvent | ModelDecision]) -> Evidence:
    """Return the evidence of a history, made by the code under test."""
    evidence = Evidence()
    for fact in history:
        if isinstance(fact, ModelEvent):
            leaf = leaf_of(WORKSPACE, fact.identifiers, INDEX_KEY)
            ids = {i.id_in(WORKSPACE, INDEX_KEY): i for i in fact.identifiers}
            observation = observe(WORKSPACE, leaf, ids, fact.kind, fact.verified)
            evidence.add(observation, span_of(fact.first))
        else:
            pair = (fact.one, fact.other)
            ends = {
                i.id_in(WORKSPACE, INDEX_KEY): IdentifierInWorkspace(WORKSPACE, i) for i in pair
            }
            evidence.add_decision(fact.decision, ends)
    return evidence


def held_edges(state: ExpectedState) -> dict[Edge, HeldEdge]:
    """Return the held edges of a state as the code under test represents them."""
    return {edge_between(*pair, kind): HeldEdge(*why) for (pair, kind), why in state.held.items()}


def edge_between(one: Identifier, other: Identifier, kind: int) -> Edge:
    """Return the edge between two identifiers."""
    return edge_of(one.id_in(WORKSPACE, INDEX_KEY), other.id_in(WORKSPACE, INDEX_KEY), kind)


def expected_digest(history: Iterable[ModelEvent | ModelDecision], policy: Policy = DEFAULT) -> int:
    """Return the digest of the state that identity must end in."""
    history = list(history)
    state, evidence = expected_state(history, policy), evidence_of(history)
    held = held_edges(state)
    rows = [
        identifier_share(i, state.profiles[i], first) for i, first in evidence.first_seen.items()
    ]
    rows += [edge_share(e, EdgeRow(span, held.get(e))) for e, span in evidence.edges.items()]
    return digest_of(rows + [decision_share(p, d) for p, d in evidence.decisions.items()])
