"""Who belongs where.

Owns: segment definitions as folded, standings (which predicates hold for whom), memberships, and
the history of what was announced.
Hears: `onefold.profile.<shard>`, ProfilesChanged.
Says: `onefold.segment.<shard>`, MembershipsChanged.
"""
