"""Carries out the write calls: ingest events, release quarantined ones, define access."""
