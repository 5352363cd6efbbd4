"""Decides which clusters take the fast path, by how many persons each may be.

An event with an address or a device never joins two persons: profiles that both have the id of a
person, where no event has an id of each. Such a cluster takes the slow path.

A claim is an edge of the kind CLAIMED. It adds devices to a person, and never joins two persons:
two groups of identifiers that both have one of no device and that no other evidence links. (The
policy holds all claims between two identifiers of persons, so here one end is a device.) So a
cluster of profiles takes the fast path if it is one person at most. Whether it is, is decided from
little: a cluster that may be several persons takes the slow path, which decides it exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from services.identity.domain.candidates import WorkspaceEvidence
from services.identity.domain.components import connected_components
from services.identity.domain.evidence import EvidenceKind, names_person
from services.identity.domain.fast_path import Classified, Cluster, Split
from services.identity.domain.persons import joins_persons
from services.kernel.ids import IdentifierId, ProfileId

_CLAIMED = int(EvidenceKind.CLAIMED)


class ProfileContents(NamedTuple):
    """What a stored profile consists of, as far as the number of persons depends on it."""

    #: It has an identifier that is no device. All of these are linked without claims.
    has_person: bool
    #: It may have the id of a person. All of these are linked as one person.
    has_person_id: bool
    #: How many claims link in it, or more where several claims concern one device. If there are
    #: any, not all of its devices may be linked to its person without claims.
    claims: int
    #: How many identifiers it has. Both are counted up to as many as may link.
    identifiers: int


_NOTHING = ProfileContents(has_person=False, has_person_id=False, claims=0, identifiers=0)
_ANYTHING = ProfileContents(has_person=True, has_person_id=True, claims=1, identifiers=1)


def doubtful_profiles(classified: Classified, clusters: Iterable[Cluster]) -> set[ProfileId]:
    """Return the stored profiles whose contents decide which path the clusters take."""
    given = classified.given
    stored = given.state.stored.identifiers
    return {
        profile_id
        for cluster in clusters
        if cluster.stored_profiles and len(cluster.profiles) > 1
        if cluster.stored_profiles > 1
        or _may_join_persons(given, cluster)
        or _joined_persons(given, cluster, {}) > 1
        for profile_id in cluster.profiles
        if IdentifierId(profile_id) in stored
    }


def check_persons(
    classified: Classified,
    clusters: Collection[Cluster],
    contents: Mapping[ProfileId, ProfileContents],
) -> Split:
    """Split clusters by whether each is one person at most, with few enough claims about it.

    `contents` has the profiles of `doubtful_profiles`.
    """
    split = Split([], [])
    given = classified.given
    for cluster in clusters:
        is_slow = len(cluster.profiles) > 1 and (
            (_may_join_persons(given, cluster) and _persons(given, cluster, contents) > 1)
            or _joined_persons(given, cluster, contents) > 1
            or _may_have_too_many_claims(given, cluster, contents)
        )
        (split.slow if is_slow else split.fast).append(cluster)
    return split


def _may_join_persons(given: WorkspaceEvidence, cluster: Cluster) -> bool:
    """Return whether a claim joins profiles, or other evidence attaches to a stored device, which
    a claim may have added to its profile."""
    stored, identifiers = given.state.stored.identifiers, given.evidence.identifiers
    return any(
        kind == _CLAIMED
        or (a in stored and not names_person(identifiers[a].namespace))
        or (b in stored and not names_person(identifiers[b].namespace))
        for a, b, kind in cluster.links
    )


def _may_have_too_many_claims(
    given: WorkspaceEvidence, cluster: Cluster, contents: Mapping[ProfileId, ProfileContents]
) -> bool:
    """Return whether as many claims as may would link in the profile that a cluster becomes: then
    others may be held for that."""
    if not given.policy.claimed_devices:
        return False
    found = (contents[one] for one in cluster.profiles if one in contents)
    stored = sum(min(one.claims, one.identifiers) for one in found)
    new = sum(kind == _CLAIMED for _, _, kind in cluster.links)
    is_more = new > 0 or cluster.stored_profiles > 1
    return is_more and stored + new >= given.policy.claimed_devices


def _persons(
    given: WorkspaceEvidence, cluster: Cluster, contents: Mapping[ProfileId, ProfileContents]
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
        profile = contents.get(row.profile_id, _NOTHING)
        if not is_person and profile.claims:
            return node(b"device" + id_, False)
        return node(row.profile_id, profile.has_person)

    for id_ in cluster.new:
        node_of(id_)
    for profile_id in cluster.profiles:
        if profile_id in contents:
            node(profile_id, contents[profile_id].has_person)
    links = [(node_of(a), node_of(b)) for a, b, kind in cluster.links if kind != _CLAIMED]
    roots = connected_components(len(is_person), links)
    return len({root for root, person in zip(roots, is_person, strict=True) if person})


def _joined_persons(
    given: WorkspaceEvidence, cluster: Cluster, contents: Mapping[ProfileId, ProfileContents]
) -> int:
    """Return how many persons the links of a cluster would join that must not join any.

    A stored profile that is not in `contents` counts as a person.
    """
    evidence, is_person_id = given.evidence.identifiers, given.policy.is_person_id
    new = {ProfileId(id_) for id_ in cluster.new}
    persons = [
        profile_id
        for profile_id in cluster.profiles
        if (
            is_person_id(evidence[IdentifierId(profile_id)].namespace)
            if profile_id in new
            else contents.get(profile_id, _ANYTHING).has_person_id
        )
    ]
    if len(persons) < 2:
        return len(persons)
    index = {profile_id: i for i, profile_id in enumerate(persons)}
    joining = [
        (index[given.profile(a)], index[given.profile(b)])
        for a, b, kind in cluster.links
        if is_person_id(evidence[a].namespace) and is_person_id(evidence[b].namespace)
        if joins_persons(kind, has_two_person_ids=True)
    ]
    return len(set(connected_components(len(persons), joining)))
