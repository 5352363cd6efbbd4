"""What is true about a person.

Owns: the state of every leaf, which profile every identifier belongs to (as identity told it), the
standing of every profile (which predicates hold, and when time alone may change that), and the
definitions of tags as folded.
Hears: `onefold.identity.<shard>`, FactsAttributed.
Says: `onefold.profile.<shard>`, ProfilesChanged.

Rules are cut into predicates. Each is answered here, from the state of the leaves that a profile
holds; nobody downstream aggregates or looks at a clock.
"""
