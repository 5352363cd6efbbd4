"""Computes the traits and rule results of each profile.

Owns: the state of every leaf, the profile of every identifier (as identity resolved it), the
evaluation of every profile (its true predicates, and when time alone may change that), and tags.
Consumes: `onefold.identity.<shard>`, FactsAttributed.
Publishes: `onefold.profile.<shard>`, ProfilesChanged.

Rules consist of predicates. Each is evaluated here, over the leaves of a profile; no service
downstream aggregates events or reads a clock.
"""
