"""Ingest: the doors, and the event log behind them.

Owns: the event log, quarantine, and the definitions of workspaces, sources and keys.
Hears: events, over gRPC, HTTP (the Segment specification), NATS and from files; facts of the other
services, through LogService.
Says: `onefold.log.v1.FactBatch` on `onefold.log.<shard>`.
"""
