"""What to do about it.

Owns: destinations as folded, and the ledger of effects: one row for what, whom, which segment and
which change of membership.
Hears: `onefold.segment.<shard>`, MembershipsChanged.
Says: nothing on the bus; DeliveryEnded facts to the log, and messages to the outside.
"""
