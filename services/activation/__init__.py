"""Sends messages to destinations when profiles enter or leave segments.

Owns: destinations as folded, and the ledger of effects: one row for each destination, profile,
segment and membership change.
Consumes: `onefold.segment.<shard>`, MembershipsChanged.
Publishes: nothing on the bus; DeliveryEnded facts to the log, and messages to destinations.
"""
