"""Identity resolves identifiers to profiles.

Owns: identifiers, each with its profile, and the edges between them.
Consumes: `onefold.log.<shard>`, FactBatch.
Publishes: `onefold.identity.<shard>`, FactsAttributed: every fact with its profile, and the
identifiers that have moved to another profile.

A profile is a connected component of the edges, and its id is the id of its first seen identifier.
Both follow from the set of facts alone. Every profile id is the id of an identifier, so former ones
resolve for ever, without a history.
"""
