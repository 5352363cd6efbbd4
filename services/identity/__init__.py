"""Identity: which identifiers belong together.

Owns: identifiers, each with the profile that holds it, and the edges between them.
Hears: `onefold.log.<shard>`, FactBatch.
Says: `onefold.identity.<shard>`, FactsAttributed: every fact with its profile, and which
identifiers belong elsewhere now.

A profile is a connected component of the edges, and its id is the id of the identifier in it that
was first seen. Both follow from the set of facts alone; and since every profile id is the id of an
identifier, old ones resolve for ever, with no history kept.
"""
