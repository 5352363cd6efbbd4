"""Decides which claims of public sources take the fast path.

A claim is an edge of the kind CLAIMED. It adds devices to a person, and never joins two persons:
two groups of identifiers that both have one of no device and that no other evidence links. (The
policy holds all claims between two identifiers of persons, so here one end is a device.) So a
cluster of profiles takes the fast path if it is one person at most. Whether it is, is decided from
little: a cluster that may be several persons takes the slow path, which decides it exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from services.identity.domain.components import connected_components
from services.identity.domain.evidence import EvidenceKind, names_person
from services.identity.domain.fast_path import Classified, Cluster, Split, WorkspaceEvidence
from services.kernel.ids import IdentifierId, ProfileId

_CLAIMED = int(EvidenceKind.CLAIMED)


class ProfileClaims(NamedTuple):
    """What a stored profile consists of, as far as claims depend on it."""

    #: It has an identifier that is no device. All of these are linked without claims.
    has_person: bool
    #: A claim links in it, so not all of its devices may be linked to its person without claims.
    has_claims: bool


_NOTHING = ProfileClaims(has_person=False, has_claims=False)


def doubtful_profiles(classified: Classified, clusters: Iterable[Cluster]) -> set[ProfileId]:
    """Return the stored profiles whose `ProfileClaims` decide which path the clusters take."""
    stored = classified.given.state.stored.identifiers
    return {
        profile_id
        for cluster in clusters
        if cluster.stored_profiles and _may_join_persons(classified.given, cluster)
        for profile_id in cluster.profiles
        if IdentifierId(profile_id) in stored
    }


def check_claims(
    classified: Classified, clusters: Collection[Cluster], claims: Mapping[ProfileId, ProfileClaims]
) -> Split:
    """Split clusters by whether each is one person at most.

    `claims` has the profiles of `doubtful_profiles`.
    """
    split = Split([], [])
    given = classified.given
    for cluster in clusters:
        is_slow = _may_join_persons(given, cluster) and _persons(given, cluster, claims) > 1
        (split.slow if is_slow else split.fast).append(cluster)
    return split


def _may_join_persons(given: WorkspaceEvidence, cluster: Cluster) -> bool:
    """Return whether a claim joins profiles, or other evidence attaches to a stored device, which
    a claim may have added to its profile."""
    if len(cluster.profiles) < 2:
        return False
    stored, identifiers = given.state.stored.identifiers, given.evidence.identifiers
    return any(
        kind == _CLAIMED
        or (a in stored and not names_person(identifiers[a].namespace))
        or (b in stored and not names_person(identifiers[b].namespace))
        for a, b, kind in cluster.links
    )


def _persons(
    given: WorkspaceEvidence, cluster: Cluster, claims: Mapping[ProfileId, ProfileClaims]
) -> int:
    """Return how many persons a cluster is at most, without its claims."""
    stored, identifiers = given.state.stored.identifiers, given.evidence.identifiers
    index: dict[bytes, int] = {}
    is_person: list[bool] = []

    def node(key: bytes, person: bool) -> int:
        if key not in index:
            index[key] = len(is_person)
            is_person.append(person)
        return index[key]

    def node_of(id_: IdentifierId) -> int:
        """Return the node of an identifier: its profile's, where no claim is between the two."""
        row = stored.get(id_)
        is_person = names_person(identifiers[id_].namespace)
        if row is None:
            return node(id_, is_person)
        profile = claims.get(row.profile_id, _NOTHING)
        if not is_person and profile.has_claims:
            return node(b"device" + id_, False)
        return node(row.profile_id, profile.has_person)

    for id_ in cluster.new:
        node_of(id_)
    for profile_id in cluster.profiles:
        if profile_id in claims:
            node(profile_id, claims[profile_id].has_person)
    links = [(node_of(a), node_of(b)) for a, b, kind in cluster.links if kind != _CLAIMED]
    roots = connected_components(len(is_person), links)
    return len({root for root, person in zip(roots, is_person, strict=True) if person})
