"""Decides which profiles are members of which segments.

Owns: segment definitions as folded, evaluations (which predicates are true of which profile),
memberships, and the history of published membership changes.
Consumes: `onefold.profile.<shard>`, ProfilesChanged.
Publishes: `onefold.segment.<shard>`, MembershipsChanged.
"""
