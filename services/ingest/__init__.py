"""Ingest: receives events on four endpoints and owns the event log.

Owns: the event log, the quarantine, and the definitions of workspaces, sources and keys.
Consumes: events over gRPC, HTTP (the Segment specification), NATS and from files; facts that the
other services append through LogService.
Publishes: `onefold.log.v1.FactBatch` on `onefold.log.<shard>`.
"""
